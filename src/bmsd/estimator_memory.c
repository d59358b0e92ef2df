/* SPDX-License-Identifier: Apache-2.0 */
/* To the state file and back. */
#include <math.h>

#include "estimator_parts.h"

/* Beyond these no pack is, and no number of a double loses a unit. */
#define CHARGE_MAX_UAH	 UINT64_C(10000000000)
#define COUNTER_MAX	 (UINT64_C(1) << 52)
#define OHM_MAX_UOHM	 10000000
#define OFFSET_MAX_UA	 10000000
#define CAPACITY_LOWEST	 0.5
#define CAPACITY_HIGHEST 1.1

static uint64_t micro(double value)
{
	return value > 0 ? (uint64_t)llround(value * 1e6) : 0;
}

static uint32_t scaled(double value, double by)
{
	return (uint32_t)lround(fmax(value, 0) * by);
}

/* An uncertainty is never kept as less than it is. */
static uint32_t scaled_up(double value, double by)
{
	return (uint32_t)ceil(fmax(value, 0) * by);
}

static void export_anchors(const struct estimator *e, struct estimator_memory *m)
{
	for (size_t i = 0; i < ESTIMATOR_MEMORY_ANCHORS; i++) {
		const struct anchor *a = &e->anchors[SOC_ANCHOR_FULL + i];

		m->anchors[i] = (struct estimator_memory_anchor){
			.valid = a->valid,
			.soc_centipercent = scaled(a->soc, 100),
			.error_centipercent = scaled_up(a->error, 100),
			.counter_uah = llround(a->counter_ah * 1e6),
			.error_uah = micro(a->error_ah),
			.cold = a->cold,
		};
	}
}

void estimator_export(const struct estimator *e, struct estimator_memory *ret)
{
	*ret = (struct estimator_memory){
		.valid = e->known,
		.charge_now_uah = micro(e->now_ah),
		.margin_centipercent = e->known ? scaled_up(estimator_margin(e), 100) : 0,
		.reference_soc_centipercent = scaled(e->reference.soc, 100),
		.reference_error_centipercent = scaled_up(e->reference.error, 100),
		.reference_error_uah = micro(e->reference.error_ah),
		.charge_counter_uah = llround(e->counter_ah * 1e6),
		.error_uah = micro(e->error_ah),
		.charge_full_uah = micro(e->full_ah),
		.charge_full_error_permille = scaled_up(e->capacity_error, 1000),
		.charge_full_learned = e->learned,
		.charge_full_design_uah = micro(e->design_ah),
		.discharged_uah = micro(e->discharged_ah),
		.offset_ua = (int32_t)lround(e->offset_a * 1e6),
		.offset_error_ua = scaled(e->offset_error_a, 1e6),
		.resistance_uohm = scaled(e->r.pack_ohm, 1e6),
		.resistance_reference_uohm = scaled(e->r.reference_ohm, 1e6),
		.anchor = e->anchor,
		.anchor_age_sec = (uint64_t)llround(e->anchor_age_sec),
		.board_valid = e->last.has_board,
		.board_charge_uah = (int64_t)micro(e->last.board_ah),
		.board_cycles = e->last.board_cycles,
		.age_msec = (int64_t)e->pending_msec,
	};
	export_anchors(e, ret);
}

struct bound {
	const char *name;
	uint64_t value, most;
};

static uint64_t magnitude(int64_t value)
{
	return value < 0 ? -(uint64_t)value : (uint64_t)value;
}

static bool within(const struct bound *bounds, size_t n, const char **ret_member)
{
	for (size_t i = 0; i < n; i++) {
		if (bounds[i].value > bounds[i].most) {
			*ret_member = bounds[i].name;
			return false;
		}
	}
	return true;
}

static bool anchors_are_possible(const struct estimator_memory *m, const char **ret_member)
{
	for (size_t i = 0; i < ESTIMATOR_MEMORY_ANCHORS; i++) {
		const struct estimator_memory_anchor *a = &m->anchors[i];
		const struct bound bounds[] = {
			{ "anchor soc", a->soc_centipercent, 10000 },
			{ "anchor error", a->error_centipercent, 10000 },
			{ "anchor counter", magnitude(a->counter_uah), COUNTER_MAX },
			{ "anchor error_uah", a->error_uah, m->error_uah },
		};

		if (a->valid && !within(bounds, ELEMENTSOF(bounds), ret_member))
			return false;
	}
	return true;
}

