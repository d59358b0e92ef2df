/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/conf.h"

#include <stdarg.h>
#include <string.h>
#include <sys/un.h>

#include "bmsd/capture.h"
#include "bmsd/driver.h"
#include "bmsd/link.h"
#include "bmsd/ocv.h"
#include "bmsd/sample.h"
#include "common/config.h"
#include "common/fsutil.h"

#define PACK_PREFIX  "pack "
#define ALARM_PREFIX "alarm "
#define NOT_GIVEN    UINT64_MAX
#define NO_VALUE     INT64_MIN
#define STATE_DIR    "/var/lib/bmsd"
#define CELL_MIN_MV  1000
#define CELL_MAX_MV  5000

static const char *const bauds[] = { "9600", "19200", "38400", "57600", "115200", NULL };
static const char *const chemistries[] = { "nmc", "lfp", NULL };
static const char *const levels[] = { "info", "warning", "alarm", NULL };
static const char *const yes_no[] = { "yes", "no", NULL };

/* Keys of [pack N] whose defaults come with the chemistry: key, member of struct bmsd_conf_pack, min,
 * max. They are put over the preset when all of the file is known. */
#define PRESET_KEYS(X)                                                                             \
	X(capacity_mah, estimator.capacity_design_mah, 100, 10000000)                              \
	X(cell_full_mv, estimator.cell_full_mv, 1000, 5000)                                        \
	X(cell_empty_mv, estimator.cell_empty_mv, 1000, 5000)                                      \
	X(full_tolerance_mv, estimator.full_tolerance_mv, 0, 100)                                  \
	X(full_current_permille, estimator.full_current_permille, 1, 500)                          \
	X(full_hold_sec, estimator.full_hold_sec, 1, 3600)                                         \
	X(empty_current_permille, estimator.empty_current_permille, 1, 1000)                       \
	X(empty_hold_sec, estimator.empty_hold_sec, 1, 3600)                                       \
	X(rest_current_ma, estimator.rest_current_ma, 1, 5000)                                     \
	X(rest_sec, estimator.rest_sec, 60, 86400)                                                 \
	X(ocv_tolerance_mv, estimator.ocv_tolerance_mv, 1, 100)                                    \
	X(charge_efficiency_permille, estimator.charge_efficiency_permille, 980, 1000)             \
	X(current_deadband_ma, estimator.current_deadband_ma, 0, 1000)                             \
	X(current_error_permille, estimator.current_error_permille, 0, 100)                        \
	X(offset_max_ma, estimator.offset_max_ma, 1, 10000)                                        \
	X(capacity_error_permille, estimator.capacity_error_permille, 1, 500)                      \
	X(end_of_life_percent, estimator.end_of_life_percent, 10, 99)                              \
	X(cycles_to_end_of_life, estimator.cycles_to_end_of_life, 10, 100000)                      \
	X(charge_max_ma, limits.charge_current_max_ma, 100, 2000000)                               \
	X(discharge_max_ma, limits.discharge_current_max_ma, 100, 2000000)                         \
	X(cell_charge_max_mv, limits.cell_charge_max_mv, 1000, 5000)                               \
	X(limit_hold_sec, limits.hold_sec, 0, 3600)                                                \
	X(limit_rise_ma_per_sec, limits.rise_ma_per_sec, 1, 1000000)

/* As the file has it. */
struct pack_text {
	struct bmsd_conf_pack pack;
	bool left_out;
	char *chemistry;
	char *ocv_table;
	bool ocv_verified;
#define MEMBER(key, member, min, max) uint64_t key;
	PRESET_KEYS(MEMBER)
#undef MEMBER
};

/* set and clear, in each of the units. */
struct alarm_text {
	char *enabled, *level, *latch;
	int64_t set[ALARM_UNIT_COUNT], clear[ALARM_UNIT_COUNT];
	uint64_t set_delay_msec, clear_delay_msec;
};

struct text {
	struct bmsd_conf conf;
	uint64_t events_max_kib;
	uint64_t capture_max_kib;
	uint64_t fet_open_max_ma;
	uint64_t load_min_ma;
	uint64_t load_factor_percent;
	struct pack_text packs[BMSD_MAX_PACKS];
	struct alarm_text alarms[ALARM_COUNT];
	bool tolerant;
};

