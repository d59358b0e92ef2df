/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/estimator.h"

#include <math.h>

#include "estimator_parts.h"

#define CURRENT_MAX_UA	 INT64_C(100000000000)
#define CHARGE_MAX_UAH	 INT64_C(10000000000)
#define FLOWING_LEAST_A	 0.5 /* below this a time to empty is no use */
#define TIME_MAX_SEC	 (INT64_C(30) * 24 * 3600)
#define CAPACITY_LOWEST	 0.5
#define CAPACITY_HIGHEST 1.1
#define SAME_DESIGN	 0.01
#define ELAPSED_MAX_MSEC (INT64_C(10) * 366 * 24 * 3600 * 1000)

static const char *const soc_source_names[SOC_SOURCE_COUNT] = {
	[SOC_SOURCE_NONE] = "none",
	[SOC_SOURCE_BOARD_DELTA] = "board-delta",
	[SOC_SOURCE_MEMORY] = "memory",
	[SOC_SOURCE_BOARD] = "board",
};

static const char *const soc_anchor_names[SOC_ANCHOR_COUNT] = {
	[SOC_ANCHOR_NONE] = "none",
	[SOC_ANCHOR_FULL] = "full",
	[SOC_ANCHOR_EMPTY] = "empty",
	[SOC_ANCHOR_REST] = "rest-voltage",
};

static const char *const soh_source_names[SOH_SOURCE_COUNT] = {
	[SOH_SOURCE_NONE] = "none",
	[SOH_SOURCE_LEARNED] = "learned",
	[SOH_SOURCE_BOARD] = "board",
	[SOH_SOURCE_CYCLES] = "cycle-model",
};

const char *soc_source_name(unsigned source)
{
	return source < SOC_SOURCE_COUNT ? soc_source_names[source] : "?";
}

const char *soc_anchor_name(unsigned anchor)
{
	return anchor < SOC_ANCHOR_COUNT ? soc_anchor_names[anchor] : "?";
}

const char *soh_source_name(unsigned source)
{
	return source < SOH_SOURCE_COUNT ? soh_source_names[source] : "?";
}

int estimator_new(const struct estimator_settings *settings, struct estimator **ret)
{
	char reason[SAMPLE_REASON_BYTES];
	struct estimator *e;
	int r = estimator_settings_check(settings, reason);

	if (r < 0)
		return r;
	e = calloc(1, sizeof *e);
	if (!e)
		return -ENOMEM;
	e->s = *settings;
	*ret = e;
	return 0;
}

struct estimator *estimator_free(struct estimator *e)
{
	free(e);
	return NULL;
}

double clamp(double x, double low, double high)
{
	return fmin(fmax(x, low), high);
}

double estimator_soc(const struct estimator *e)
{
	return clamp(100 * e->now_ah / e->full_ah, 0, 100);
}

double estimator_margin(const struct estimator *e)
{
	double soc = estimator_soc(e);
	double counted = 100 * (e->error_ah - e->reference.error_ah) / e->full_ah;
	double margin = e->reference.error + counted * (1 + e->capacity_error) +
			e->capacity_error * fabs(soc - e->reference.soc);

	return fmin(margin, fmax(soc, 100 - soc));
}

void estimator_correct(struct estimator *e, double soc, double error)
{
	e->now_ah = e->full_ah * soc / 100;
	e->reference = (struct reference){ soc, error, e->error_ah };
}

/* ---- one sample ---- */

static void read_cells(const struct sample *s, struct input *in)
{
	double sum = 0;

	if (!sample_has(s, SAMPLE_CELLS) || s->n_cells == 0 || s->n_cells > SAMPLE_MAX_CELLS)
		return;
	in->n_cells = s->n_cells;
	in->cell_min_v = INFINITY;
	for (size_t i = 0; i < s->n_cells; i++) {
		double volt = (double)s->cells_uv[i] / 1e6;

		in->cells_v[i] = volt;
		in->cell_min_v = fmin(in->cell_min_v, volt);
		in->cell_max_v = fmax(in->cell_max_v, volt);
		sum += volt;
	}
	in->cell_mean_v = sum / (double)s->n_cells;
}