int estimator_memory_check(const struct estimator_memory *m, const char **ret_member)
{
	const struct bound bounds[] = {
		{ "charge_full", m->charge_full_uah, CHARGE_MAX_UAH },
		{ "charge_full_design", m->charge_full_design_uah, CHARGE_MAX_UAH },
		{ "charge_now", m->charge_now_uah, m->charge_full_uah },
		{ "margin", m->margin_centipercent, 10000 },
		{ "reference_soc", m->reference_soc_centipercent, 10000 },
		{ "reference_error", m->reference_error_centipercent, 10000 },
		{ "charge_counter", magnitude(m->charge_counter_uah), COUNTER_MAX },
		{ "error", m->error_uah, COUNTER_MAX },
		{ "reference_error_uah", m->reference_error_uah, m->error_uah },
		{ "charge_full_error", m->charge_full_error_permille, 1000 },
		{ "discharged", m->discharged_uah, COUNTER_MAX },
		{ "offset", magnitude(m->offset_ua), OFFSET_MAX_UA },
		{ "offset_error", m->offset_error_ua, OFFSET_MAX_UA },
		{ "resistance", m->resistance_uohm, OHM_MAX_UOHM },
		{ "resistance_reference", m->resistance_reference_uohm, OHM_MAX_UOHM },
		{ "anchor", m->anchor, SOC_ANCHOR_COUNT - 1 },
		{ "anchor_age", m->anchor_age_sec, COUNTER_MAX },
		{ "board_charge", (uint64_t)m->board_charge_uah, CHARGE_MAX_UAH },
		{ "age_msec", magnitude(m->age_msec), ESTIMATOR_AGE_UNKNOWN },
	};

	if (!within(bounds, ELEMENTSOF(bounds), ret_member) || !anchors_are_possible(m, ret_member))
		return -ERANGE;
	return 0;
}

static void recall_anchors(struct estimator *e, const struct estimator_memory *m)
{
	for (size_t i = 0; i < ESTIMATOR_MEMORY_ANCHORS; i++) {
		const struct estimator_memory_anchor *a = &m->anchors[i];

		e->anchors[SOC_ANCHOR_FULL + i] = (struct anchor){
			.valid = a->valid,
			.cold = a->cold,
			.soc = a->soc_centipercent / 100.0,
			.error = a->error_centipercent / 100.0,
			.counter_ah = (double)a->counter_uah / 1e6,
			.error_ah = (double)a->error_uah / 1e6,
		};
	}
}

static void recall_capacity(struct estimator *e, const struct estimator_memory *m)
{
	double full_ah = (double)m->charge_full_uah / 1e6;

	if (full_ah < CAPACITY_LOWEST * e->design_ah || full_ah > CAPACITY_HIGHEST * e->design_ah)
		return;
	e->learned = m->charge_full_learned;
	e->full_ah = full_ah;
	if (e->learned)
		e->board_full_known = false;
	if (m->charge_full_error_permille)
		e->capacity_error = m->charge_full_error_permille / 1000.0;
}

/* A memory in which the margin's parts are missing says at least the margin. */
static void recall_charge(struct estimator *e, const struct estimator_memory *m)
{
	double margin = m->margin_centipercent / 100.0;

	if (!m->valid || m->charge_full_uah == 0)
		return;
	e->known = true;
	e->now_ah = e->full_ah * (double)m->charge_now_uah / (double)m->charge_full_uah;
	e->reference = (struct reference){
		.soc = m->reference_soc_centipercent / 100.0,
		.error = m->reference_error_centipercent / 100.0,
		.error_ah = (double)m->reference_error_uah / 1e6,
	};
	e->anchor = (enum soc_anchor)m->anchor;
	if (estimator_margin(e) < margin - 0.1)
		estimator_correct(e, estimator_soc(e), margin);
}

void estimator_recall(struct estimator *e, const struct estimator_memory *m, bool same_design)
{
	double most_a = (double)e->s.offset_max_ma / 1000;

	e->counter_ah = (double)m->charge_counter_uah / 1e6;
	e->error_ah = (double)m->error_uah / 1e6;
	e->discharged_ah = (double)m->discharged_uah / 1e6;
	e->offset_a = clamp(m->offset_ua / 1e6, -most_a, most_a);
	e->offset_error_a = m->offset_error_ua / 1e6;
	if (m->resistance_reference_uohm) {
		e->r.pack_ohm = m->resistance_uohm / 1e6;
		e->r.reference_ohm = m->resistance_reference_uohm / 1e6;
	}
	if (!same_design)
		return;
	recall_capacity(e, m);
	e->anchor_age_sec = (double)m->anchor_age_sec;
	e->last.has_board = m->board_valid;
	e->last.board_ah = (double)m->board_charge_uah / 1e6;
	e->last.board_cycles = m->board_cycles;
	recall_anchors(e, m);
	recall_charge(e, m);
}
