/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pack that exists in memory only: what is true of it, and what sensors would say. For the simulated
 * board and for tests; no clock, no files, the same seed gives the same run.
 *
 * Each cell group is an equivalent circuit of first order,
 *
 *	v = OCV(z) ± h + I R0 + v1,   dv1/dt = (I R1 - v1) / tau,   dz/dt = eta I / Q
 *
 * with R0 = 0.4 R, R1 = 0.6 R, tau = 30 s, R = R50 (1 + 0.2 ((z - 0.5) / 0.5)^2) and Arrhenius with
 * 20 kJ/mol from 25 degrees (the recipe of PyBaMM's ecm/example_set.py). h is the hysteresis and has
 * the sign of the last current above 0.2 A. All groups share one thermal node,
 *
 *	m c dT/dt = sum of I^2 R0 + v1^2 / R1  -  hA (T - ambient)
 *
 * Current is positive while charging. Volts, amperes, ohms, ampere hours, degrees Celsius; soc 0 … 1.
 */
#ifndef BMSD_PLANT_H
#define BMSD_PLANT_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define PLANT_MAX_CELLS 32
#define PLANT_TAU_SEC	30.0
#define PLANT_R0_PART	0.4

struct plant;

struct plant_point {
	double soc_percent;
	double mv;
};

/* The open-circuit voltage; points ascend, the first at 0 and the last at 100 percent. Beyond them the
 * last slope goes on. */
struct plant_table {
	const char *name;
	double full_mv; /* where charging ends, and where discharging must */
	double empty_mv;
	double hysteresis_mv;
	size_t n_points;
	const struct plant_point *points;
};

/* "p42a", "40t", "nmc", "nmc-example", "lfp", "lfp-prismatic"; NULL if there is none. The sources
 * are in plant_tables.c. */
const struct plant_table *plant_table_find(const char *name);
/* The names, NULL-terminated. */
extern const char *const plant_table_names[];
double plant_table_volt(const struct plant_table *t, double soc);

struct plant_settings {
	const struct plant_table *table; /* borrowed */
	unsigned cells;			 /* groups in series, 1 … PLANT_MAX_CELLS */
	double capacity_ah;		 /* of a group, before the spread */
	double soc;			 /* of a group, before the spread */
	double ambient_c;
	/* 1: capacity +-1 %, soc +-0.5 %, resistance +-5 % from cell to cell; 0: all alike. */
	double spread;
	uint64_t seed;
	/* Zero stands for the usual value from here on. */
	double dcir_ohm;   /* R50 of a group; 0.0756 / capacity_ah: 18 mOhm for a cell of 4.2 Ah */
	double efficiency; /* eta while charging; 1 */
	double mass_kg;	   /* of all; 0.070 kg for each 4.2 Ah */
	double cooling_w_per_k; /* hA of all; a quarter of an hour's time constant */
};

/* -EINVAL for settings that no pack has. */
_must_check_ int plant_new(const struct plant_settings *settings, struct plant **ret);
struct plant *plant_free(struct plant *p);
DEFINE_CLEANUP(struct plant *, plant_free);

/* The current flows for this time (steps of a second at most are made of it). */
void plant_advance(struct plant *p, double current_a, double seconds);

/* What a load or a charger that holds a voltage would drive now: the current at which the first cell
 * stands at cell_volt. */
double plant_current_at(const struct plant *p, double cell_volt);

/* From now on these cells (bit 0 is cell 1) also discharge over a resistor with this current. */
void plant_bleed(struct plant *p, uint32_t cells, double current_a);
/* A cell (0 …) that goes its own way: added to its open-circuit voltage. */
void plant_drift(struct plant *p, unsigned cell, double volt);
void plant_set_ambient(struct plant *p, double ambient_c);

/* What no gateway can see. */
struct plant_truth {
	double time_sec;
	double current_a;
	double voltage_volt;
	double temperature_c;
	unsigned cells;
	double cells_volt[PLANT_MAX_CELLS];
	double cells_soc[PLANT_MAX_CELLS];
	/* Of the pack: what can be taken until its first cell is empty, and how much lies between there
	 * and its first full cell; soc is the quotient. */
	double charge_ah;
	double capacity_ah;
	double soc;
	double charged_ah; /* since the beginning, never falling */
	double discharged_ah;
	double charged_wh;
	double discharged_wh;
};
void plant_look(const struct plant *p, struct plant_truth *ret);

/* Of zeros alone: exact sensors of infinite resolution. */
struct plant_sensors {
	double pack_lsb_volt; /* JBD: 0.010 */
	double cell_lsb_volt; /* 0.001 */
	double current_lsb_a; /* 0.010 */
	double temperature_lsb_c;
	double current_gain_error; /* 0.01: one percent too much */
	double current_offset_a;
	double current_noise_a; /* standard deviation */
	double cell_noise_volt;
};

/* In the units of struct sample. */
struct plant_reading {
	int64_t voltage_uv;
	int64_t current_ua;
	int64_t temperature_decicelsius;
	unsigned n_cells;
	int64_t cells_uv[PLANT_MAX_CELLS];
};
/* Noise comes from the plant's own seed. */
void plant_measure(struct plant *p, const struct plant_sensors *sensors, struct plant_reading *ret);

/* Evenly distributed, of the same seed: for faults. */
uint32_t plant_random(struct plant *p);

#endif
