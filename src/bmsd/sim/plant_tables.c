/* SPDX-License-Identifier: Apache-2.0 */
/* Measured open-circuit voltages. Facts of cells, each with its source. */
#include <string.h>

#include "bmsd/plant.h"

/* Molicel INR21700-P42A, C/32 (Piecewise-Battery-OCV, IEEE TIM 2025). */
static const struct plant_point p42a[] = {
	{ 0, 2506 },	 { 1.51, 2898 },  { 4.52, 3146 },  { 9.55, 3323 },  { 15.08, 3422 },
	{ 29.15, 3574 }, { 45.73, 3702 }, { 83.42, 4064 }, { 94.97, 4101 }, { 100, 4193 },
};

/* Samsung INR21700-40T, C/20 (the same). */
static const struct plant_point s40t[] = {
	{ 0, 2500 },	 { 0.5, 2808 },	  { 3.52, 3118 },  { 8.54, 3318 },  { 13.57, 3419 },
	{ 29.15, 3583 }, { 45.23, 3694 }, { 83.92, 4066 }, { 95.48, 4112 }, { 100, 4200 },
};

/* foxBMS 2, battery_cell_cfg.c (BSD-3-Clause), every tenth of its points; 0 is its last slope drawn out. */
static const struct plant_point nmc[] = {
	{ 0, 2644 },  { 1, 2716 },  { 5, 3003 },   { 10, 3202 }, { 20, 3392 },
	{ 30, 3501 }, { 40, 3568 }, { 50, 3636 },  { 60, 3735 }, { 70, 3840 },
	{ 80, 3939 }, { 90, 4024 }, { 100, 4123 },
};

/* PyBaMM, input/parameters/ecm/data/ecm_example_ocv.csv (BSD-3-Clause), every fifth of its points. */
static const struct plant_point nmc_example[] = {
	{ 0, 3200 },  { 1, 3288 },  { 3, 3400 },  { 5, 3447 },	{ 10, 3494 },  { 15, 3536 },
	{ 20, 3576 }, { 25, 3605 }, { 30, 3625 }, { 35, 3642 }, { 40, 3655 },  { 45, 3670 },
	{ 50, 3697 }, { 55, 3728 }, { 60, 3768 }, { 65, 3813 }, { 70, 3854 },  { 75, 3893 },
	{ 80, 3937 }, { 85, 3989 }, { 90, 4046 }, { 95, 4104 }, { 100, 4187 },
};

/* LithiumWerks APR18650M1B, C/32 (Piecewise-Battery-OCV, IEEE TIM 2025). */
static const struct plant_point lfp[] = {
	{ 0, 2010 },	{ 0.33, 2418 },	 { 1.17, 2741 },  { 2.67, 2930 }, { 5.34, 3087 },
	{ 8.85, 3194 }, { 29.72, 3277 }, { 98.33, 3351 }, { 99.5, 3418 }, { 100, 3598 },
};

/* LibreSolar bms-firmware, bms_common.c (Apache-2.0). */
static const struct plant_point lfp_prismatic[] = {
	{ 0, 2833 },  { 5, 3132 },  { 10, 3177 },  { 15, 3190 }, { 20, 3213 }, { 25, 3226 },
	{ 30, 3240 }, { 35, 3252 }, { 40, 3262 },  { 45, 3264 }, { 50, 3265 }, { 55, 3268 },
	{ 60, 3271 }, { 65, 3275 }, { 70, 3283 },  { 75, 3296 }, { 80, 3304 }, { 85, 3308 },
	{ 90, 3309 }, { 95, 3314 }, { 100, 3392 },
};

#define POINTS(p) ELEMENTSOF(p), p

static const struct plant_table tables[] = {
	{ "p42a", 4200, 2900, 0, POINTS(p42a) },
	{ "40t", 4200, 2900, 0, POINTS(s40t) },
	{ "nmc", 4150, 2900, 0, POINTS(nmc) },
	{ "nmc-example", 4200, 3200, 0, POINTS(nmc_example) },
	{ "lfp", 3600, 2600, 10, POINTS(lfp) },
	{ "lfp-prismatic", 3550, 2850, 10, POINTS(lfp_prismatic) },
};

const char *const plant_table_names[] = { "p42a", "40t",	   "nmc", "nmc-example",
					  "lfp",  "lfp-prismatic", NULL };

const struct plant_table *plant_table_find(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(tables); i++)
		if (strcmp(tables[i].name, name) == 0)
			return &tables[i];
	return NULL;
}

double plant_table_volt(const struct plant_table *t, double soc)
{
	const struct plant_point *a, *b;
	double percent = 100 * soc;
	size_t i = 1;

	while (i < t->n_points - 1 && percent > t->points[i].soc_percent)
		i++;
	a = &t->points[i - 1];
	b = &t->points[i];
	return (a->mv +
		(percent - a->soc_percent) * (b->mv - a->mv) / (b->soc_percent - a->soc_percent)) /
	       1000;
}
