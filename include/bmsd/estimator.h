/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of charge, capacity, health and resistance of one pack, as bmsd knows them by itself,
 * beside what the board says. Pure: time comes with each sample, nothing is read or written.
 *
 * The scale. 100 % is where charging ends (the highest cell at cell_full_mv and the current tailing
 * off), 0 % is where the lowest cell reaches cell_empty_mv; charge_full is what lies between.
 *
 * Every estimate comes with a margin: |estimate - truth| <= margin. What it stands on is said below;
 * tests/unit/bmsd/test_estimator_cycles.c holds it against simulated packs at every sample.
 *
 * COUNTING (coulomb counting, trapezoid)
 *	q += eta (I - b) dt		eta = charge_efficiency while charging, else 1
 *	b, the sensor's offset: mean of I (10 minutes) while nothing flows. Certain when both
 *	FETs are off; presumed when |I| <= offset_max_ma has been steady for 10 minutes.
 *	margin = m_anchor + 100 u / Q + r |SOC - SOC_anchor|
 *	u += (g/4 |I| + (1 - eta) I_charging + s) dt	 g = current_error, s = error left in b
 *	r: how much more or less than assumed the capacity may be, measured with this sensor: a wrong
 *	gain is wrong while charging, discharging and learning alike, so only what of it is not the
 *	same at every current (a quarter) adds up.
 *	What clamping to 0 … 100 % cuts off is added to u. The margin is never more than what the
 *	scale itself leaves, max(SOC, 100 - SOC).
 *	A step longer than gap_msec is not integrated: the difference of the board's own residual
 *	capacity is taken instead (see RESUME), or the margin grows by current_max_ma. A board that
 *	has come to an end of its own scale meanwhile may have set its counter there: board_error.
 * ANCHORS (diyBMS: tail current for three minutes; mr-manuel/venus-os_dbus-serialbattery#491: the
 * timer must start anew when the condition is left)
 *	full:  highest cell >= cell_full_mv - full_tolerance_mv and -rest_current < I <=
 *	       full_current for full_hold_sec	-> SOC 100 %, m_anchor = full_error
 *	empty: lowest cell <= cell_empty_mv and 0 < -I <= empty_current for empty_hold_sec without a
 *	       break			-> SOC 0 %, m_anchor = empty_error
 * REST VOLTAGE (only with a table that is verified to be of this cell; foxBMS: 200 mA, 600 s)
 *	|I - b| < rest_current for rest_sec, 10 … 40 degrees, FETs unchanged: the interval
 *	[OCV^-1(V - d), OCV^-1(V + d)] of the mean cell gives its centre and
 *	sigma = max(half its width, ocv_error). Not used unless sigma < m. If 3 sigma < m it is taken,
 *	else SOC += k (centre - SOC), m = (1 - k) m + k sigma, k = m^2 / (m^2 + sigma^2): rests in a
 *	row are not independent, so the margin never falls below sigma.
 * CAPACITY (between two anchors A, B that are 60 % or more apart, at 10 degrees or more)
 *	Q_new = |counted charge| / |SOC_A - SOC_B|
 *	relative error e = sqrt((m_A^2 + m_B^2) / dSOC^2 + g^2 + (du / dQ)^2)
 *	Q += k (Q_new - Q), k = p^2 / (p^2 + e^2), p: relative error of Q so far; at most 3 % at a
 *	time; 0.5 … 1.1 times the design capacity.
 *	State of health = 100 Q / Q_design. As long as nothing is learned: the board's charge_full if
 *	it says one, else 100 - (100 - end_of_life) cycles / cycles_to_end_of_life (diyBMS).
 *	Fading: r grows by 0.03 % with each equivalent full cycle.
 * CYCLES  equivalent full cycles = discharged charge / Q_design (the Smart Battery Data
 *	specification's CycleCount; never falls)
 * RESISTANCE  R = dV / dI at steps of resistance_step and more within 2 s; median of the last 20;
 *	to 25 degrees by exp(Ea/R (1/T - 1/298.15 K)), Ea = 20 kJ/mol (PyBaMM, ecm/example_set.py)
 * TIME  to empty: q / mean discharge current, to full: (Q - q) / (eta mean charge current); means
 *	over 60 s (exponential), or since the start; unknown below 0.5 A.
 *
 * RESUME, the first sample after a start, in this order
 *	board-delta   q = q_saved + (residual now - residual saved), if the board was not reset (same
 *	              design capacity, cycles as before or a little more) and no more than
 *	              current_max_ma could have moved
 *	rest-voltage  verified table, and the pack has been resting: not before rest_sec have passed,
 *	              so it follows by itself as a correction
 *	memory        q_saved; the margin grows by current_max_ma for the time that has passed
 *	board         what the board claims, margin board_error: no memory, or a worse one than that
 */
#ifndef BMSD_ESTIMATOR_H
#define BMSD_ESTIMATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/ocv.h"
#include "bmsd/sample.h"
#include "common/cleanup.h"

struct estimator;

struct estimator_settings {
	enum chemistry chemistry;
	const struct ocv_table *ocv_table; /* NULL: none */
	bool ocv_verified;		   /* the table is of this very cell */
	uint64_t capacity_design_mah;	   /* 0: what the board says */
	uint64_t cell_full_mv;
	uint64_t cell_empty_mv;
	uint64_t full_tolerance_mv;
	uint64_t full_current_permille; /* of the capacity per hour: 50 is C/20 */
	uint64_t full_hold_sec;
	uint64_t empty_current_permille;
	uint64_t empty_hold_sec;
	uint64_t full_error_centipercent; /* margin at the anchor */
	uint64_t empty_error_centipercent;
	uint64_t board_error_centipercent; /* of the board's own state of charge */
	uint64_t rest_current_ma;
	uint64_t rest_sec;
	uint64_t ocv_tolerance_mv;
	uint64_t ocv_error_centipercent;
	uint64_t charge_efficiency_permille;
	uint64_t current_deadband_ma; /* below this the current is taken for 0; for coarse boards */
	uint64_t current_error_permille;
	uint64_t current_max_ma;  /* what may have flowed while nobody looked */
	uint64_t offset_max_ma;	  /* the offset is not learned beyond, nor assumed to be more */
	uint64_t offset_error_ma; /* what is left of it when it was learned */
	uint64_t gap_msec;
	uint64_t capacity_error_permille; /* of a capacity that was not learned: 250 */
	uint64_t end_of_life_percent;
	uint64_t cycles_to_end_of_life;
	uint64_t resistance_step_permille;
};

/* The defaults for a chemistry; every member may then be changed. */
struct estimator_settings estimator_settings_default(enum chemistry chemistry);
/* -EINVAL with a sentence: values with which nothing sensible can be estimated. */
_must_check_ int estimator_settings_check(const struct estimator_settings *s,
					  char ret_reason[SAMPLE_REASON_BYTES]);

/* Where the state of charge came from at the start. */
enum soc_source {
	SOC_SOURCE_NONE,
	SOC_SOURCE_BOARD_DELTA,
	SOC_SOURCE_MEMORY,
	SOC_SOURCE_BOARD,
	SOC_SOURCE_COUNT,
};
/* "none", "board-delta", "memory", "board"; never NULL. */
const char *soc_source_name(unsigned source);

/* What last said where on the scale we are. */
enum soc_anchor {
	SOC_ANCHOR_NONE,
	SOC_ANCHOR_FULL,
	SOC_ANCHOR_EMPTY,
	SOC_ANCHOR_REST, /* rest voltage */
	SOC_ANCHOR_COUNT,
};
/* "none", "full", "empty", "rest-voltage". */
const char *soc_anchor_name(unsigned anchor);

enum soh_source {
	SOH_SOURCE_NONE,
	SOH_SOURCE_LEARNED,
	SOH_SOURCE_BOARD,
	SOH_SOURCE_CYCLES, /* estimated from the number of cycles */
	SOH_SOURCE_COUNT,
};
/* "none", "learned", "board", "cycle-model". */
const char *soh_source_name(unsigned source);

/* What happened in a step; a reason to save at once. */
enum estimator_event {
	ESTIMATOR_ANCHORED = 1 << 0,	     /* full or empty was reached */
	ESTIMATOR_REST_CORRECTED = 1 << 1,   /* by the rest voltage */
	ESTIMATOR_CAPACITY_LEARNED = 1 << 2, /* charge_full changed */
	ESTIMATOR_GAP_BOARD = 1 << 3,	     /* a gap, bridged by the board's residual capacity */
	ESTIMATOR_GAP_BLIND = 1 << 4,	     /* a gap that nothing bridges */
	ESTIMATOR_RESISTANCE_LEARNED = 1
				       << 5, /* 20 steps seen: the first median is the reference */
};

#define ESTIMATOR_MEMORY_ANCHORS 3 /* SOC_ANCHOR_FULL, _EMPTY, _REST, in this order */

/* One anchor, remembered for learning the capacity. */
struct estimator_memory_anchor {
	bool valid;
	uint32_t soc_centipercent;
	uint32_t error_centipercent;
	int64_t counter_uah; /* charge_counter then */
	uint64_t error_uah;  /* uncertainty counted then */
	bool cold;	     /* below 10 degrees: teaches nothing */
};

#define ESTIMATOR_AGE_UNKNOWN (INT64_C(1) << 52)

/* All that must outlive bmsd; plain numbers, for the state file. Every member that is not there
 * (an older state) may be left at zero: it then counts as not known. */
struct estimator_memory {
	bool valid; /* there is a state of charge: charge_now / charge_full */
	uint64_t charge_now_uah;
	uint32_t margin_centipercent;
	/* What the margin is made of: the last correction, and error_uah then. */
	uint32_t reference_soc_centipercent;
	uint32_t reference_error_centipercent;
	uint64_t reference_error_uah;
	int64_t charge_counter_uah;	     /* signed, counted since the very beginning */
	uint64_t error_uah;		     /* the same for the uncertainty */
	uint64_t charge_full_uah;	     /* learned or assumed; 0 unknown */
	uint32_t charge_full_error_permille; /* r */
	uint32_t charge_full_learned;	     /* how many times */
	uint64_t charge_full_design_uah;     /* of the pack that the rest was learned with */
	uint64_t discharged_uah;	     /* never falls */
	int32_t offset_ua;
	uint32_t offset_error_ua; /* 0: not learned */
	uint32_t resistance_uohm; /* pack, at 25 degrees; 0 unknown */
	uint32_t resistance_reference_uohm;
	uint32_t anchor; /* enum soc_anchor */
	uint64_t anchor_age_sec;
	struct estimator_memory_anchor anchors[ESTIMATOR_MEMORY_ANCHORS];
	/* What the board said at the same moment. */
	bool board_valid;
	int64_t board_charge_uah;
	uint32_t board_cycles;
	/* All that was true so long before it was kept, or after (what the log knew better);
	 * ESTIMATOR_AGE_UNKNOWN: nobody knows. */
	int64_t age_msec;
};

/* As of the last step. -1: unknown. */
struct estimator_view {
	int soc_centipercent;
	int margin_centipercent;
	int64_t charge_now_uah;
	int64_t charge_full_uah;
	int64_t charge_full_design_uah;
	int charge_full_error_permille; /* with the sensor's gain */
	unsigned charge_full_learned;
	int64_t charge_counter_uah; /* signed; not -1 */
	enum soc_source soc_source;
	enum soc_anchor anchor;
	int64_t anchor_age_sec;
	uint64_t anchors_total; /* full and empty, since the start of bmsd */
	int soh_centipercent;
	enum soh_source soh_source;
	int64_t cycles_milli;		/* equivalent full cycles, thousandths */
	int64_t resistance_uohm;	/* pack at 25 degrees */
	int resistance_growth_permille; /* 1000: as it was in the beginning */
	size_t n_cells;
	int64_t cells_uohm[SAMPLE_MAX_CELLS]; /* since the start of bmsd */
	int offset_ua;
	bool offset_learned;
	int64_t time_to_empty_sec;
	int64_t time_to_full_sec;
	bool learning; /* the next anchor is near and will teach the capacity */
};

/* settings are copied (the table is borrowed). -EINVAL as estimator_settings_check(). */
_must_check_ int estimator_new(const struct estimator_settings *settings, struct estimator **ret);
struct estimator *estimator_free(struct estimator *e);
DEFINE_CLEANUP(struct estimator *, estimator_free);

/* Is every number of a memory one that estimator_export() could have made? -ERANGE with the name of
 * the first member that is not. */
_must_check_ int estimator_memory_check(const struct estimator_memory *m, const char **ret_member);

/* The first sample of a start. memory may be NULL (none); elapsed_msec since it was kept, negative
 * if no clock can say. A memory that estimator_memory_check() refuses counts as none; of one of another
 * design capacity only what never falls counts, and what is known of the sensor. Says which path was taken; SOC_SOURCE_NONE: the sample has neither current nor
 * a state of charge, the next step tries again with the board's. */
enum soc_source estimator_resume(struct estimator *e, const struct estimator_memory *memory,
				 const struct sample *sample, int64_t elapsed_msec);

/* Every further sample, dt_msec after the one before. What it does not say is skipped. Returns
 * bits of enum estimator_event. Without a resume before, the first step resumes without memory. */
unsigned estimator_step(struct estimator *e, const struct sample *sample, uint64_t dt_msec);

void estimator_look(const struct estimator *e, struct estimator_view *ret);
void estimator_export(const struct estimator *e, struct estimator_memory *ret);

/* The published formulas, apart, so that they can be checked by hand. Percent and ratios. */
double estimator_capacity_error(double error_a_percent, double error_b_percent,
				double delta_soc_percent, double gain_error, double offset_part);
/* Resistance measured at a temperature, as it would be at 25 degrees Celsius. */
double estimator_resistance_at_25c(double resistance, double celsius);

#endif
