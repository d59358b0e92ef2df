/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bmsd restores at its start: state.a, state.b, state.daily and state.replaced, one after the other
 * in the input, each ended by a byte 1. The first byte of each says whether the rest is the whole file, or the
 * JSON of one whose header is right. What is restored is possible, whoever uses it stays within its
 * bounds, and what is saved is restored again as it was, with all that this bmsd does not know.
 */
#include "directory.h"

#include <inttypes.h>
#include <string.h>

#include "bmsd/state.h"
#include "common/crc32.h"
#include "common/json.h"

#define DIRECTORY   "pack"
#define SLOT_A	    DIRECTORY "/state.a"
#define SLOT_B	    DIRECTORY "/state.b"
#define FILE_BYTES  (128 << 10)
#define OPEN_MAX_UA INT64_C(500000)
#define WALL_SEC    UINT64_C(1800000000)
#define SEQUENCES   (UINT64_C(1) << 51)
#define FET_STEPS   8
#define SAVE	    2 /* of the first byte: go on with what was restored, which takes long */
#define SOC_PERCENT "soc_percent" /* the one member of ours that may be taken away */

static const char *const files[] = { SLOT_A, SLOT_B, DIRECTORY "/state.daily",
				     DIRECTORY "/state.replaced" };
static int root_fd;

static void put_json(const char *name, const uint8_t *json, size_t size)
{
	static char text[FILE_BYTES];
	int n = snprintf(text, sizeof text, "bmsd-state 1 %zu %08" PRIx32 "\n", size,
			 crc32_update(0, json, size));

	check(n > 0 && (size_t)n + size + 1 <= sizeof text);
	memcpy(text + n, json, size);
	text[(size_t)n + size] = '\n';
	directory_put(root_fd, name, text, (size_t)n + size + 1);
}

/* How many there are. */
static size_t put_files(const uint8_t *data, size_t size)
{
	size_t n = 0;

	check(fs_remove_tree(root_fd, DIRECTORY) == 0 && fs_mkdir_p(root_fd, DIRECTORY, 0700) == 0);
	for (; n < ELEMENTSOF(files) && size > 0; n++) {
		const uint8_t *end = memchr(data, 1, size);
		size_t length = end ? (size_t)(end - data) : size;

		if (length > 0 && data[0] & 1)
			directory_put(root_fd, files[n], data + 1, length - 1);
		else if (length > 0)
			put_json(files[n], data + 1, length - 1);
		length += end != NULL;
		data += length;
		size -= length;
	}
	return n;
}

/* ---- what is restored ---- */

static struct sample sample_now(void)
{
	return (struct sample){ .valid = UINT32_MAX,
				.model = "BOARD",
				.voltage_uv = 48000000,
				.current_ua = -20000000,
				.charge_uah = 20000000,
				.charge_full_uah = 40000000,
				.charge_full_design_uah = 40000000,
				.capacity_percent = 50,
				.cycles = 42,
				.charge_fet = true,
				.discharge_fet = true,
				.n_cells = 2,
				.cells_uv = { 3700000, 3710000 },
				.n_temperatures = 1,
				.temperatures_decicelsius = { 250 } };
}

static void use_estimator(const struct estimator_memory *m, int64_t elapsed_msec)
{
	struct estimator_settings settings = estimator_settings_default(CHEMISTRY_NMC);
	_cleanup_(estimator_freep) struct estimator *e = NULL;
	struct estimator_memory again;
	struct estimator_view v;
	const struct sample s = sample_now();
	const char *member;

	check(estimator_new(&settings, &e) == 0);
	check(estimator_resume(e, m, &s, elapsed_msec) != SOC_SOURCE_NONE);
	(void)estimator_step(e, &s, 1000);
	estimator_look(e, &v);
	check(v.soc_centipercent >= 0 && v.soc_centipercent <= 10000);
	check(v.margin_centipercent >= 0 && v.margin_centipercent <= 10000);
	check(v.charge_now_uah >= 0 && v.charge_now_uah <= v.charge_full_uah);
	check(v.soh_centipercent >= 0 && v.cycles_milli >= 0);
	estimator_export(e, &again);
	check(estimator_memory_check(&again, &member) == 0);
	check(again.discharged_uah >= m->discharged_uah);
}

static void use_alarms(const struct alarms_memory *m)
{
	struct alarm_change changes[ALARM_COUNT];
	const struct alarm_derived derived = { 5000, 1000 };
	struct alarms_settings settings;
	struct alarms a;
	const struct sample s = sample_now();

	alarms_preset(CHEMISTRY_NMC, 20000000, 60000000, &settings);
	alarms_init(&a, &settings, m);
	for (unsigned i = 0; i < 3; i++)
		check(alarms_step(&a, &s, &derived, 60000, WALL_SEC, changes) <= ALARM_COUNT);
	check(alarms_reset(&a, changes) <= ALARM_COUNT);
}

