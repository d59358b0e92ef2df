/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/limits.h"

#define WHOLE	      1000u /* permille */
#define RATED_MAX_MA  10000000
#define CELL_LEAST_MV 1000
#define CELL_MOST_MV  5000

struct one_limit {
	int64_t now_ua;	       /* -1: before the first step */
	uint64_t allowed_msec; /* for so long, more has been allowed than now holds */
	enum limits_reason reason;
};

struct limits {
	struct limits_settings s;
	struct one_limit charge, regeneration, discharge;
	int64_t voltage_max_uv;
};

/* Curves of dbus-serialbattery's config.default.ini. */
#define CURVE(...)                                                                                 \
	{                                                                                          \
		.n_points = sizeof((struct limits_point[]){ __VA_ARGS__ }) /                       \
			    sizeof(struct limits_point),                                           \
		.points = { __VA_ARGS__ },                                                         \
	}

static const struct limits_curve lfp_charge_mv = CURVE({ 3375, 1000 }, { 3400, 250 }, { 3425, 50 },
						       { 3450, 5 }, { 3500, 0 });
static const struct limits_curve lfp_discharge_mv = CURVE({ 2800, 0 }, { 2900, 5 }, { 3000, 50 },
							  { 3100, 250 }, { 3190, 1000 });
/* The same shape, from where an NMC cell is nearly full and nearly empty. */
static const struct limits_curve nmc_charge_mv = CURVE({ 4100, 1000 }, { 4150, 250 }, { 4180, 50 },
						       { 4190, 5 }, { 4200, 0 });
static const struct limits_curve nmc_discharge_mv = CURVE({ 3000, 0 }, { 3050, 5 }, { 3100, 50 },
							  { 3200, 250 }, { 3300, 1000 });
static const struct limits_curve charge_temperature = CURVE({ 0, 0 }, { 20, 250 }, { 50, 500 },
							    { 100, 1000 }, { 400, 1000 },
							    { 450, 500 }, { 500, 250 }, { 550, 0 });
static const struct limits_curve discharge_temperature = CURVE(
	{ -100, 0 }, { 0, 250 }, { 50, 500 }, { 100, 1000 }, { 400, 1000 }, { 450, 500 },
	{ 500, 250 }, { 550, 0 });
static const struct limits_curve fet_temperature = CURVE({ 700, 1000 }, { 800, 250 }, { 900, 0 });
static const struct limits_curve regeneration_soc = CURVE({ 9000, 1000 }, { 9500, 500 },
							  { 9800, 0 });
static const struct limits_curve discharge_soc = CURVE({ 0, 100 }, { 500, 500 }, { 1000, 1000 });

struct limits_settings limits_settings_default(enum chemistry chemistry)
{
	bool lfp = chemistry == CHEMISTRY_LFP;

	return (struct limits_settings){
		.charge_current_max_ma = 20000,
		.discharge_current_max_ma = 60000,
		.cell_charge_max_mv = lfp ? 3600 : 4200,
		.hold_sec = 30,
		.rise_ma_per_sec = 5000,
		.charge_cell_mv = lfp ? lfp_charge_mv : nmc_charge_mv,
		.discharge_cell_mv = lfp ? lfp_discharge_mv : nmc_discharge_mv,
		.charge_decicelsius = charge_temperature,
		.discharge_decicelsius = discharge_temperature,
		.fet_decicelsius = fet_temperature,
		.regeneration_soc_centipercent = regeneration_soc,
		.discharge_soc_centipercent = discharge_soc,
	};
}

static bool curve_is_sound(const struct limits_curve *c)
{
	if (c->n_points > LIMITS_CURVE_POINTS)
		return false;
	for (size_t i = 0; i < c->n_points; i++)
		if (c->points[i].permille > WHOLE ||
		    (i > 0 && c->points[i].x <= c->points[i - 1].x))
			return false;
	return true;
}

static bool curves_are_sound(const struct limits_settings *s, char ret_reason[SAMPLE_REASON_BYTES])
{
	const struct {
		const char *name;
		const struct limits_curve *curve;
	} curves[] = {
		{ "charge_cell_mv", &s->charge_cell_mv },
		{ "discharge_cell_mv", &s->discharge_cell_mv },
		{ "charge_decicelsius", &s->charge_decicelsius },
		{ "discharge_decicelsius", &s->discharge_decicelsius },
		{ "fet_decicelsius", &s->fet_decicelsius },
		{ "charge_soc_centipercent", &s->charge_soc_centipercent },
		{ "regeneration_soc_centipercent", &s->regeneration_soc_centipercent },
		{ "discharge_soc_centipercent", &s->discharge_soc_centipercent },
	};

	for (size_t i = 0; i < ELEMENTSOF(curves); i++) {
		if (curve_is_sound(curves[i].curve))
			continue;
		(void)snprintf(ret_reason, SAMPLE_REASON_BYTES,
			       "%s: points must ascend, and none be above %u", curves[i].name,
			       WHOLE);
		return false;
	}
	return true;
}