static const struct alarm_unit_text {
	const char *set_key, *clear_key;
	int64_t factor;
} units[ALARM_UNIT_COUNT + 1] = {
	/* the last one counts, and has no keys */
	[ALARM_UNIT_UV] = { "set_mv", "clear_mv", 1000 },
	[ALARM_UNIT_UA] = { "set_ma", "clear_ma", 1000 },
	[ALARM_UNIT_DECICELSIUS] = { "set_decicelsius", "clear_decicelsius", 1 },
	[ALARM_UNIT_CENTIPERCENT] = { "set_percent", "clear_percent", 100 },
	[ALARM_UNIT_MSEC] = { "set_sec", "clear_sec", 1000 },
};

#define GENERAL(member) offsetof(struct text, conf.member)
#define TEXT(member)	offsetof(struct text, member)
#define PACK(member)	offsetof(struct pack_text, pack.member)
#define PACK_TEXT(key)	offsetof(struct pack_text, key)
#define ALARM(member)	offsetof(struct alarm_text, member)
/* A value and the one at which it is over, of one unit. */
#define ALARM_PAIR(unit, suffix, min, max)                                                         \
	{ "alarm *", "set_" suffix, CONFIG_S64, ALARM(set[unit]), (uint64_t)(min), max, NULL },    \
	{                                                                                          \
		"alarm *", "clear_" suffix, CONFIG_S64, ALARM(clear[unit]), (uint64_t)(min), max,  \
			NULL                                                                       \
	}

static const struct config_key keys[] = {
	{ "limits", "cell_min_mv", CONFIG_U64, GENERAL(cell_min_mv), 100, 5000, NULL },
	{ "limits", "cell_max_mv", CONFIG_U64, GENERAL(cell_max_mv), 100, 10000, NULL },
	{ "limits", "current_max_ma", CONFIG_U64, GENERAL(current_max_ma), 1000, 2000000, NULL },
	{ "limits", "update_current_max_ma", CONFIG_U64, GENERAL(update_current_max_ma), 0, 2000000,
	  NULL },
	{ "limits", "stale_msec", CONFIG_U64, GENERAL(stale_msec), 500, 600000, NULL },
	{ "state", "dir", CONFIG_PATH, GENERAL(state_dir), 0, 0, NULL },
	{ "state", "save_interval_sec", CONFIG_U64, GENERAL(save_interval_sec), 5, 3600, NULL },
	{ "events", "max_kib", CONFIG_U64, TEXT(events_max_kib), 64, 65536, NULL },
	{ "fet", "allowed", CONFIG_BOOL, GENERAL(fet.allowed), 0, 0, NULL },
	{ "fet", "open_max_ma", CONFIG_U64, TEXT(fet_open_max_ma), 0, 5000, NULL },
	{ "fet", "lease_max_sec", CONFIG_U64, GENERAL(fet.lease_max_sec), 1, 2592000, NULL },
	{ "capture", "dir", CONFIG_PATH, GENERAL(capture_dir), 0, 0, NULL },
	{ "capture", "max_kib", CONFIG_U64, TEXT(capture_max_kib), 16, CAPTURE_MAX_BYTES / 1024,
	  NULL },
	{ "metrics", "socket", CONFIG_PATH, GENERAL(metrics_socket), 0, 0, NULL },
	{ "alarms", "load_min_ma", CONFIG_U64, TEXT(load_min_ma), 0, 2000000, NULL },
	{ "alarms", "load_factor_percent", CONFIG_U64, TEXT(load_factor_percent), 100, 1000, NULL },
	{ "alarm *", "enabled", CONFIG_CHOICE, ALARM(enabled), 0, 0, yes_no },
	{ "alarm *", "level", CONFIG_CHOICE, ALARM(level), 0, 0, levels },
	{ "alarm *", "latch", CONFIG_CHOICE, ALARM(latch), 0, 0, yes_no },
	{ "alarm *", "set_delay_msec", CONFIG_U64, ALARM(set_delay_msec), 0, 3600000, NULL },
	{ "alarm *", "clear_delay_msec", CONFIG_U64, ALARM(clear_delay_msec), 0, 3600000, NULL },
	ALARM_PAIR(ALARM_UNIT_UV, "mv", 0, 5000),
	ALARM_PAIR(ALARM_UNIT_UA, "ma", 0, 2000000),
	ALARM_PAIR(ALARM_UNIT_DECICELSIUS, "decicelsius", -400, 1250),
	ALARM_PAIR(ALARM_UNIT_CENTIPERCENT, "percent", 0, 1000),
	ALARM_PAIR(ALARM_UNIT_MSEC, "sec", 0, 86400),
	{ "pack *", "name", CONFIG_STRING, PACK(name), 0, 0, NULL },
	{ "pack *", "driver", CONFIG_CHOICE, PACK(driver), 0, 0, driver_names },
	{ "pack *", "device", CONFIG_STRING, PACK(device), 0, 0, NULL },
	{ "pack *", "baud", CONFIG_CHOICE, PACK(baud), 0, 0, bauds },
	{ "pack *", "poll_interval_msec", CONFIG_U64, PACK(poll_interval_msec), 100, 60000, NULL },
	{ "pack *", "timeout_msec", CONFIG_U64, PACK(timeout_msec), 50, 5000, NULL },
	{ "pack *", "cells", CONFIG_U64, PACK(cells), 0, SAMPLE_MAX_CELLS, NULL },
	{ "pack *", "chemistry", CONFIG_CHOICE, PACK_TEXT(chemistry), 0, 0, chemistries },
	{ "pack *", "ocv_table", CONFIG_CHOICE, PACK_TEXT(ocv_table), 0, 0, ocv_names },
	{ "pack *", "ocv_verified", CONFIG_BOOL, PACK_TEXT(ocv_verified), 0, 0, NULL },
#define KEY(key, member, min, max) { "pack *", #key, CONFIG_U64, PACK_TEXT(key), min, max, NULL },
	PRESET_KEYS(KEY)
#undef KEY
};

