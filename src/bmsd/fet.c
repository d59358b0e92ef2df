/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/fet.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define TRIES		  3
#define PAUSE_MSEC	  5000
#define LONG_PAUSE_MSEC	  60000
#define UNSENT_PAUSE_MSEC 1000

static const char *const names[FET_COUNT] = { "charge", "discharge" };

const char *fet_name(unsigned which)
{
	return which < FET_COUNT ? names[which] : "unknown";
}

static int _printf_(3, 4) refuse(char *refusal, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(refusal, FET_REFUSAL_BYTES, format, args);
	va_end(args);
	return error;
}

void fet_init(struct fet_control *f, const struct fet_settings *settings,
	      const struct fet_memory *memory, uint64_t elapsed_sec)
{
	struct fet_memory none = {};

	*f = (struct fet_control){ .settings = settings, .memory = memory ? *memory : none };
	for (unsigned i = 0; i < FET_COUNT; i++) {
		struct fet_lock *lock = &f->memory.locks[i];
		uint64_t left_sec = lock->lease_left_msec / 1000;

		/* What is over is given back by the first step. */
		lock->lease_left_msec = elapsed_sec >= left_sec
						? 0
						: lock->lease_left_msec - elapsed_sec * 1000;
	}
}

bool fet_may_open(const struct fet_control *f, enum fet which, const struct sample *s)
{
	if (!s || !sample_has(s, SAMPLE_CURRENT))
		return false;
	if (which == FET_CHARGE)
		return -s->current_ua <= f->settings->open_max_ua;
	return llabs(s->current_ua) <= f->settings->open_max_ua;
}

static int check_current(const struct fet_control *f, enum fet which, const struct sample *s,
			 char *refusal)
{
	if (fet_may_open(f, which, s))
		return 0;
	if (!s || !sample_has(s, SAMPLE_CURRENT))
		return refuse(refusal, -EBUSY, "the current is not known");
	return refuse(refusal, -EBUSY,
		      "%.1f A are flowing; the %s switch is opened at %.1f A at most",
		      (double)llabs(s->current_ua) / 1e6, names[which],
		      (double)f->settings->open_max_ua / 1e6);
}

static int check_request(const struct fet_control *f, const struct fet_request *request,
			 bool can_switch, char *refusal)
{
	if ((unsigned)request->which >= FET_COUNT)
		return refuse(refusal, -EINVAL, "there is no such switch");
	/* What was locked before the configuration changed can always be given back. */
	if (!f->settings->allowed && !(request->on && f->memory.locks[request->which].locked))
		return refuse(refusal, -EPERM, "switching is not allowed by the configuration");
	if (!can_switch)
		return refuse(refusal, -EOPNOTSUPP, "this kind of board cannot be told to switch");
	if (!request->reason || !request->reason[0] || strlen(request->reason) >= FET_REASON_BYTES)
		return refuse(refusal, -EINVAL, "a reason of at most %d bytes is needed",
			      FET_REASON_BYTES - 1);
	if (request->lease_sec > f->settings->lease_max_sec)
		return refuse(refusal, -EINVAL, "the lease may be %" PRIu64 " seconds at most",
			      f->settings->lease_max_sec);
	return 0;
}

static void forget_tries(struct fet_control *f, enum fet which)
{
	f->sent[which] = 0;
	f->pause_msec[which] = 0;
}

int fet_request(struct fet_control *f, const struct fet_request *request,
		const struct sample *sample, bool can_switch, uint64_t now_sec,
		char ret_refusal[FET_REFUSAL_BYTES])
{
	struct fet_lock *lock;
	int r;

	r = check_request(f, request, can_switch, ret_refusal);
	if (r == 0 && !request->on)
		r = check_current(f, request->which, sample, ret_refusal);
	if (r < 0)
		return r;
	lock = &f->memory.locks[request->which];
	*lock = (struct fet_lock){};
	f->memory.give_back[request->which] = request->on;
	forget_tries(f, request->which);
	if (request->on)
		return 0;
	lock->locked = true;
	lock->since_sec = now_sec;
	lock->endless = request->lease_sec == 0;
	lock->lease_left_msec = request->lease_sec * 1000;
	(void)snprintf(lock->reason, sizeof lock->reason, "%s", request->reason);
	return 0;
}