static void read_temperatures(const struct sample *s, struct input *in)
{
	if (!sample_has(s, SAMPLE_TEMPERATURES) || s->n_temperatures == 0 ||
	    s->n_temperatures > SAMPLE_MAX_TEMPERATURES)
		return;
	in->has_temperature = true;
	in->coldest_c = INFINITY;
	in->hottest_c = -INFINITY;
	for (size_t i = 0; i < s->n_temperatures; i++) {
		double c = (double)s->temperatures_decicelsius[i] / 10;

		in->coldest_c = fmin(in->coldest_c, c);
		in->hottest_c = fmax(in->hottest_c, c);
	}
}

static struct input read_sample(const struct sample *s)
{
	struct input in = {
		.has_current = sample_has(s, SAMPLE_CURRENT) && s->current_ua > -CURRENT_MAX_UA &&
			       s->current_ua < CURRENT_MAX_UA,
		.has_voltage = sample_has(s, SAMPLE_VOLTAGE),
		.has_fets = sample_has(s, SAMPLE_CHARGE_FET) && sample_has(s, SAMPLE_DISCHARGE_FET),
		.has_board = sample_has(s, SAMPLE_CHARGE) && s->charge_uah >= 0 &&
			     s->charge_uah <= CHARGE_MAX_UAH,
		.voltage_v = (double)s->voltage_uv / 1e6,
		.charge_fet = s->charge_fet,
		.discharge_fet = s->discharge_fet,
		.board_cycles = sample_has(s, SAMPLE_CYCLES) ? s->cycles : 0,
		.board_at_end = sample_has(s, SAMPLE_CAPACITY) &&
				(s->capacity_percent <= 0 || s->capacity_percent >= 100),
	};

	if (in.has_current)
		in.current_a = (double)s->current_ua / 1e6;
	if (in.has_board)
		in.board_ah = (double)s->charge_uah / 1e6;
	read_cells(s, &in);
	read_temperatures(s, &in);
	return in;
}

/* What the next sample is compared with. A board that does not say its counter this time goes on by
 * what we counted, or that would be counted again over the next gap. */
static void remember(struct estimator *e, const struct input *in, double counted_ah)
{
	struct input before = e->last;

	e->last = *in;
	if (!in->has_board && before.has_board) {
		e->last.has_board = true;
		e->last.board_ah = fmax(0, before.board_ah + counted_ah);
		e->last.board_cycles = before.board_cycles;
	}
}

/* ---- the start ---- */

static double design_of(const struct estimator *e, const struct sample *s)
{
	if (e->s.capacity_design_mah)
		return (double)e->s.capacity_design_mah / 1000;
	if (sample_has(s, SAMPLE_CHARGE_FULL_DESIGN) && s->charge_full_design_uah > 0 &&
	    s->charge_full_design_uah <= CHARGE_MAX_UAH)
		return (double)s->charge_full_design_uah / 1e6;
	return 0;
}

/* What the pack may hold, as long as nothing else is known. */
static void assume_capacity(struct estimator *e, const struct sample *s)
{
	double full_ah = 0;

	if (sample_has(s, SAMPLE_CHARGE_FULL) && s->charge_full_uah <= CHARGE_MAX_UAH)
		full_ah = (double)s->charge_full_uah / 1e6;
	e->board_full_known = full_ah >= CAPACITY_LOWEST * e->design_ah &&
			      full_ah <= CAPACITY_HIGHEST * e->design_ah;
	e->full_ah = e->board_full_known ? full_ah : e->design_ah;
	e->capacity_error = (double)(e->s.capacity_error_permille + e->s.current_error_permille) /
			    1000;
}

