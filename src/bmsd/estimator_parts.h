/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the estimator, for one another (bmsd/estimator.h says what they compute). Amperes, volts,
 * ohms, ampere hours, seconds, percent, degrees Celsius. */
#ifndef BMSD_ESTIMATOR_PARTS_H
#define BMSD_ESTIMATOR_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/estimator.h"

#define ESTIMATOR_STEPS 20 /* of current, that the resistance is the median of */

/* What one sample says. */
struct input {
	bool has_current, has_voltage, has_temperature, has_fets, has_board;
	double current_a; /* as measured */
	double voltage_v;
	size_t n_cells;
	double cells_v[SAMPLE_MAX_CELLS];
	double cell_max_v, cell_min_v, cell_mean_v;
	double coldest_c, hottest_c;
	bool charge_fet, discharge_fet;
	double board_ah; /* its residual capacity */
	uint32_t board_cycles;
	bool board_at_end; /* of its own scale */
};

/* The last correction: where the margin starts from. */
struct reference {
	double soc, error;
	double error_ah; /* estimator.error_ah then */
};

struct anchor {
	bool valid, cold;
	double soc, error;
	double counter_ah, error_ah;
};

/* A current that does not move. */
struct quiet {
	double mean_a, smooth_a, sec;
};

struct resistances {
	size_t n; /* steps seen */
	float pack[ESTIMATOR_STEPS];
	float cells[ESTIMATOR_STEPS][SAMPLE_MAX_CELLS];
	double cells_ohm[SAMPLE_MAX_CELLS]; /* medians; 0: too few steps */
	size_t n_cells;
	double pack_ohm, reference_ohm; /* 0: unknown */
};

struct estimator {
	struct estimator_settings s;

	bool known; /* there is a state of charge */
	double design_ah, full_ah, now_ah;
	double capacity_error; /* of full_ah, a ratio */
	unsigned learned;
	double counter_ah, error_ah, discharged_ah;
	struct reference reference;

	enum soc_source source;
	enum soc_anchor anchor;
	double anchor_age_sec;
	uint64_t anchors_total;
	struct anchor anchors[SOC_ANCHOR_COUNT];
	double full_sec, empty_sec, rest_sec; /* how long the condition has held */

	double offset_a, offset_error_a; /* error 0: not learned */
	struct quiet quiet;
	double mean_charge_a,
		mean_discharge_a; /* as if none had flowed before the first sample … */
	double mean_weight;	  /* … of which this part is really measured */

	struct input last;
	uint64_t pending_msec; /* since a sample last had a current */
	bool board_full_known;
	struct resistances r;
};

double clamp(double x, double low, double high);
double estimator_soc(const struct estimator *e);
double estimator_margin(const struct estimator *e);
/* Sets the state of charge to what is known with this error. */
void estimator_correct(struct estimator *e, double soc, double error);

/* estimator_memory.c: from a memory that was checked; all of it, or what is true of any capacity. */
void estimator_recall(struct estimator *e, const struct estimator_memory *m, bool same_design);

/* estimator_count.c */
void estimator_count(struct estimator *e, const struct input *in, double sec);
void estimator_learn_offset(struct estimator *e, const struct input *in, double sec);
/* Nobody looked for so long. True if the board's counter says what went on. */
bool estimator_bridge(struct estimator *e, const struct input *in, double sec);
/* The same for a time that no clock can tell. */
bool estimator_bridge_untimed(struct estimator *e, const struct input *in);
double estimator_offset_error(const struct estimator *e);

/* estimator_anchor.c */
unsigned estimator_find_anchors(struct estimator *e, const struct input *in, double sec);

/* estimator_capacity.c */
bool estimator_learn_capacity(struct estimator *e, const struct anchor *here);
bool estimator_is_learning(const struct estimator *e);

/* estimator_resistance.c */
bool estimator_find_resistance(struct estimator *e, const struct input *in, double sec);

#endif
