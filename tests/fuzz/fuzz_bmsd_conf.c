/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bmsd.conf: read strictly, as --check-config does, and tolerantly, as the daemon does. The daemon has a
 * configuration of any bytes; it leaves something out, and says so, exactly where the strict reading fails.
 * Everything that comes of either can be worked with: all that is made of the settings starts and takes a
 * sample.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "bmsd/conf.h"
#include "bmsd/driver.h"
#include "bmsd/link.h"
#include "common/fsutil.h"

static const char *write_input(const uint8_t *data, size_t size)
{
	static char path[40];
	static int fd = FD_NONE;

	if (fd < 0) {
		fd = memfd_create("conf", MFD_CLOEXEC);
		check(fd >= 0);
		(void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	}
	check(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	return path;
}

static void work(const struct bmsd_conf_pack *p)
{
	const struct sample s = {
		.valid = 1u << SAMPLE_VOLTAGE | 1u << SAMPLE_CURRENT | 1u << SAMPLE_CELLS |
			 1u << SAMPLE_TEMPERATURES | 1u << SAMPLE_CAPACITY,
		.voltage_uv = 7400000,
		.current_ua = -1000000,
		.capacity_percent = 50,
		.n_cells = 2,
		.cells_uv = { 3700000, 3700000 },
		.n_temperatures = 1,
		.temperatures_decicelsius = { 250 },
	};
	struct alarm_derived derived = { 5000, 1000 };
	struct alarm_change changes[ALARM_COUNT];
	struct estimator *e = NULL;
	struct estimator_view view;
	struct limits *l = NULL;
	struct alarms a;

	check(estimator_new(&p->estimator, &e) == 0);
	check(limits_new(&p->limits, &l) == 0);
	alarms_init(&a, &p->alarms, NULL);
	(void)estimator_resume(e, NULL, &s, -1);
	for (uint64_t dt_msec = 1; dt_msec < 5000000; dt_msec *= 9) {
		(void)estimator_step(e, &s, dt_msec);
		estimator_look(e, &view);
		check(view.soc_centipercent >= -1 && view.soc_centipercent <= 10000);
		limits_step(l, &s, view.soc_centipercent, dt_msec);
		check(alarms_step(&a, &s, &derived, dt_msec, 1, changes) <= ALARM_COUNT);
	}
	(void)estimator_free(e);
	(void)limits_free(l);
}

static void judge_pack(const struct bmsd_conf *c, const struct bmsd_conf_pack *p)
{
	const char *error = NULL;

	check(p->used && p->number < BMSD_MAX_PACKS);
	check(fs_is_safe_name(p->name) && link_check(p->device, &error) == 0);
	check(driver_find(p->driver) && p->baud_rate >= 9600 && p->baud_rate <= 115200);
	check(p->poll_interval_msec >= 100 && p->poll_interval_msec * 2 <= c->stale_msec);
	check(p->timeout_msec >= 50 && p->timeout_msec <= 5000 && p->cells <= SAMPLE_MAX_CELLS);
	for (const struct bmsd_conf_pack *o = c->packs; o < p; o++)
		check(o->number < p->number && strcmp(o->name, p->name) != 0);
	work(p);
}

static void judge(const struct bmsd_conf *c)
{
	check(c->n_packs <= BMSD_MAX_PACKS && c->state_dir[0] == '/');
	check(c->cell_min_mv < c->cell_max_mv && c->cell_max_mv <= 10000);
	check(c->current_max_ma <= 2000000 && c->save_interval_sec >= 5);
	check(!c->metrics_socket || c->metrics_socket[0] == '/');
	check(!c->capture_dir || c->capture_dir[0] == '/');
	for (size_t i = 0; i < c->n_packs; i++)
		judge_pack(c, &c->packs[i]);
}

static void judge_refusals(const struct bmsd_conf *c)
{
	check(c->n_refused <= BMSD_CONF_REFUSALS);
	for (size_t i = 0; i < c->n_refused; i++) {
		const struct bmsd_conf_refusal *refusal = &c->refused[i];

		check(refusal->text[0] && refusal->pack >= -1 && refusal->pack < BMSD_MAX_PACKS);
		for (const char *at = refusal->text; *at; at++)
			check(*at >= ' ' && *at <= '~');
		for (size_t n = 0; n < c->n_packs; n++)
			check((int)c->packs[n].number != refusal->pack);
		for (size_t n = 0; n < i; n++)
			check(refusal->pack < 0 || c->refused[n].pack != refusal->pack);
	}
}

/* NULL: refused. */
static struct bmsd_conf *load_strict(const char *path)
{
	_cleanup_free_ char *error = NULL;
	struct bmsd_conf *c = NULL;
	int r = bmsd_conf_load(path, &c, &error);

	check((r == 0) == (c != NULL) && (r == 0) == (error == NULL));
	check(r == 0 || r == -EINVAL);
	check(!c || (c->n_refused == 0 && c->n_refused_more == 0));
	return c;
}

static void compare(const struct bmsd_conf *strict, const struct bmsd_conf *tolerant)
{
	check((strict != NULL) == (tolerant->n_refused == 0));
	check(!strict || strict->n_packs == tolerant->n_packs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = write_input(data, size);
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *strict = load_strict(path), *tolerant = NULL;

	check(bmsd_conf_load_tolerant(path, &tolerant) == 0 && tolerant->read_error == 0);
	compare(strict, tolerant);
	judge_refusals(tolerant);
	judge(tolerant);
	if (strict)
		judge(strict);
	return 0;
}
