/* SPDX-License-Identifier: Apache-2.0 */
/* The entrances that need no bus: package scripts and the boot. */
#include "updaterd/installer.h"

#include <string.h>

#include "common/log.h"
#include "updaterd/adopt.h"
#include "updaterd/exit_codes.h"
#include "updaterd/recover.h"
#include "updaterd/state.h"
#include "updaterd/until.h"
#include "updaterd/verify.h"

/* An attempt that is under way has what it knows in memory, and may last: a trial waits for a day. */
static int open_state(const struct conf *conf, enum state_mode mode, struct state **ret)
{
	int r = state_open(conf, STATE_TRY, ret);

	if (r == -EBUSY && mode == STATE_WAIT) {
		log_notice("an upgrade or a recovery is under way; waiting for its end");
		r = state_open(conf, STATE_WAIT, ret);
	}
	if (r == -EBUSY)
		return EXIT_TEMPORARY;
	if (r < 0)
		log_error("cannot open '%s': %s", conf->installer_dir, strerror(-r));
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* To who asked for something that cannot be done meanwhile. */
static int tell_busy(int code)
{
	if (code == EXIT_TEMPORARY)
		log_error("an upgrade is under way; try again when it has ended");
	return code;
}

/* Holds the state and brings it in order; *ret_recovered tells whether that went well. */
static int enter(const struct conf *conf, enum state_mode mode, struct state **ret,
		 int *ret_recovered)
{
	_cleanup_(systemd_freep) struct systemd *systemd = NULL;
	_cleanup_(state_closep) struct state *s = NULL;
	int code;

	if (geteuid() != 0) {
		log_error("only root may do this");
		return EXIT_NOT_PERMITTED;
	}
	if (systemd_new(&systemd) < 0) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	code = open_state(conf, mode, &s);
	if (code != EXIT_OK)
		return code;
	*ret_recovered = recover(s, systemd_service(systemd), true);
	*ret = TAKE_PTR(s);
	return EXIT_OK;
}

int installer_recover(const struct conf *conf)
{
	_cleanup_(state_closep) struct state *s = NULL;
	int r, recovered;

	r = enter(conf, STATE_WAIT, &s, &recovered);
	if (r != EXIT_OK)
		return r;
	return recovered < 0 ? EXIT_FAILED : EXIT_OK;
}

/* The same for what is about one program. */
static int enter_for(const struct conf *conf, enum state_mode mode, char letter,
		     const struct conf_program **ret_program, struct state **ret)
{
	const struct conf_program *program = conf_program(conf, letter);
	int recovered;

	if (!program) {
		log_error("there is no [program %c] in the configuration", letter);
		return EXIT_CONFIG;
	}
	*ret_program = program;
	return enter(conf, mode, ret, &recovered);
}

static int adopt(const struct conf_program *program)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct version version;
	struct failure failure;
	int had_current, r;

	r = store_create(program->space, &store);
	if (r < 0) {
		log_error("cannot make '%s': %s", program->space, strerror(-r));
		return EXIT_FAILED;
	}
	/* What runs stays, so that a factory release which cannot be copied then is a pity only. */
	had_current = recover_current(program, store, false);
	if (adopt_factory(program, store, &version, &failure) < 0) {
		log_write(had_current >= 0 ? LOG_WARNING : LOG_ERR,
			  "cannot adopt the factory release: %s", failure.text);
		return had_current >= 0 ? EXIT_OK : EXIT_FAILED;
	}
	if (had_current < 0)
		had_current = recover_current(program, store, false);
	return had_current < 0 ? EXIT_FAILED : EXIT_OK;
}

/* Where something runs the factory release is a pity only, and no reason to hold up dpkg for as long as an
 * attempt may last. */
int installer_adopt(const struct conf *conf, char program)
{
	_cleanup_(state_closep) struct state *s = NULL;
	const struct conf_program *p = NULL;
	struct version current;
	bool has_current = state_current(conf, program, &current) == 0;
	int r = enter_for(conf, has_current ? STATE_TRY : STATE_WAIT, program, &p, &s);

	if (r == EXIT_TEMPORARY) {
		log_notice("'%s' runs; the factory release is not copied now", current.text);
		return EXIT_OK;
	}
	return r != EXIT_OK ? r : adopt(p);
}

