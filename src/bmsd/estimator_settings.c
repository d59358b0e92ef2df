/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/estimator.h"

struct estimator_settings estimator_settings_default(enum chemistry chemistry)
{
	bool lfp = chemistry == CHEMISTRY_LFP;

	return (struct estimator_settings){
		.chemistry = chemistry,
		/* Where chargers of LFP packs end: at 3.45 to 3.65 V, as they are set. What flows in
		 * between, once the current has tailed off, is less than the anchor's error. */
		.cell_full_mv = lfp ? 3450 : 4200,
		.cell_empty_mv = lfp ? 2600 : 3000,
		.full_tolerance_mv = 20,
		.full_current_permille = 50,
		.full_hold_sec = 180,
		.empty_current_permille = 300,
		.empty_hold_sec = 60,
		.full_error_centipercent = 100,
		.empty_error_centipercent = 200,
		.board_error_centipercent = 2500,
		.rest_current_ma = 200,
		.rest_sec = lfp ? 7200 : 1800,
		.ocv_tolerance_mv = lfp ? 15 : 5,
		.ocv_error_centipercent = 250,
		.charge_efficiency_permille = 995,
		.current_error_permille = 10,
		.current_max_ma = 60000,
		.offset_max_ma = 300,
		.offset_error_ma = 100,
		.gap_msec = 5000,
		.capacity_error_permille = 250,
		.end_of_life_percent = 80,
		.cycles_to_end_of_life = lfp ? 4000 : 1000,
		.resistance_step_permille = 200,
	};
}

struct range {
	const char *name;
	uint64_t value, low, high;
};

static int check_ranges(const struct range *ranges, size_t n, char ret_reason[SAMPLE_REASON_BYTES])
{
	for (size_t i = 0; i < n; i++) {
		const struct range *r = &ranges[i];

		if (r->value >= r->low && r->value <= r->high)
			continue;
		(void)snprintf(ret_reason, SAMPLE_REASON_BYTES,
			       "%s = %llu is not within %llu and %llu", r->name,
			       (unsigned long long)r->value, (unsigned long long)r->low,
			       (unsigned long long)r->high);
		return -EINVAL;
	}
	return 0;
}

int estimator_settings_check(const struct estimator_settings *s,
			     char ret_reason[SAMPLE_REASON_BYTES])
{
	const struct range ranges[] = {
		{ "chemistry", s->chemistry, 0, CHEMISTRY_COUNT - 1 },
		{ "capacity_design_mah", s->capacity_design_mah, 0, 10000000 },
		{ "cell_full_mv", s->cell_full_mv, s->cell_empty_mv + 100, 5000 },
		{ "cell_empty_mv", s->cell_empty_mv, 1000, 5000 },
		{ "full_tolerance_mv", s->full_tolerance_mv, 0, 100 },
		{ "full_current_permille", s->full_current_permille, 1, 500 },
		{ "full_hold_sec", s->full_hold_sec, 1, 3600 },
		{ "empty_current_permille", s->empty_current_permille, 1, 1000 },
		{ "empty_hold_sec", s->empty_hold_sec, 1, 3600 },
		{ "full_error_centipercent", s->full_error_centipercent, 0, 10000 },
		{ "empty_error_centipercent", s->empty_error_centipercent, 0, 10000 },
		{ "board_error_centipercent", s->board_error_centipercent, 0, 10000 },
		{ "rest_current_ma", s->rest_current_ma, 1, 10000 },
		{ "rest_sec", s->rest_sec, 60, 86400 },
		{ "ocv_tolerance_mv", s->ocv_tolerance_mv, 1, 100 },
		{ "ocv_error_centipercent", s->ocv_error_centipercent, 1, 10000 },
		{ "charge_efficiency_permille", s->charge_efficiency_permille, 980, 1000 },
		{ "current_deadband_ma", s->current_deadband_ma, 0, 1000 },
		{ "current_error_permille", s->current_error_permille, 0, 200 },
		{ "current_max_ma", s->current_max_ma, 100, 10000000 },
		{ "offset_max_ma", s->offset_max_ma, 1, 10000 },
		{ "offset_error_ma", s->offset_error_ma, 1, 10000 },
		{ "gap_msec", s->gap_msec, 1000, 600000 },
		{ "capacity_error_permille", s->capacity_error_permille, 0, 1000 },
		{ "end_of_life_percent", s->end_of_life_percent, 1, 99 },
		{ "cycles_to_end_of_life", s->cycles_to_end_of_life, 1, 100000 },
		{ "resistance_step_permille", s->resistance_step_permille, 10, 10000 },
	};

	if (s->ocv_verified && !s->ocv_table) {
		(void)snprintf(ret_reason, SAMPLE_REASON_BYTES,
			       "ocv_verified without an ocv_table");
		return -EINVAL;
	}
	return check_ranges(ranges, ELEMENTSOF(ranges), ret_reason);
}