/* ---- before the file is read ---- */

static void set_pack_defaults(struct pack_text *t, unsigned number)
{
	struct bmsd_conf_pack *p = &t->pack;
	char name[4];

	(void)snprintf(name, sizeof name, "%u", number % BMSD_MAX_PACKS);
	p->used = true;
	p->number = number;
	p->name = strdup(name);
	p->driver = strdup("jbd");
	p->baud = strdup("9600");
	p->poll_interval_msec = 1000;
	p->timeout_msec = 500;
	t->chemistry = strdup("nmc");
#define NONE(key, member, min, max) t->key = NOT_GIVEN;
	PRESET_KEYS(NONE)
#undef NONE
}

static void set_alarm_defaults(struct alarm_text *a)
{
	for (size_t unit = 0; unit < ALARM_UNIT_COUNT; unit++)
		a->set[unit] = a->clear[unit] = NO_VALUE;
	a->set_delay_msec = a->clear_delay_msec = NOT_GIVEN;
}

static struct text *new_with_defaults(void)
{
	struct text *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->conf.cell_min_mv = CELL_MIN_MV;
	t->conf.cell_max_mv = CELL_MAX_MV;
	t->conf.current_max_ma = 500000;
	t->conf.update_current_max_ma = 1000;
	t->conf.stale_msec = 5000;
	t->conf.save_interval_sec = 60;
	t->conf.state_dir = strdup(STATE_DIR);
	t->conf.fet.lease_max_sec = 86400;
	t->fet_open_max_ma = 500;
	t->events_max_kib = 1024;
	t->capture_max_kib = 16384;
	t->load_min_ma = t->load_factor_percent = NOT_GIVEN;
	for (size_t i = 0; i < ALARM_COUNT; i++)
		set_alarm_defaults(&t->alarms[i]);
	return t;
}

/* Whose keys a section has. */