int limits_settings_check(const struct limits_settings *s, char ret_reason[SAMPLE_REASON_BYTES])
{
	const char *bad = NULL;

	if (s->charge_current_max_ma > RATED_MAX_MA)
		bad = "charge_current_max_ma";
	else if (s->discharge_current_max_ma > RATED_MAX_MA)
		bad = "discharge_current_max_ma";
	else if (s->cell_charge_max_mv < CELL_LEAST_MV || s->cell_charge_max_mv > CELL_MOST_MV)
		bad = "cell_charge_max_mv";
	else if (s->hold_sec > 3600)
		bad = "hold_sec";
	else if (s->rise_ma_per_sec == 0 || s->rise_ma_per_sec > RATED_MAX_MA)
		bad = "rise_ma_per_sec";
	if (bad)
		(void)snprintf(ret_reason, SAMPLE_REASON_BYTES, "%s is out of its range", bad);
	return !bad && curves_are_sound(s, ret_reason) ? 0 : -EINVAL;
}

unsigned limits_curve_permille(const struct limits_curve *c, int64_t x)
{
	const struct limits_point *p = c->points;

	if (c->n_points == 0)
		return WHOLE;
	if (x <= p[0].x)
		return p[0].permille;
	for (size_t i = 1; i < c->n_points; i++) {
		int64_t rise = (int64_t)p[i].permille - (int64_t)p[i - 1].permille;

		if (x < p[i].x)
			return (unsigned)(p[i - 1].permille +
					  rise * (x - p[i - 1].x) / (p[i].x - p[i - 1].x));
	}
	return p[c->n_points - 1].permille;
}

static const char *const reason_names[LIMITS_REASON_COUNT] = {
	[LIMITS_REASON_NONE] = "none",
	[LIMITS_REASON_CELL_VOLTAGE] = "cell-voltage",
	[LIMITS_REASON_TEMPERATURE] = "temperature",
	[LIMITS_REASON_FET_TEMPERATURE] = "fet-temperature",
	[LIMITS_REASON_SOC] = "soc",
	[LIMITS_REASON_FET_OFF] = "fet-off",
	[LIMITS_REASON_UNKNOWN] = "unknown",
	[LIMITS_REASON_RECOVERY] = "recovery",
};

const char *limits_reason_name(unsigned reason)
{
	return reason < LIMITS_REASON_COUNT ? reason_names[reason] : "?";
}

int limits_new(const struct limits_settings *settings, struct limits **ret)
{
	char reason[SAMPLE_REASON_BYTES];
	struct limits *l;
	int r = limits_settings_check(settings, reason);

	if (r < 0)
		return r;
	l = calloc(1, sizeof *l);
	if (!l)
		return -ENOMEM;
	l->s = *settings;
	l->charge.now_ua = l->regeneration.now_ua = l->discharge.now_ua = l->voltage_max_uv = -1;
	*ret = l;
	return 0;
}

struct limits *limits_free(struct limits *l)
{
	free(l);
	return NULL;
}

/* The lowest so far, and what made it so. */
struct lowest {
	unsigned permille;
	enum limits_reason reason;
};

static void lower(struct lowest *l, unsigned permille, enum limits_reason reason)
{
	if (permille < l->permille)
		*l = (struct lowest){ permille, reason };
}

static void by_extremes(struct lowest *l, const struct limits_curve *c, const int64_t *values,
			size_t n, int64_t divisor, enum limits_reason reason)
{
	for (size_t i = 0; i < n; i++)
		lower(l, limits_curve_permille(c, values[i] / divisor), reason);
}

static bool has_cells(const struct sample *s)
{
	return sample_has(s, SAMPLE_CELLS) && s->n_cells > 0 && s->n_cells <= SAMPLE_MAX_CELLS;
}

static bool has_temperatures(const struct sample *s)
{
	return sample_has(s, SAMPLE_TEMPERATURES) && s->n_temperatures > 0 &&
	       s->n_temperatures <= SAMPLE_MAX_TEMPERATURES;
}

/* What both directions have in common. Every cell is asked: the highest is the lowest on a falling
 * curve, the lowest on a rising one. */
