/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/pack.h"

#include <string.h>

/* A board that misses one or two polls is still there; three in a row, and it is not. */
#define LINK_DOWN_AFTER_FAILED 3

struct pack {
	char *name;
	char *driver;
	int64_t stale_msec;
	bool line_open;
	bool link_up;
	bool asleep;
	bool refused;
	unsigned failed_in_a_row;
	char detail[PACK_DETAIL_BYTES];
	struct sample sample;
	int64_t sample_msec; /* -1: none yet */
	int64_t first_sample_msec;
	int64_t counters_msec; /* when the board was asked for those in sample; -1: never */
	uint64_t lines_lost;
	uint64_t samples_ok;
	uint64_t polls;
	uint64_t polls_failed;
	bool recent[PACK_RECENT_POLLS]; /* a ring; true: failed */
	struct link_errors errors;
	struct gate_counts gates;
};

int pack_new(const char *name, const char *driver, uint64_t stale_msec, struct pack **ret)
{
	_cleanup_(pack_freep) struct pack *p = calloc(1, sizeof *p);

	if (!p)
		return -ENOMEM;
	p->name = strdup(name);
	p->driver = strdup(driver);
	if (!p->name || !p->driver)
		return -ENOMEM;
	p->stale_msec = (int64_t)stale_msec;
	p->sample_msec = p->first_sample_msec = p->counters_msec = -1;
	(void)snprintf(p->detail, sizeof p->detail, "not asked yet");
	*ret = TAKE_PTR(p);
	return 0;
}

struct pack *pack_free(struct pack *p)
{
	if (!p)
		return NULL;
	free(p->name);
	free(p->driver);
	free(p);
	return NULL;
}

static void count_poll(struct pack *p, bool failed)
{
	p->recent[p->polls % PACK_RECENT_POLLS] = failed;
	p->polls++;
	if (failed)
		p->polls_failed++;
}

/* It may hold the name of a device, which is any bytes, and is cut anywhere: what is no UTF-8 could be
 * said neither on the bus nor as JSON, for no pack at all. */
static void set_detail(struct pack *p, const char *text)
{
	(void)snprintf(p->detail, sizeof p->detail, "%s", text);
	for (char *at = p->detail; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

/* Which of the counters' readings a sample has is for us to know: a driver has no clock. */
static void note_counters(struct pack *p, int64_t now_msec)
{
	if (!sample_has(&p->sample, SAMPLE_COUNTERS))
		return;
	if (p->sample.counters_age_msec != SAMPLE_COUNTERS_KEPT || p->counters_msec < 0)
		p->counters_msec = now_msec;
}

void pack_poll_good(struct pack *p, const struct sample *s, int64_t now_msec)
{
	count_poll(p, false);
	p->failed_in_a_row = 0;
	p->refused = p->asleep = false;
	p->line_open = p->link_up = true;
	set_detail(p, "");
	p->sample = *s;
	p->sample_msec = now_msec;
	note_counters(p, now_msec);
	if (p->samples_ok++ == 0)
		p->first_sample_msec = now_msec;
}

void pack_poll_refused(struct pack *p, enum sample_gate gate, const char *reason)
{
	count_poll(p, true);
	p->failed_in_a_row = 0;
	p->refused = true;
	p->asleep = gate == SAMPLE_GATE_ASLEEP;
	p->line_open = p->link_up = true;
	p->errors.n[LINK_ERROR_IMPLAUSIBLE]++;
	if ((size_t)gate < SAMPLE_GATE_COUNT)
		p->gates.n[gate]++;
	set_detail(p, reason);
}

void pack_poll_failed(struct pack *p, const char *reason)
{
	p->refused = p->asleep = false;
	count_poll(p, true);
	if (++p->failed_in_a_row >= LINK_DOWN_AFTER_FAILED)
		p->link_up = false;
	set_detail(p, reason);
}

void pack_poll_asleep(struct pack *p, const char *reason)
{
	pack_poll_failed(p, reason);
	p->asleep = true;
}

void pack_line_opened(struct pack *p)
{
	p->line_open = true;
}

void pack_link_lost(struct pack *p, const char *reason)
{
	if (p->line_open)
		p->lines_lost++;
	p->line_open = p->link_up = p->refused = p->asleep = false;
	p->failed_in_a_row = 0;
	/* Another pack may be on the other end when the line comes back. */
	p->sample_msec = p->counters_msec = -1;
	set_detail(p, reason);
}

struct link_errors *pack_errors(struct pack *p)
{
	return &p->errors;
}

static void look_at_sample(const struct pack *p, int64_t now_msec, struct pack_view *v)
{
	v->age_msec = p->sample_msec < 0 ? -1 : now_msec - p->sample_msec;
	v->present = v->age_msec >= 0 && v->age_msec <= p->stale_msec;
	if (v->present)
		v->sample = p->sample;
	else
		v->sample.capacity_percent = -1;
	if (sample_has(&v->sample, SAMPLE_COUNTERS))
		v->sample.counters_age_msec = now_msec - p->counters_msec;
	memcpy(v->model, p->sample.model, sizeof v->model);
}

void pack_look(const struct pack *p, int64_t now_msec, struct pack_view *ret)
{
	struct pack_view v = {
		.name = p->name,
		.driver = p->driver,
		.line_open = p->line_open,
		.link_up = p->link_up,
		.asleep = p->asleep,
		.refused = p->refused,
		.first_sample_msec = p->first_sample_msec,
		.samples_ok = p->samples_ok,
		.polls = p->polls,
		.polls_failed = p->polls_failed,
		.lines_lost = p->lines_lost,
		.errors = p->errors,
		.gates = p->gates,
	};

	memcpy(v.detail, p->detail, sizeof v.detail);
	v.recent_polls = p->polls < PACK_RECENT_POLLS ? (unsigned)p->polls : PACK_RECENT_POLLS;
	for (unsigned i = 0; i < v.recent_polls; i++)
		v.recent_failed += p->recent[i];
	look_at_sample(p, now_msec, &v);
	*ret = v;
}

unsigned pack_error_rate_permille(const struct pack_view *v)
{
	return v->recent_polls ? v->recent_failed * 1000 / v->recent_polls : 0;
}