static void *resolve_pack(struct text *t, const char *number)
{
	unsigned n;

	if (*number < '0' || *number >= '0' + BMSD_MAX_PACKS || number[1] != '\0')
		return NULL;
	n = (unsigned)(*number - '0');
	if (!t->packs[n].pack.used)
		set_pack_defaults(&t->packs[n], n);
	return &t->packs[n];
}

static void *resolve(const char *section, void *userdata)
{
	struct text *t = userdata;
	enum alarm_id id;

	if (strncmp(section, PACK_PREFIX, strlen(PACK_PREFIX)) == 0)
		return resolve_pack(t, section + strlen(PACK_PREFIX));
	if (strncmp(section, ALARM_PREFIX, strlen(ALARM_PREFIX)) != 0 ||
	    alarm_find(section + strlen(ALARM_PREFIX), &id) < 0)
		return NULL;
	return &t->alarms[id];
}

/* ---- what is not taken ---- */

/* Of [pack N], what has no substitute: who it is, how it is reached, what it is made of. */
static const char *const essential[] = {
	"name",		 "driver",	     "device",	     "baud",	      "cells",
	"chemistry",	 "capacity_mah",     "cell_full_mv", "cell_empty_mv", "cell_charge_max_mv",
	"charge_max_ma", "discharge_max_ma",
};

static bool is_essential(const char *key)
{
	for (size_t i = 0; i < ELEMENTSOF(essential); i++)
		if (strcmp(key, essential[i]) == 0)
			return true;
	return false;
}

/* Places are kept for the packs. What the file holds is any bytes, and goes to the bus and the terminal. */
static void note(struct bmsd_conf *c, int pack, const char *text)
{
	size_t limit = BMSD_CONF_REFUSALS - (pack < 0 ? BMSD_MAX_PACKS : 0);
	struct bmsd_conf_refusal *refusal = &c->refused[c->n_refused];

	if (c->n_refused >= limit) {
		c->n_refused_more++;
		return;
	}
	c->n_refused++;
	refusal->pack = pack;
	(void)snprintf(refusal->text, sizeof refusal->text, "%s", text);
	for (char *at = refusal->text; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
}

static void note_left_out(struct text *t, const char *sentence)
{
	char text[BMSD_CONF_REFUSAL_BYTES];

	(void)snprintf(text, sizeof text, "%.*s; left out", BMSD_CONF_REFUSAL_BYTES - 16, sentence);
	note(&t->conf, -1, text);
}

static void leave_out_pack(struct text *t, struct pack_text *p, const char *sentence)
{
	char text[BMSD_CONF_REFUSAL_BYTES];

	if (p->left_out) {
		note_left_out(t, sentence);
		return;
	}
	p->left_out = true;
	(void)snprintf(text, sizeof text, "[pack %u] is left out: %s", p->pack.number, sentence);
	note(&t->conf, (int)p->pack.number, text);
}

static void on_refused(const struct config_refusal *refusal, void *userdata)
{
	struct text *t = userdata;
	struct pack_text *p = NULL;

	if (strncmp(refusal->section, PACK_PREFIX, strlen(PACK_PREFIX)) == 0)
		p = resolve_pack(t, refusal->section + strlen(PACK_PREFIX));
	if (p && (!refusal->key || is_essential(refusal->key)))
		leave_out_pack(t, p, refusal->sentence);
	else
		note_left_out(t, refusal->sentence);
}

/* What the table of keys cannot say: an error, or noted (0). */
static int refuse(struct text *t, char **ret_error, const char *format, ...) _printf_(3, 4);

static int refuse(struct text *t, char **ret_error, const char *format, ...)
{
	char sentence[BMSD_CONF_REFUSAL_BYTES];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(sentence, sizeof sentence, format, args);
	va_end(args);
	if (!t->tolerant)
		return config_invalid(ret_error, "%s", sentence);
	note_left_out(t, sentence);
	return 0;
}

/* ---- presets, and what the file says otherwise ---- */

/* A key of another unit than the one of what it watches; NULL: there is none. */
static const char *alien_key(const struct alarm_text *a, enum alarm_unit unit)
{
	for (unsigned i = 0; i < ALARM_UNIT_COUNT; i++) {
		if (i != unit && a->set[i] != NO_VALUE)
			return units[i].set_key;
		if (i != unit && a->clear[i] != NO_VALUE)
			return units[i].clear_key;
	}
	return NULL;
}

static int check_alarm_units(struct text *t, char **ret_error)
{
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		struct alarm_text *a = &t->alarms[id];
		enum alarm_unit unit = alarm_unit_of(id);
		const char *key = alien_key(a, unit);
		int r;

		if (!key)
			continue;
		r = refuse(t, ret_error, "[alarm %s]: %s does not fit what it watches%s%s",
			   alarm_name(id), key, units[unit].set_key ? "; it has " : "",
			   units[unit].set_key ? units[unit].set_key : "");
		if (r < 0)
			return r;
	}
	return 0;
}

