/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/ocv.h"

#include <string.h>

/* S. Sunil et al., Piecewise-Battery-OCV (IEEE TIM 2025), C/32. */
static const struct ocv_point p42a[] = {
	{ 0, 2506 },	 { 1.51, 2898 },  { 4.52, 3146 },  { 9.55, 3323 },  { 15.08, 3422 },
	{ 29.15, 3574 }, { 45.73, 3702 }, { 83.42, 4064 }, { 94.97, 4101 }, { 100, 4193 },
};

/* The same, C/20. */
static const struct ocv_point s40t[] = {
	{ 0, 2500 },	 { 0.5, 2808 },	  { 3.52, 3118 },  { 8.54, 3318 },  { 13.57, 3419 },
	{ 29.15, 3583 }, { 45.23, 3694 }, { 83.92, 4066 }, { 95.48, 4112 }, { 100, 4200 },
};

/* The same, C/32. */
static const struct ocv_point apr18650[] = {
	{ 0, 2010 },	{ 0.33, 2418 },	 { 1.17, 2741 },  { 2.67, 2930 }, { 5.34, 3087 },
	{ 8.85, 3194 }, { 29.72, 3277 }, { 98.33, 3351 }, { 99.5, 3418 }, { 100, 3598 },
};

static const struct ocv_point libresolar_nmc[] = {
	{ 0, 2800 },  { 5, 3588 },  { 10, 3684 },  { 15, 3702 }, { 20, 3726 }, { 25, 3745 },
	{ 30, 3764 }, { 35, 3787 }, { 40, 3803 },  { 45, 3819 }, { 50, 3838 }, { 55, 3858 },
	{ 60, 3883 }, { 65, 3924 }, { 70, 3962 },  { 75, 3993 }, { 80, 4026 }, { 85, 4056 },
	{ 90, 4089 }, { 95, 4135 }, { 100, 4198 },
};

static const struct ocv_point libresolar_lfp[] = {
	{ 0, 2833 },  { 5, 3132 },  { 10, 3177 },  { 15, 3190 }, { 20, 3213 }, { 25, 3226 },
	{ 30, 3240 }, { 35, 3252 }, { 40, 3262 },  { 45, 3264 }, { 50, 3265 }, { 55, 3268 },
	{ 60, 3271 }, { 65, 3275 }, { 70, 3283 },  { 75, 3296 }, { 80, 3304 }, { 85, 3308 },
	{ 90, 3309 }, { 95, 3314 }, { 100, 3392 },
};

#define PIECEWISE  "Piecewise-Battery-OCV, IEEE TIM 2025"
#define LIBRESOLAR "LibreSolar bms-firmware, bms_common.c, Apache-2.0"
#define POINTS(p)  ELEMENTSOF(p), p

static const struct ocv_table tables[] = {
	{ "p42a", "Molicel INR21700-P42A; " PIECEWISE, CHEMISTRY_NMC, POINTS(p42a) },
	{ "40t", "Samsung INR21700-40T; " PIECEWISE, CHEMISTRY_NMC, POINTS(s40t) },
	{ "apr18650", "LithiumWerks APR18650M1B; " PIECEWISE, CHEMISTRY_LFP, POINTS(apr18650) },
	{ "libresolar-nmc", LIBRESOLAR, CHEMISTRY_NMC, POINTS(libresolar_nmc) },
	{ "libresolar-lfp", LIBRESOLAR, CHEMISTRY_LFP, POINTS(libresolar_lfp) },
};

const char *const ocv_names[] = { "p42a",	    "40t", "apr18650", "libresolar-nmc",
				  "libresolar-lfp", NULL };

static const char *const chemistry_names[CHEMISTRY_COUNT] = {
	[CHEMISTRY_NMC] = "nmc",
	[CHEMISTRY_LFP] = "lfp",
};

const char *chemistry_name(unsigned chemistry)
{
	return chemistry < CHEMISTRY_COUNT ? chemistry_names[chemistry] : "?";
}

int chemistry_parse(const char *name, enum chemistry *ret)
{
	for (unsigned i = 0; i < CHEMISTRY_COUNT; i++) {
		if (strcmp(name, chemistry_names[i]) == 0) {
			*ret = (enum chemistry)i;
			return 0;
		}
	}
	return -EINVAL;
}

const struct ocv_table *ocv_find(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(tables); i++)
		if (strcmp(tables[i].name, name) == 0)
			return &tables[i];
	return NULL;
}

static double between(double x, double x0, double x1, double y0, double y1)
{
	return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
}

double ocv_mv(const struct ocv_table *t, double soc_percent)
{
	const struct ocv_point *p = t->points;

	if (soc_percent <= p[0].soc_percent)
		return p[0].mv;
	for (size_t i = 1; i < t->n_points; i++)
		if (soc_percent < p[i].soc_percent)
			return between(soc_percent, p[i - 1].soc_percent, p[i].soc_percent,
				       p[i - 1].mv, p[i].mv);
	return p[t->n_points - 1].mv;
}

double ocv_soc_percent(const struct ocv_table *t, double mv)
{
	const struct ocv_point *p = t->points;

	if (mv <= p[0].mv)
		return p[0].soc_percent;
	for (size_t i = 1; i < t->n_points; i++)
		if (mv < p[i].mv)
			return between(mv, p[i - 1].mv, p[i].mv, p[i - 1].soc_percent,
				       p[i].soc_percent);
	return p[t->n_points - 1].soc_percent;
}

struct ocv_interval ocv_invert(const struct ocv_table *t, double mv, double tolerance_mv)
{
	return (struct ocv_interval){
		.low_percent = ocv_soc_percent(t, mv - tolerance_mv),
		.high_percent = ocv_soc_percent(t, mv + tolerance_mv),
	};
}
