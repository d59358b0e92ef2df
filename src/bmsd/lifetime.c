/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/lifetime.h"

#include <errno.h>
#include <stddef.h>

#define MSEC_PER_HOUR	   3600000.0
#define COUNTER_MAX	   (UINT64_C(1) << 52)
#define CELL_MAX_UV	   INT64_C(10000000)
#define TEMPERATURE_MAX_DC INT64_C(3000)
#define CURRENT_MAX_UA	   INT64_C(100000000000)
#define BIN_DECICELSIUS	   100
#define BINS_LOWEST	   (-100) /* where the second begins */
#define BIN_CENTIPERCENT   1000

int32_t lifetime_bin_celsius(unsigned bin)
{
	if (bin == 0)
		return INT32_MIN;
	return (BINS_LOWEST + ((int32_t)bin - 1) * BIN_DECICELSIUS) / 10;
}

static size_t temperature_bin(int64_t decicelsius)
{
	int64_t bin;

	if (decicelsius < BINS_LOWEST)
		return 0;
	bin = 1 + (decicelsius - BINS_LOWEST) / BIN_DECICELSIUS;
	return bin < LIFETIME_TEMPERATURE_BINS ? (size_t)bin : LIFETIME_TEMPERATURE_BINS - 1;
}

static size_t soc_bin(int soc_centipercent)
{
	int bin = soc_centipercent / BIN_CENTIPERCENT;

	return bin < LIFETIME_SOC_BINS ? (size_t)bin : LIFETIME_SOC_BINS - 1;
}

/* Whole units go over into the counter. */
static void add(uint64_t *counter, double *rest, double value)
{
	uint64_t whole;

	*rest += value;
	whole = (uint64_t)*rest;
	*counter += whole;
	*rest -= (double)whole;
}

static void add_msec(uint64_t *sec, uint64_t *rest_msec, uint64_t msec)
{
	*rest_msec += msec;
	*sec += *rest_msec / 1000;
	*rest_msec %= 1000;
}

static void widen(int64_t *low, int64_t *high, int64_t value, bool first)
{
	if (first || value < *low)
		*low = value;
	if (first || value > *high)
		*high = value;
}

static void widen_all(struct lifetime *l, uint32_t bit, int64_t *low, int64_t *high,
		      const int64_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		widen(low, high, values[i], !(l->seen & bit));
		l->seen |= bit;
	}
}

static void count_charge(struct lifetime *l, const struct sample *s, double msec)
{
	double uah, uwh;

	if (!sample_has(s, SAMPLE_CURRENT) || s->current_ua < -CURRENT_MAX_UA ||
	    s->current_ua > CURRENT_MAX_UA)
		return;
	uah = (double)s->current_ua * msec / MSEC_PER_HOUR;
	uwh = sample_has(s, SAMPLE_VOLTAGE) && s->voltage_uv > 0 ? uah * (double)s->voltage_uv / 1e6
								 : 0;
	if (uah > 0) {
		add(&l->charged_uah, &l->rest_charged_uah, uah);
		add(&l->charged_uwh, &l->rest_charged_uwh, uwh);
	} else {
		add(&l->discharged_uah, &l->rest_discharged_uah, -uah);
		add(&l->discharged_uwh, &l->rest_discharged_uwh, -uwh);
	}
	l->seen |= LIFETIME_SEEN_CURRENT;
	if (s->current_ua > l->charge_current_max_ua)
		l->charge_current_max_ua = s->current_ua;
	if (-s->current_ua > l->discharge_current_max_ua)
		l->discharge_current_max_ua = -s->current_ua;
}

static void count_bin(struct lifetime *l, const struct sample *s, int soc_centipercent,
		      uint64_t msec)
{
	int64_t hottest = s->temperatures_decicelsius[0];
	size_t t, soc;

	if (soc_centipercent < 0)
		return;
	for (size_t i = 1; i < s->n_temperatures; i++)
		if (s->temperatures_decicelsius[i] > hottest)
			hottest = s->temperatures_decicelsius[i];
	t = temperature_bin(hottest);
	soc = soc_bin(soc_centipercent);
	add_msec(&l->in_bin_sec[t][soc], &l->rest_in_bin_msec[t][soc], msec);
}

void lifetime_step(struct lifetime *l, const struct sample *sample, int soc_centipercent,
		   uint64_t dt_msec)
{
	if (dt_msec > LIFETIME_STEP_MAX_MSEC)
		dt_msec = LIFETIME_STEP_MAX_MSEC;
	add_msec(&l->watched_sec, &l->rest_watched_msec, dt_msec);
	count_charge(l, sample, (double)dt_msec);
	if (sample_has(sample, SAMPLE_CELLS) && sample->n_cells <= SAMPLE_MAX_CELLS)
		widen_all(l, LIFETIME_SEEN_CELLS, &l->cell_min_uv, &l->cell_max_uv,
			  sample->cells_uv, sample->n_cells);
	if (!sample_has(sample, SAMPLE_TEMPERATURES) || sample->n_temperatures == 0 ||
	    sample->n_temperatures > SAMPLE_MAX_TEMPERATURES)
		return;
	widen_all(l, LIFETIME_SEEN_TEMPERATURES, &l->temperature_min_decicelsius,
		  &l->temperature_max_decicelsius, sample->temperatures_decicelsius,
		  sample->n_temperatures);
	count_bin(l, sample, soc_centipercent, dt_msec);
}