static void apply_alarm(const struct alarm_text *a, enum alarm_id id, struct alarm_rule *rule)
{
	enum alarm_unit unit = alarm_unit_of(id);

	if (unit < ALARM_UNIT_COUNT && a->set[unit] != NO_VALUE)
		rule->set = a->set[unit] * units[unit].factor;
	if (unit < ALARM_UNIT_COUNT && a->clear[unit] != NO_VALUE)
		rule->clear = a->clear[unit] * units[unit].factor;
	if (a->enabled)
		rule->enabled = strcmp(a->enabled, "yes") == 0;
	if (a->latch)
		rule->latch = strcmp(a->latch, "yes") == 0;
	if (a->level)
		(void)!alarm_level_find(a->level, &rule->level);
	if (a->set_delay_msec != NOT_GIVEN)
		rule->set_delay_msec = a->set_delay_msec;
	if (a->clear_delay_msec != NOT_GIVEN)
		rule->clear_delay_msec = a->clear_delay_msec;
}

/* One whose values do not fit each other goes by its preset. */
static int apply_alarms(struct text *t, struct bmsd_conf_pack *pack, char **ret_error)
{
	struct alarms_settings *alarms = &pack->alarms;
	char reason[SAMPLE_REASON_BYTES] = "";

	if (t->load_min_ma != NOT_GIVEN)
		alarms->load_min_ua = (int64_t)t->load_min_ma * 1000;
	if (t->load_factor_percent != NOT_GIVEN)
		alarms->load_factor_percent = (unsigned)t->load_factor_percent;
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		struct alarm_rule preset = alarms->rules[id];
		int r;

		apply_alarm(&t->alarms[id], id, &alarms->rules[id]);
		if (alarms_check_settings(alarms, reason) == 0)
			continue;
		r = refuse(t, ret_error, "[pack %u]: %s", pack->number, reason);
		if (r < 0)
			return r;
		alarms->rules[id] = preset;
	}
	return 0;
}

static int64_t rated_ua(uint64_t given_ma)
{
	return given_ma == NOT_GIVEN ? 0 : (int64_t)given_ma * 1000;
}

/* More than the larger of the two rated currents cannot have flowed while nobody looked. */
static void limit_unseen_current(const struct pack_text *t, struct estimator_settings *e)
{
	if (t->charge_max_ma == NOT_GIVEN || t->discharge_max_ma == NOT_GIVEN)
		return;
	e->current_max_ma = t->discharge_max_ma > t->charge_max_ma ? t->discharge_max_ma
								   : t->charge_max_ma;
}

static int apply_presets(struct pack_text *p, char **ret_error)
{
	struct bmsd_conf_pack *pack = &p->pack;
	enum chemistry chemistry = CHEMISTRY_NMC;

	if (!p->chemistry || chemistry_parse(p->chemistry, &chemistry) < 0)
		return config_invalid(ret_error, "[pack %u]: chemistry may not be empty",
				      pack->number);
	pack->estimator = estimator_settings_default(chemistry);
	pack->limits = limits_settings_default(chemistry);
	alarms_preset(chemistry, rated_ua(p->charge_max_ma), rated_ua(p->discharge_max_ma),
		      &pack->alarms);
#define APPLY(key, member, min, max)                                                               \
	if (p->key != NOT_GIVEN)                                                                   \
		pack->member = p->key;
	PRESET_KEYS(APPLY)
#undef APPLY
	limit_unseen_current(p, &pack->estimator);
	pack->estimator.ocv_table = p->ocv_table ? ocv_find(p->ocv_table) : NULL;
	pack->estimator.ocv_verified = p->ocv_verified;
	return 0;
}