/* Whatever a state says, no switch is opened under way. */
static void use_switches(const struct fet_memory *m)
{
	const struct fet_settings settings = { true, OPEN_MAX_UA, 3600 };
	const struct sample s = sample_now();
	struct fet_control f;

	for (unsigned i = 0; i < FET_COUNT; i++)
		check(memchr(m->locks[i].reason, 0, sizeof m->locks[i].reason));
	fet_init(&f, &settings, m, 60);
	for (unsigned i = 0; i < FET_STEPS; i++) {
		struct fet_action action = fet_step(&f, &s, 1000);

		check(!action.send || action.on);
	}
}

static void use(const struct state *s)
{
	const struct state_kept *k = state_kept(s);
	const struct state_stamp now = { "B203012310001", WALL_SEC, 5000, "other" };
	struct state_view v;
	const char *member;

	state_look(s, &v);
	check(v.soc_percent >= -1 && v.soc_percent <= 100);
	check(v.soc_restored_centipercent >= -1 && v.soc_restored_centipercent <= 10000);
	check(v.damaged >= 0 && v.damaged <= 2);
	check(memchr(v.writer, 0, sizeof v.writer) && memchr(v.model, 0, sizeof v.model));
	check(estimator_memory_check(&k->estimator, &member) == 0);
	check(lifetime_check(&k->lifetime, &member) == 0);
	check(state_elapsed_msec(s, &now) >= -1);
	use_estimator(&k->estimator, state_elapsed_msec(s, &now));
	use_estimator(&k->estimator, -1);
	use_alarms(&k->alarms);
	use_switches(&k->fet);
}

/* ---- what is saved ---- */

static cJSON *read_json(const char *name)
{
	_cleanup_free_ char *text = NULL;
	cJSON *json = NULL;
	const char *at;
	size_t size = 0;

	check(fs_read_file(root_fd, name, FILE_BYTES, &text, &size) == 0);
	at = memchr(text, '\n', size);
	check(at);
	check(json_parse(at + 1, size - (size_t)(at + 1 - text), NULL, &json, NULL) == 0);
	return json;
}

/* Of the only file that there was. */
static void check_carried(const cJSON *before, const cJSON *after)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, before)
		check(strcmp(item->string, SOC_PERCENT) == 0 ||
		      strcmp(item->string, "sequence") == 0 ||
		      cJSON_GetObjectItemCaseSensitive(after, item->string));
}

/* 1, or 0: it would be too large, and was not. */
static int save(struct state *s)
{
	const struct state_stamp stamp = { "B203012310001", WALL_SEC, 5000, "boot" };
	int r;

	(void)state_keep(s);
	r = state_save(s, &stamp);
	check(r == 1 || r == -EFBIG);
	return r == 1;
}

static struct state *reopen(struct state *s)
{
	(void)state_free(s);
	check(state_open(root_fd, DIRECTORY, &s) == 0);
	return s;
}

/* The name of the slot that has the higher sequence. */
static const char *newer_slot(uint64_t sequence)
{
	for (size_t i = 0; i < 2; i++) {
		_cleanup_json_ cJSON *json = NULL;
		uint64_t its = 0;

		if (faccessat(root_fd, files[i], F_OK, 0) < 0)
			continue;
		json = read_json(files[i]);
		if (json_get_u64(json, "sequence", UINT64_MAX >> 11, &its, NULL) == 0 &&
		    its == sequence)
			return files[i];
	}
	check(false); /* the saved slot is not there */
	return NULL;
}

static cJSON *saved(const struct state *s)
{
	struct state_view v;
	cJSON *json;

	state_look(s, &v);
	json = read_json(newer_slot(v.sequence));
	cJSON_DeleteItemFromObjectCaseSensitive(json, "sequence");
	return json;
}

static void save_and_restore(struct state *s, bool is_one_file)
{
	_cleanup_json_ cJSON *before = NULL, *first = NULL, *second = NULL;
	struct state_view v;

	state_look(s, &v);
	/* Not of a number that nobody comes to. */
	if (v.sequence < SEQUENCES) {
		if (is_one_file && v.restored)
			before = read_json(SLOT_A);
		if (save(s)) {
			first = saved(s);
			s = reopen(s);
			state_look(s, &v);
			check(v.restored && !v.refused);
			use(s);
			check(save(s));
			second = saved(s);
			check(cJSON_Compare(first, second, true));
		}
		if (before && second)
			check_carried(before, second);
	}
	(void)state_note(s, &(struct sample){ .model = "BOARD", .capacity_percent = -1 });
	use(s);
	(void)state_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state *s = NULL;
	size_t n;

	root_fd = directory_open();
	n = put_files(data, size);
	check(state_open(root_fd, DIRECTORY, &s) == 0);
	use(s);
	if (size > 0 && data[0] & SAVE)
		save_and_restore(s, n == 1);
	else
		(void)state_free(s);
	return 0;
}