/* ---- two copies ---- */

static void raise(uint64_t *to, uint64_t other)
{
	if (other > *to)
		*to = other;
}

static void widen_to(struct lifetime *l, const struct lifetime *other, uint32_t bit,
		     size_t low_offset, size_t high_offset)
{
	int64_t *low = (int64_t *)(void *)((char *)l + low_offset);
	int64_t *high = (int64_t *)(void *)((char *)l + high_offset);
	const int64_t both[] = {
		*(const int64_t *)(const void *)((const char *)other + low_offset),
		*(const int64_t *)(const void *)((const char *)other + high_offset),
	};

	if (other->seen & bit)
		widen_all(l, bit, low, high, both, 2);
}

void lifetime_merge(struct lifetime *l, const struct lifetime *other)
{
	raise(&l->charged_uah, other->charged_uah);
	raise(&l->discharged_uah, other->discharged_uah);
	raise(&l->charged_uwh, other->charged_uwh);
	raise(&l->discharged_uwh, other->discharged_uwh);
	raise(&l->watched_sec, other->watched_sec);
	for (size_t t = 0; t < LIFETIME_TEMPERATURE_BINS; t++)
		for (size_t soc = 0; soc < LIFETIME_SOC_BINS; soc++)
			raise(&l->in_bin_sec[t][soc], other->in_bin_sec[t][soc]);
	widen_to(l, other, LIFETIME_SEEN_CELLS, offsetof(struct lifetime, cell_min_uv),
		 offsetof(struct lifetime, cell_max_uv));
	widen_to(l, other, LIFETIME_SEEN_TEMPERATURES,
		 offsetof(struct lifetime, temperature_min_decicelsius),
		 offsetof(struct lifetime, temperature_max_decicelsius));
	if (!(other->seen & LIFETIME_SEEN_CURRENT))
		return;
	l->seen |= LIFETIME_SEEN_CURRENT;
	if (other->charge_current_max_ua > l->charge_current_max_ua)
		l->charge_current_max_ua = other->charge_current_max_ua;
	if (other->discharge_current_max_ua > l->discharge_current_max_ua)
		l->discharge_current_max_ua = other->discharge_current_max_ua;
}

static bool extremes_are_possible(const struct lifetime *l, const char **ret_member)
{
	const struct {
		const char *name;
		uint32_t bit;
		int64_t low, high, least, most;
	} extremes[] = {
		{ "cell", LIFETIME_SEEN_CELLS, l->cell_min_uv, l->cell_max_uv, 0, CELL_MAX_UV },
		{ "temperature", LIFETIME_SEEN_TEMPERATURES, l->temperature_min_decicelsius,
		  l->temperature_max_decicelsius, -TEMPERATURE_MAX_DC, TEMPERATURE_MAX_DC },
		{ "charge_current_max", LIFETIME_SEEN_CURRENT, 0, l->charge_current_max_ua, 0,
		  CURRENT_MAX_UA },
		{ "discharge_current_max", LIFETIME_SEEN_CURRENT, 0, l->discharge_current_max_ua, 0,
		  CURRENT_MAX_UA },
	};

	for (size_t i = 0; i < ELEMENTSOF(extremes); i++) {
		if (!(l->seen & extremes[i].bit) ||
		    (extremes[i].low >= extremes[i].least && extremes[i].high <= extremes[i].most &&
		     extremes[i].low <= extremes[i].high))
			continue;
		*ret_member = extremes[i].name;
		return false;
	}
	return true;
}

int lifetime_check(const struct lifetime *l, const char **ret_member)
{
	const struct {
		const char *name;
		uint64_t value;
	} counters[] = {
		{ "charged_uah", l->charged_uah }, { "discharged_uah", l->discharged_uah },
		{ "charged_uwh", l->charged_uwh }, { "discharged_uwh", l->discharged_uwh },
		{ "watched_sec", l->watched_sec },
	};

	for (size_t i = 0; i < ELEMENTSOF(counters); i++) {
		if (counters[i].value > COUNTER_MAX) {
			*ret_member = counters[i].name;
			return -ERANGE;
		}
	}
	for (size_t t = 0; t < LIFETIME_TEMPERATURE_BINS; t++) {
		for (size_t soc = 0; soc < LIFETIME_SOC_BINS; soc++) {
			if (l->in_bin_sec[t][soc] > COUNTER_MAX) {
				*ret_member = "in_bin_sec";
				return -ERANGE;
			}
		}
	}
	return extremes_are_possible(l, ret_member) ? 0 : -ERANGE;
}