/* ---- checks of what belongs together ---- */

static int check_settings(const struct bmsd_conf_pack *p, char **ret_error)
{
	char reason[SAMPLE_REASON_BYTES] = "";

	if (estimator_settings_check(&p->estimator, reason) < 0 ||
	    limits_settings_check(&p->limits, reason) < 0)
		return config_invalid(ret_error, "[pack %u]: %s", p->number, reason);
	return 0;
}

/* Who it is and how it is reached; the packs before it are in c. */
static int check_address(const struct bmsd_conf *c, const struct bmsd_conf_pack *p,
			 char **ret_error)
{
	const char *why = "";

	if (!p->name || !p->driver || !p->baud)
		return config_invalid(
			ret_error, "[pack %u]: name, driver and baud may not be empty", p->number);
	if (!p->device)
		return config_invalid(ret_error, "[pack %u]: device is missing", p->number);
	if (link_check(p->device, &why) < 0)
		return config_invalid(ret_error, "[pack %u]: device: %s", p->number, why);
	if (!fs_is_safe_name(p->name))
		return config_invalid(ret_error, "[pack %u]: name is not a file name", p->number);
	for (const struct bmsd_conf_pack *o = c->packs; o < c->packs + c->n_packs; o++)
		if (strcmp(o->name, p->name) == 0 || strcmp(o->device, p->device) == 0)
			return config_invalid(
				ret_error, "[pack %u]: name or device is the same as of [pack %u]",
				p->number, o->number);
	return 0;
}

static int check_interval(struct text *t, struct bmsd_conf_pack *p, char **ret_error)
{
	int r;

	if (p->poll_interval_msec * 2 <= t->conf.stale_msec)
		return 0;
	r = refuse(t, ret_error, "[pack %u]: poll_interval_msec must be at most half of stale_msec",
		   p->number);
	p->poll_interval_msec = t->conf.stale_msec / 2;
	return r;
}

static int check_general(struct text *t, char **ret_error)
{
	struct bmsd_conf *c = &t->conf;
	int r = 0;

	if (c->cell_min_mv >= c->cell_max_mv) {
		r = refuse(t, ret_error, "[limits]: cell_min_mv must be less than cell_max_mv");
		c->cell_min_mv = CELL_MIN_MV;
		c->cell_max_mv = CELL_MAX_MV;
	}
	if (r == 0 && !c->state_dir) {
		r = refuse(t, ret_error, "[state]: dir may not be empty");
		c->state_dir = strdup(STATE_DIR);
		r = r == 0 && !c->state_dir ? -ENOMEM : r;
	}
	if (r == 0 && c->metrics_socket &&
	    strlen(c->metrics_socket) >= sizeof((struct sockaddr_un *)0)->sun_path) {
		r = refuse(t, ret_error, "[metrics]: socket has too long a path");
		free(TAKE_PTR(c->metrics_socket));
	}
	return r;
}

/* ---- load ---- */

static void pack_done(struct bmsd_conf_pack *p)
{
	free(p->name);
	free(p->driver);
	free(p->device);
	free(p->baud);
}

static void conf_done(struct bmsd_conf *c)
{
	for (size_t i = 0; i < BMSD_MAX_PACKS; i++)
		pack_done(&c->packs[i]);
	free(c->state_dir);
	free(c->capture_dir);
	free(c->metrics_socket);
}

static void text_free(struct text **text)
{
	struct text *t = *text;

	if (!t)
		return;
	for (size_t i = 0; i < BMSD_MAX_PACKS; i++) {
		pack_done(&t->packs[i].pack);
		free(t->packs[i].chemistry);
		free(t->packs[i].ocv_table);
	}
	for (size_t i = 0; i < ALARM_COUNT; i++) {
		free(t->alarms[i].enabled);
		free(t->alarms[i].level);
		free(t->alarms[i].latch);
	}
	conf_done(&t->conf);
	free(t);
}