static struct lowest allow(const struct sample *s, const struct limits_curve *cell_mv,
			   const struct limits_curve *decicelsius, const struct limits_curve *fet)
{
	struct lowest l = { WHOLE, LIMITS_REASON_NONE };

	if (has_cells(s))
		by_extremes(&l, cell_mv, s->cells_uv, s->n_cells, 1000, LIMITS_REASON_CELL_VOLTAGE);
	if (has_temperatures(s))
		by_extremes(&l, decicelsius, s->temperatures_decicelsius, s->n_temperatures, 1,
			    LIMITS_REASON_TEMPERATURE);
	if (sample_has(s, SAMPLE_FET_TEMPERATURE))
		lower(&l, limits_curve_permille(fet, s->fet_temperature_decicelsius),
		      LIMITS_REASON_FET_TEMPERATURE);
	return l;
}

static struct lowest allow_charge(const struct limits *l, const struct sample *s, int soc)
{
	struct lowest a = allow(s, &l->s.charge_cell_mv, &l->s.charge_decicelsius,
				&l->s.fet_decicelsius);

	if (soc >= 0)
		lower(&a, limits_curve_permille(&l->s.charge_soc_centipercent, soc),
		      LIMITS_REASON_SOC);
	if (!has_cells(s) || !has_temperatures(s))
		lower(&a, 0, LIMITS_REASON_UNKNOWN);
	if (sample_has(s, SAMPLE_CHARGE_FET) && !s->charge_fet)
		lower(&a, 0, LIMITS_REASON_FET_OFF);
	return a;
}

static struct lowest allow_discharge(const struct limits *l, const struct sample *s, int soc)
{
	struct lowest a = allow(s, &l->s.discharge_cell_mv, &l->s.discharge_decicelsius,
				&l->s.fet_decicelsius);

	if (soc >= 0)
		lower(&a, limits_curve_permille(&l->s.discharge_soc_centipercent, soc),
		      LIMITS_REASON_SOC);
	if (sample_has(s, SAMPLE_DISCHARGE_FET) && !s->discharge_fet)
		lower(&a, 0, LIMITS_REASON_FET_OFF);
	return a;
}

static void follow(const struct limits *l, struct one_limit *one, int64_t allowed_ua,
		   enum limits_reason reason, uint64_t dt_msec)
{
	uint64_t hold_msec = l->s.hold_sec * 1000, before = one->allowed_msec;
	uint64_t rising_msec;

	if (one->now_ua < 0 || allowed_ua <= one->now_ua) {
		*one = (struct one_limit){ allowed_ua, 0, reason };
		return;
	}
	one->reason = LIMITS_REASON_RECOVERY;
	if (dt_msec > LIMITS_GAP_MSEC)
		before = one->allowed_msec = dt_msec = 0;
	one->allowed_msec += dt_msec;
	if (one->allowed_msec <= hold_msec)
		return;
	rising_msec = before >= hold_msec ? dt_msec : one->allowed_msec - hold_msec;
	one->now_ua += (int64_t)(l->s.rise_ma_per_sec * rising_msec);
	if (one->now_ua >= allowed_ua) {
		one->now_ua = allowed_ua;
		one->reason = reason;
	}
}

static void follow_part(const struct limits *l, struct one_limit *one, uint64_t rated_ma,
			struct lowest allowed, uint64_t dt_msec)
{
	follow(l, one, (int64_t)(rated_ma * allowed.permille), allowed.reason, dt_msec);
}

void limits_step(struct limits *l, const struct sample *sample, int soc_centipercent,
		 uint64_t dt_msec)
{
	struct lowest charge = allow_charge(l, sample, soc_centipercent);
	struct lowest discharge = allow_discharge(l, sample, soc_centipercent);
	struct lowest regeneration = charge;

	if (soc_centipercent >= 0)
		lower(&regeneration,
		      limits_curve_permille(&l->s.regeneration_soc_centipercent, soc_centipercent),
		      LIMITS_REASON_SOC);
	follow_part(l, &l->charge, l->s.charge_current_max_ma, charge, dt_msec);
	follow_part(l, &l->regeneration, l->s.charge_current_max_ma, regeneration, dt_msec);
	follow_part(l, &l->discharge, l->s.discharge_current_max_ma, discharge, dt_msec);
	if (has_cells(sample))
		l->voltage_max_uv = (int64_t)(l->s.cell_charge_max_mv * 1000 * sample->n_cells);
}

void limits_look(const struct limits *l, struct limits_view *ret)
{
	*ret = (struct limits_view){
		.constant_charge_voltage_max_uv = l->voltage_max_uv,
		.charge_current_max_ua = l->charge.now_ua,
		.discharge_current_max_ua = l->discharge.now_ua,
		.charge_reason = l->charge.reason,
		.regeneration_current_max_ua = l->regeneration.now_ua,
		.regeneration_reason = l->regeneration.reason,
		.discharge_reason = l->discharge.reason,
	};
}
