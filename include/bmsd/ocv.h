/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open-circuit voltage tables: measured curves of known cells, found by name. A table says what a
 * rested cell's voltage means only for that very cell: at 3.684 V one maker's NMC cell holds 55 %,
 * another's 43 %, a third's 10 %. So nothing corrects by a table unless the administrator says that
 * it is of this cell (ocv_verified = yes).
 *
 *	p42a            Molicel INR21700-P42A, C/32          Piecewise-Battery-OCV, IEEE TIM 2025
 *	40t             Samsung INR21700-40T, C/20           the same
 *	apr18650        LithiumWerks APR18650M1B (LFP), C/32 the same
 *	libresolar-nmc  bms_common.c of LibreSolar           Apache-2.0
 *	libresolar-lfp  the same, for LFP                    Apache-2.0
 */
#ifndef BMSD_OCV_H
#define BMSD_OCV_H

#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

enum chemistry {
	CHEMISTRY_NMC,
	CHEMISTRY_LFP,
	CHEMISTRY_COUNT,
};

/* "nmc", "lfp"; never NULL. */
const char *chemistry_name(unsigned chemistry);
/* -EINVAL if there is no such. */
_must_check_ int chemistry_parse(const char *name, enum chemistry *ret);

struct ocv_point {
	double soc_percent;
	double mv;
};

struct ocv_table {
	const char *name;
	const char *source;
	enum chemistry chemistry;
	size_t n_points;
	const struct ocv_point *points; /* both columns strictly ascending */
};

/* NULL if there is none. */
const struct ocv_table *ocv_find(const char *name);
/* The names, NULL-terminated. */
extern const char *const ocv_names[];

/* Linear between the points; beyond the ends, the value of the end. */
double ocv_mv(const struct ocv_table *t, double soc_percent);
double ocv_soc_percent(const struct ocv_table *t, double mv);

/* The states of charge that a rested cell may have when its voltage is known to tolerance_mv only:
 * wide where the curve is flat. */
struct ocv_interval {
	double low_percent;
	double high_percent;
};
struct ocv_interval ocv_invert(const struct ocv_table *t, double mv, double tolerance_mv);

#endif