/* A pack that is whole moves over. */
static int take_pack(struct text *t, struct pack_text *p, char **ret_error)
{
	_cleanup_free_ char *why = NULL;
	struct bmsd_conf *c = &t->conf;
	int r;

	r = apply_presets(p, &why);
	if (r == 0)
		r = check_address(c, &p->pack, &why);
	if (r == 0)
		r = check_settings(&p->pack, &why);
	if (r < 0 && t->tolerant) {
		leave_out_pack(t, p, why ? why : "out of memory");
		return 0;
	}
	if (r == 0)
		r = check_interval(t, &p->pack, &why);
	if (r == 0)
		r = apply_alarms(t, &p->pack, &why);
	if (r < 0) {
		*ret_error = TAKE_PTR(why);
		return r;
	}
	p->pack.baud_rate = (unsigned)strtoul(p->pack.baud, NULL, 10);
	c->packs[c->n_packs++] = p->pack;
	p->pack = (struct bmsd_conf_pack){};
	return 0;
}

/* By number and without gaps. */
static int finish(struct text *t, char **ret_error)
{
	struct bmsd_conf *c = &t->conf;
	int r;

	c->events.max_bytes = t->events_max_kib * 1024;
	c->capture_max_bytes = t->capture_max_kib * 1024;
	c->fet.open_max_ua = (int64_t)t->fet_open_max_ma * 1000;
	r = check_general(t, ret_error);
	if (r == 0)
		r = check_alarm_units(t, ret_error);
	for (size_t i = 0; i < BMSD_MAX_PACKS && r == 0; i++)
		if (t->packs[i].pack.used && !t->packs[i].left_out)
			r = take_pack(t, &t->packs[i], ret_error);
	return r;
}

static void note_unreadable(struct text *t, int error, const char *sentence)
{
	char text[BMSD_CONF_REFUSAL_BYTES];

	t->conf.read_error = error;
	(void)snprintf(text, sizeof text, "%.*s; no pack is known", BMSD_CONF_REFUSAL_BYTES - 24,
		       sentence ? sentence : "bmsd.conf cannot be read");
	note(&t->conf, -1, text);
}

static int load(const char *path, bool tolerant, struct bmsd_conf **ret, char **ret_error)
{
	_cleanup_(text_free) struct text *t = new_with_defaults();
	_cleanup_free_ char *error = NULL;
	struct bmsd_conf *c;
	int r;

	if (!t)
		return -ENOMEM;
	t->tolerant = tolerant;
	r = config_load_lenient(path, keys, ELEMENTSOF(keys), t, resolve,
				tolerant ? on_refused : NULL, t, &error);
	if (r < 0 && r != -ENOMEM && tolerant) {
		note_unreadable(t, r, error);
		r = 0;
	}
	if (r == 0)
		r = finish(t, &error);
	c = r == 0 ? malloc(sizeof *c) : NULL;
	if (!c) {
		*ret_error = TAKE_PTR(error);
		return r < 0 ? r : -ENOMEM;
	}
	*c = t->conf;
	t->conf = (struct bmsd_conf){};
	*ret = c;
	return 0;
}

int bmsd_conf_load(const char *path, struct bmsd_conf **ret, char **ret_error)
{
	_cleanup_free_ char *error = NULL;
	int r = load(path, false, ret, &error);

	if (r < 0 && ret_error)
		*ret_error = TAKE_PTR(error);
	return r;
}

int bmsd_conf_load_tolerant(const char *path, struct bmsd_conf **ret)
{
	_cleanup_free_ char *error = NULL;

	return load(path, true, ret, &error);
}

bool bmsd_conf_has_lost_all(const struct bmsd_conf *c)
{
	return c->n_packs == 0 && c->n_refused > 0;
}

struct bmsd_conf *bmsd_conf_free(struct bmsd_conf *c)
{
	if (c)
		conf_done(c);
	free(c);
	return NULL;
}