static void run_down(uint64_t *left_msec, uint64_t dt_msec)
{
	*left_msec = *left_msec > dt_msec ? *left_msec - dt_msec : 0;
}

static bool end_lease(struct fet_control *f, enum fet which)
{
	struct fet_lock *lock = &f->memory.locks[which];

	if (!lock->locked || lock->endless || lock->lease_left_msec > 0)
		return false;
	*lock = (struct fet_lock){};
	f->memory.give_back[which] = true;
	forget_tries(f, which);
	return true;
}

/* Does the switch differ from what is wanted? Where the board does not say, nothing is known. */
static bool is_wrong(const struct fet_control *f, enum fet which, const struct sample *s)
{
	bool known = s &&
		     sample_has(s, which == FET_CHARGE ? SAMPLE_CHARGE_FET : SAMPLE_DISCHARGE_FET);
	bool is_on = s && (which == FET_CHARGE ? s->charge_fet : s->discharge_fet);

	if (!known)
		return false;
	return f->memory.locks[which].locked ? is_on : f->memory.give_back[which] && !is_on;
}

static void settle(struct fet_control *f, enum fet which, const struct sample *s)
{
	if (!s || is_wrong(f, which, s))
		return;
	forget_tries(f, which);
	if (sample_has(s, which == FET_CHARGE ? SAMPLE_CHARGE_FET : SAMPLE_DISCHARGE_FET))
		f->memory.give_back[which] = false;
}

/* The tries are used up: a switch that was to be given back is the board's matter then (it may hold it off
 * for its own reasons), a lock is asserted now and then. */
static struct fet_action give_up(struct fet_control *f, enum fet which)
{
	struct fet_action action = { .change = f->sent[which] == TRIES ? FET_CHANGE_FAILED
								       : FET_CHANGE_NONE,
				     .changed = which };

	f->sent[which]++;
	f->pause_msec[which] = LONG_PAUSE_MSEC;
	if (!f->memory.locks[which].locked)
		f->memory.give_back[which] = false;
	return action;
}

static struct fet_action step_one(struct fet_control *f, enum fet which, const struct sample *s)
{
	bool locked = f->memory.locks[which].locked;

	settle(f, which, s);
	if (f->pause_msec[which] > 0 || !is_wrong(f, which, s))
		return (struct fet_action){};
	if (f->sent[which] == TRIES)
		return give_up(f, which);
	if (locked && (!f->settings->allowed || !fet_may_open(f, which, s)))
		return (struct fet_action){};
	if (f->sent[which] < TRIES)
		f->sent[which]++;
	f->pause_msec[which] = f->sent[which] <= TRIES ? PAUSE_MSEC : LONG_PAUSE_MSEC;
	return (struct fet_action){ .send = true, .which = which, .on = !locked };
}

void fet_unsent(struct fet_control *f, enum fet which)
{
	if (f->sent[which] == 0)
		return;
	/* Beyond the tries it is asserted now and then, and counted no more. */
	if (f->sent[which] <= TRIES)
		f->sent[which]--;
	f->pause_msec[which] = UNSENT_PAUSE_MSEC;
}

struct fet_action fet_step(struct fet_control *f, const struct sample *sample, uint64_t dt_msec)
{
	struct fet_action action = {};

	for (unsigned i = 0; i < FET_COUNT; i++) {
		run_down(&f->pause_msec[i], dt_msec);
		run_down(&f->memory.locks[i].lease_left_msec, dt_msec);
	}
	for (unsigned i = 0; i < FET_COUNT; i++)
		if (end_lease(f, (enum fet)i))
			return (struct fet_action){ .change = FET_CHANGE_LEASE_OVER,
						    .changed = (enum fet)i };
	for (unsigned i = 0; i < FET_COUNT && !action.send && !action.change; i++)
		action = step_one(f, (enum fet)i, sample);
	return action;
}