static enum soc_source trust_board(struct estimator *e, const struct sample *s)
{
	if (!sample_has(s, SAMPLE_CAPACITY) || s->capacity_percent < 0 || s->capacity_percent > 100)
		return SOC_SOURCE_NONE;
	estimator_correct(e, s->capacity_percent, (double)e->s.board_error_centipercent / 100);
	e->known = true;
	e->anchor = SOC_ANCHOR_NONE;
	e->anchor_age_sec = 0;
	return SOC_SOURCE_BOARD;
}

static enum soc_source reconcile(struct estimator *e, const struct sample *s,
				 const struct input *in, int64_t elapsed_msec)
{
	double sec = (double)elapsed_msec / 1000;
	bool by_board = elapsed_msec < 0 ? estimator_bridge_untimed(e, in)
					 : estimator_bridge(e, in, sec);

	e->anchor_age_sec += fmax(sec, 0);
	if (by_board)
		return SOC_SOURCE_BOARD_DELTA;
	if (estimator_margin(e) > (double)e->s.board_error_centipercent / 100 &&
	    trust_board(e, s) == SOC_SOURCE_BOARD)
		return SOC_SOURCE_BOARD;
	return SOC_SOURCE_MEMORY;
}

static int64_t age_of(const struct estimator_memory *m, int64_t elapsed_msec)
{
	if (elapsed_msec < 0 || elapsed_msec > ELAPSED_MAX_MSEC || m->age_msec > ELAPSED_MAX_MSEC)
		return -1;
	return elapsed_msec + m->age_msec > 0 ? elapsed_msec + m->age_msec : 0;
}

enum soc_source estimator_resume(struct estimator *e, const struct estimator_memory *memory,
				 const struct sample *sample, int64_t elapsed_msec)
{
	struct input in = read_sample(sample);
	const char *member;
	bool usable = memory && estimator_memory_check(memory, &member) == 0;
	double remembered = usable ? (double)memory->charge_full_design_uah / 1e6 : 0;
	double design_ah = design_of(e, sample);

	if (design_ah <= 0)
		design_ah = remembered;
	if (design_ah <= 0)
		return SOC_SOURCE_NONE;
	e->design_ah = design_ah;
	assume_capacity(e, sample);
	if (usable)
		estimator_recall(e, memory,
				 fabs(remembered - design_ah) <= SAME_DESIGN * design_ah);
	e->source = e->known ? reconcile(e, sample, &in, age_of(memory, elapsed_msec))
			     : trust_board(e, sample);
	remember(e, &in, 0);
	return e->source;
}

/* ---- every further sample ---- */

static unsigned count_step(struct estimator *e, const struct input *in, uint64_t msec)
{
	double sec = (double)msec / 1000;
	unsigned events = 0;

	e->anchor_age_sec += sec;
	if (msec > e->s.gap_msec) {
		e->full_sec = e->empty_sec = e->rest_sec = 0;
		e->quiet = (struct quiet){ 0 };
		return estimator_bridge(e, in, sec) ? ESTIMATOR_GAP_BOARD : ESTIMATOR_GAP_BLIND;
	}
	estimator_count(e, in, sec);
	estimator_learn_offset(e, in, sec);
	events = estimator_find_anchors(e, in, sec);
	if (estimator_find_resistance(e, in, sec))
		events |= ESTIMATOR_RESISTANCE_LEARNED;
	return events;
}

unsigned estimator_step(struct estimator *e, const struct sample *sample, uint64_t dt_msec)
{
	struct input in = read_sample(sample);
	double before_ah = e->counter_ah;
	unsigned events;

	if (!e->known) {
		(void)estimator_resume(e, NULL, sample, -1);
		return 0;
	}
	if (dt_msec > (uint64_t)ELAPSED_MAX_MSEC)
		dt_msec = (uint64_t)ELAPSED_MAX_MSEC;
	e->pending_msec += dt_msec;
	if (!in.has_current)
		return 0;
	events = count_step(e, &in, e->pending_msec);
	e->pending_msec = 0;
	remember(e, &in, e->counter_ah - before_ah);
	return events;
}

