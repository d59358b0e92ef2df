/* SPDX-License-Identifier: Apache-2.0 */
/* The drivers against the simulated boards: two who were written by the same documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bmsd/driver.h"
#include "bmsd/sample.h"
#include "bmsd/simboard.h"

static const struct sample_limits limits = {
	.cell_min_uv = 1000000,
	.cell_max_uv = 5000000,
	.current_max_ua = 500000000,
};

struct pair {
	const struct driver *driver;
	uint8_t *state;
	struct simboard *board;
	struct link_errors errors;
	struct sample sample;
};

static void begin(struct pair *p, const struct driver *driver, struct simboard_settings settings)
{
	*p = (struct pair){ .driver = driver };
	settings.protocol = driver == &driver_daly ? SIMBOARD_DALY : SIMBOARD_JBD;
	p->state = calloc(1, driver->state_bytes);
	assert_non_null(p->state);
	driver->init(p->state);
	assert_int_equal(simboard_new(&settings, &p->board), 0);
}

static void end(struct pair *p)
{
	(void)simboard_free(p->board);
	free(p->state);
}

static enum driver_step ask(struct pair *p, const uint8_t *request, size_t size)
{
	uint8_t answer[SIMBOARD_ANSWER_BYTES];
	enum driver_step step = DRIVER_WAIT;
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n = simboard_rx(p->board, request[i], answer);
	for (size_t i = 0; i < n && step == DRIVER_WAIT; i++)
		step = p->driver->rx(p->state, answer[i], &p->errors);
	return step == DRIVER_WAIT ? p->driver->timeout(p->state, &p->errors) : step;
}

static enum driver_step poll_board(struct pair *p)
{
	uint8_t request[DRIVER_REQUEST_BYTES];
	enum driver_step step = ask(p, request, p->driver->begin(p->state, request));

	while (step == DRIVER_SEND)
		step = ask(p, request, p->driver->next(p->state, request));
	if (step == DRIVER_DONE)
		assert_int_equal(p->driver->commit(p->state, &p->sample), 0);
	return step;
}

static uint64_t total(const struct link_errors *e)
{
	uint64_t n = 0;

	for (size_t i = 0; i < LINK_ERROR_COUNT; i++)
		n += e->n[i];
	return n;
}

static const struct driver *const drivers[] = { &driver_jbd, &driver_daly };

static void test_simulated_boards_are_believed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct simboard_settings settings = { .model = "SIM",
						      .cells = i % 32 + 1,
						      .ntcs = i % 9,
						      .current_ma = (int)i * 200 - 20000,
						      .soc_percent = i % 101,
						      .capacity_mah = 40000,
						      .seed = i };
		struct sample_gates gates = {};
		struct pair p;

		begin(&p, drivers[i / 2 % 2], settings);
		for (int64_t msec = 0; msec < 10000; msec += 1000) {
			enum sample_gate gate;
			char reason[SAMPLE_REASON_BYTES] = "";

			simboard_advance(p.board, 1000);
			assert_int_equal(poll_board(&p), DRIVER_DONE);
			assert_int_equal(
				sample_admit(&gates, &p.sample, &limits, msec, &gate, reason), 0);
			assert_int_equal(p.sample.n_cells, settings.cells);
			assert_int_equal(p.sample.n_temperatures, settings.ntcs);
			assert_string_equal(p.sample.model, "SIM");
		}
		assert_int_equal(total(&p.errors), 0);
		end(&p);
	}
}

static void test_both_say_the_same(void **state)
{
	struct simboard_settings settings = { .model = "SIM",
					      .cells = 13,
					      .ntcs = 2,
					      .current_ma = -20000,
					      .soc_percent = 80,
					      .capacity_mah = 40000 };
	struct pair p[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		begin(&p[i], drivers[i], settings);
		for (unsigned second = 0; second < 600; second++)
			simboard_advance(p[i].board, 1000);
		assert_int_equal(poll_board(&p[i]), DRIVER_DONE);
	}
	for (size_t i = 0; i < 13; i++)
		assert_true(llabs(p[0].sample.cells_uv[i] - p[1].sample.cells_uv[i]) <= 20000);
	assert_true(llabs(p[0].sample.current_ua - p[1].sample.current_ua) <= 2000000);
	assert_true(p[0].sample.current_ua < -10000000);
	assert_true(llabs(p[0].sample.charge_uah - p[1].sample.charge_uah) <= 500000);
	assert_true(p[0].sample.charge_uah < 32000000);
	assert_int_equal(p[0].sample.charge_full_design_uah, p[1].sample.charge_full_design_uah);
	end(&p[0]);
	end(&p[1]);
}

static void test_switches_do_what_they_say(void **state)
{
	struct simboard_settings settings = {
		.model = "SIM", .cells = 13, .soc_percent = 60, .capacity_mah = 40000
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		uint8_t request[DRIVER_REQUEST_BYTES];
		struct pair p;

		begin(&p, drivers[i], settings);
		for (unsigned turn = 0; turn < 8; turn++) {
			enum fet fet = turn & 1 ? FET_CHARGE : FET_DISCHARGE;
			bool on = turn & 2, other;
			ssize_t size;

			assert_int_equal(poll_board(&p), DRIVER_DONE);
			other = fet == FET_CHARGE ? p.sample.discharge_fet : p.sample.charge_fet;
			size = p.driver->set_fet(p.state, fet, on, request);
			assert_true(size > 0);
			assert_int_equal(ask(&p, request, (size_t)size), DRIVER_DONE);
			simboard_advance(p.board, 1000);
			assert_int_equal(poll_board(&p), DRIVER_DONE);
			assert_int_equal(fet == FET_CHARGE ? p.sample.charge_fet
							   : p.sample.discharge_fet,
					 on);
			assert_int_equal(fet == FET_CHARGE ? p.sample.discharge_fet
							   : p.sample.charge_fet,
					 other);
		}
		end(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simulated_boards_are_believed),
		cmocka_unit_test(test_both_say_the_same),
		cmocka_unit_test(test_switches_do_what_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