int installer_disown(const struct conf *conf, char program)
{
	_cleanup_(state_closep) struct state *s = NULL;
	const struct conf_program *p = NULL;
	int r = enter_for(conf, STATE_TRY, program, &p, &s);

	if (r != EXIT_OK)
		return tell_busy(r);
	r = store_destroy(p->space);
	if (r == 0)
		r = state_forget(s, program);
	if (r == 0)
		r = journal_write(s->journal);
	if (r < 0)
		log_error("cannot remove '%s': %s", p->space, strerror(-r));
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

/* ---- what people decide ---- */

static bool is_remembered(const struct state *s, const struct version *version)
{
	return state_is_quarantined(s, version) || state_failures(s, version) > 0;
}

static int clear_quarantine(struct state *s, const struct version *version)
{
	int r;

	if (!is_remembered(s, version)) {
		log_notice("'%s' is not in quarantine", version->text);
		return 0;
	}
	r = state_pardon(s, version);
	if (r == 0)
		log_notice("'%s' may be tried again", version->text);
	return r;
}

static int clear_quarantines(struct state *s)
{
	int r = 0;

	for (size_t i = 0; i < s->conf->n_programs && r == 0; i++) {
		struct version versions[STATE_MAX_REMEMBERED];
		size_t n = state_quarantined(s, s->conf->programs[i].letter, versions);

		for (size_t j = 0; j < n && r == 0; j++)
			r = clear_quarantine(s, &versions[j]);
	}
	return r;
}

/* What was decided is made durable, or was not decided. */
static int write_decision(struct state *s, int r, const char *what)
{
	if (r == 0)
		r = journal_write(s->journal);
	if (r < 0)
		log_error("cannot %s: %s", what, strerror(-r));
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

int installer_clear_quarantine(const struct conf *conf, const struct version *version)
{
	_cleanup_(state_closep) struct state *s = NULL;
	const struct conf_program *p = NULL;
	int r, recovered;

	r = version ? enter_for(conf, STATE_TRY, version->program, &p, &s)
		    : enter(conf, STATE_TRY, &s, &recovered);
	if (r != EXIT_OK)
		return tell_busy(r);
	r = version ? clear_quarantine(s, version) : clear_quarantines(s);
	return write_decision(s, r, "end the quarantine");
}

static int enter_to_decide(const struct conf *conf, struct state **ret)
{
	if (geteuid() != 0) {
		log_error("only root may do this");
		return EXIT_NOT_PERMITTED;
	}
	return tell_busy(open_state(conf, STATE_TRY, ret));
}

static int hold(struct state *s, char program, uint64_t until_sec)
{
	int r = 0;

	for (size_t i = 0; i < s->conf->n_programs && r == 0; i++)
		if (!program || s->conf->programs[i].letter == program)
			r = state_hold(s, s->conf->programs[i].letter, until_sec);
	return write_decision(s, r, until_sec ? "hold" : "end the hold");
}

int installer_hold(const struct conf *conf, char program, const char *until)
{
	_cleanup_(state_closep) struct state *s = NULL;
	uint64_t until_sec = STATE_FOREVER;
	char text[UNTIL_TEXT_BYTES];
	int r;

	r = enter_to_decide(conf, &s);
	if (r != EXIT_OK)
		return r;
	if (until) {
		r = until_parse(until, (uint64_t)verify_time(s).now_sec, &until_sec);
		if (r < 0) {
			log_error("'%s' has passed already", until);
			return EXIT_USAGE;
		}
	}
	r = hold(s, program, until_sec);
	if (r == EXIT_OK && until)
		log_notice("held until %s", until_format(until_sec, text));
	return r;
}

int installer_unhold(const struct conf *conf, char program)
{
	_cleanup_(state_closep) struct state *s = NULL;
	int r = enter_to_decide(conf, &s);

	return r != EXIT_OK ? r : hold(s, program, 0);
}