/* ---- what others see ---- */

static int64_t micro(double value)
{
	return (int64_t)llround(value * 1e6);
}

static int64_t time_for(const struct estimator *e, double ah, double mean_a)
{
	double sec;

	if (mean_a <= 0 || mean_a < FLOWING_LEAST_A * e->mean_weight)
		return -1;
	sec = ah / mean_a * e->mean_weight * 3600;
	return sec > (double)TIME_MAX_SEC ? -1 : (int64_t)llround(sec);
}

static void look_at_health(const struct estimator *e, struct estimator_view *v)
{
	double cycles = e->discharged_ah / e->design_ah;
	double fade = (100 - (double)e->s.end_of_life_percent) / (double)e->s.cycles_to_end_of_life;
	double soh = 100 * e->full_ah / e->design_ah;

	v->soh_source = e->learned	      ? SOH_SOURCE_LEARNED
			: e->board_full_known ? SOH_SOURCE_BOARD
					      : SOH_SOURCE_CYCLES;
	if (v->soh_source == SOH_SOURCE_CYCLES)
		soh = fmax(0, 100 - fade * cycles);
	v->soh_centipercent = (int)lround(soh * 100);
	v->cycles_milli = llround(cycles * 1000);
}

static void look_at_resistance(const struct estimator *e, struct estimator_view *v)
{
	if (e->r.pack_ohm > 0) {
		v->resistance_uohm = micro(e->r.pack_ohm);
		v->resistance_growth_permille = (int)lround(
			1000 * clamp(e->r.pack_ohm / e->r.reference_ohm, 0, 1000));
	}
	v->n_cells = e->r.n_cells;
	for (size_t i = 0; i < v->n_cells; i++) {
		double ohm = e->r.cells_ohm[i];

		v->cells_uohm[i] = ohm > 0 ? micro(ohm) : -1;
	}
}

static void look_at_charge(const struct estimator *e, struct estimator_view *v)
{
	double eta = (double)e->s.charge_efficiency_permille / 1000;

	v->soc_centipercent = (int)lround(estimator_soc(e) * 100);
	/* Never less than what it is. */
	v->margin_centipercent = (int)ceil(estimator_margin(e) * 100);
	v->charge_now_uah = micro(e->now_ah);
	v->charge_full_uah = micro(e->full_ah);
	v->charge_full_design_uah = micro(e->design_ah);
	v->charge_full_error_permille = (int)lround(e->capacity_error * 1000) +
					(int)e->s.current_error_permille;
	v->anchor_age_sec = e->anchor == SOC_ANCHOR_NONE ? -1 : llround(e->anchor_age_sec);
	v->time_to_empty_sec = time_for(e, e->now_ah, e->mean_discharge_a);
	v->time_to_full_sec = time_for(e, e->full_ah - e->now_ah, e->mean_charge_a * eta);
	v->learning = estimator_is_learning(e);
}

void estimator_look(const struct estimator *e, struct estimator_view *ret)
{
	*ret = (struct estimator_view){
		.soc_centipercent = -1,
		.margin_centipercent = -1,
		.charge_now_uah = -1,
		.charge_full_uah = -1,
		.charge_full_design_uah = -1,
		.charge_full_error_permille = -1,
		.charge_full_learned = e->learned,
		.charge_counter_uah = micro(e->counter_ah),
		.soc_source = e->source,
		.anchor = e->anchor,
		.anchor_age_sec = -1,
		.anchors_total = e->anchors_total,
		.soh_centipercent = -1,
		.cycles_milli = -1,
		.resistance_uohm = -1,
		.resistance_growth_permille = -1,
		.offset_ua = (int)lround(e->offset_a * 1e6),
		.offset_learned = e->offset_error_a > 0,
		.time_to_empty_sec = -1,
		.time_to_full_sec = -1,
	};
	if (!e->known)
		return;
	look_at_charge(e, ret);
	look_at_health(e, ret);
	look_at_resistance(e, ret);
}
