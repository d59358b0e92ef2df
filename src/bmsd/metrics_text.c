/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>

#include "bmsd/cells.h"
#include "bmsd/metrics.h"

/* An hour has 3600 seconds: base units are coulomb and joule. */
#define UAH_IN_COULOMB (1e6 / 3600)
#define UWH_IN_JOULE   (1e6 / 3600)

/* One family after the other, as the format wants it: all samples of a family stand together. */

struct family {
	const char *name;
	const char *type;
	const char *help;
};

static void begin_family(FILE *to, const struct family *f)
{
	(void)fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, f->type);
}

/* What a board calls itself is anything: the format wants UTF-8, and two characters escaped. */
static void put_label(FILE *to, const char *name, const char *value)
{
	(void)fprintf(to, "%s=\"", name);
	for (; *value; value++) {
		if (*value < ' ' || *value > '~')
			(void)fputc('?', to);
		else if (*value == '\\' || *value == '"')
			(void)fprintf(to, "\\%c", *value);
		else
			(void)fputc(*value, to);
	}
	(void)fputc('"', to);
}

/* further is "", or a label that is made of our own words alone. */
static void put_sample(FILE *to, const char *name, const char *pack, const char *further,
		       double value)
{
	(void)fprintf(to, "%s{", name);
	put_label(to, "pack", pack);
	(void)fprintf(to, "%s%s} %.10g\n", further[0] ? "," : "", further, value);
}

static const char *label(char *buffer, size_t size, const char *format, ...) _printf_(3, 4);

static const char *label(char *buffer, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(buffer, size, format, args);
	va_end(args);
	return buffer;
}

/* ---- one number of each pack ---- */

/* False: not known. */
typedef bool (*value_fn)(const struct pack_facts *p, double *ret);

static bool known(int64_t value, double unit, double *ret)
{
	if (value < 0)
		return false;
	*ret = (double)value / unit;
	return true;
}

static bool sampled(const struct pack_facts *p, enum sample_field field, int64_t value, double unit,
		    double *ret)
{
	if (!p->pack.present || !sample_has(&p->pack.sample, field))
		return false;
	*ret = (double)value / unit;
	return true;
}

/* clang-format off */
#define SAMPLED(function, field, member, unit)                                  \
	static bool function(const struct pack_facts *p, double *ret)           \
	{                                                                       \
		return sampled(p, field, p->pack.sample.member, unit, ret);     \
	}
#define KNOWN(function, value, unit)                                            \
	static bool function(const struct pack_facts *p, double *ret)           \
	{                                                                       \
		return known((int64_t)(value), unit, ret);                      \
	}
/* clang-format on */

SAMPLED(get_voltage, SAMPLE_VOLTAGE, voltage_uv, 1e6)
SAMPLED(get_current, SAMPLE_CURRENT, current_ua, 1e6)
SAMPLED(get_board_charge, SAMPLE_CHARGE, charge_uah, UAH_IN_COULOMB)
SAMPLED(get_board_soc, SAMPLE_CAPACITY, capacity_percent, 100)
SAMPLED(get_cycles, SAMPLE_CYCLES, cycles, 1)
SAMPLED(get_fet_temperature, SAMPLE_FET_TEMPERATURE, fet_temperature_decicelsius, 10)
SAMPLED(get_charge_fet, SAMPLE_CHARGE_FET, charge_fet, 1)
SAMPLED(get_discharge_fet, SAMPLE_DISCHARGE_FET, discharge_fet, 1)
KNOWN(get_up, p->pack.present, 1)
KNOWN(get_link_up, p->pack.link_up, 1)
KNOWN(get_age, p->pack.age_msec, 1e3)
KNOWN(get_polls, p->pack.polls, 1)
KNOWN(get_polls_failed, p->pack.polls_failed, 1)
KNOWN(get_lines_lost, p->pack.lines_lost, 1)
KNOWN(get_soc, p->estimator.soc_centipercent, 1e4)
KNOWN(get_margin, p->estimator.margin_centipercent, 1e4)
KNOWN(get_charge, p->estimator.charge_now_uah, UAH_IN_COULOMB)
KNOWN(get_charge_full, p->estimator.charge_full_uah, UAH_IN_COULOMB)
KNOWN(get_soh, p->estimator.soh_centipercent, 1e4)
KNOWN(get_own_cycles, p->estimator.cycles_milli, 1e3)
KNOWN(get_resistance, p->estimator.resistance_uohm, 1e6)
KNOWN(get_cvl, p->limits.constant_charge_voltage_max_uv, 1e6)
KNOWN(get_ccl, p->limits.charge_current_max_ua, 1e6)
KNOWN(get_dcl, p->limits.discharge_current_max_ua, 1e6)
KNOWN(get_charged, p->lifetime ? (int64_t)p->lifetime->charged_uah : -1, UAH_IN_COULOMB)
KNOWN(get_discharged, p->lifetime ? (int64_t)p->lifetime->discharged_uah : -1, UAH_IN_COULOMB)
KNOWN(get_charged_joules, p->lifetime ? (int64_t)p->lifetime->charged_uwh : -1, UWH_IN_JOULE)
KNOWN(get_discharged_joules, p->lifetime ? (int64_t)p->lifetime->discharged_uwh : -1, UWH_IN_JOULE)

static bool get_balancing(const struct pack_facts *p, double *ret)
{
	return sampled(p, SAMPLE_BALANCING, __builtin_popcount(p->pack.sample.balancing), 1, ret);
}

static bool get_spread(const struct pack_facts *p, double *ret)
{
	struct cells_summary c = {};

	if (!p->pack.present || !cells_summarize(&p->pack.sample, &c))
		return false;
	*ret = (double)(c.max_uv - c.min_uv) / 1e6;
	return true;
}

static const struct simple {
	struct family family;
	value_fn get;
} simple[] = {
	{ { "bmsd_pack_up", "gauge", "1 while the last sample is valid and fresh" }, get_up },
	{ { "bmsd_pack_link_up", "gauge", "1 while the board answers" }, get_link_up },
	{ { "bmsd_pack_sample_age_seconds", "gauge", "Age of the last good sample" }, get_age },
	{ { "bmsd_pack_voltage_volts", "gauge", "Voltage of the pack" }, get_voltage },
	{ { "bmsd_pack_current_amperes", "gauge", "Current, positive while charging" },
	  get_current },
	{ { "bmsd_pack_cell_spread_volts", "gauge", "Highest less lowest cell" }, get_spread },
	{ { "bmsd_pack_fet_temperature_celsius", "gauge", "Temperature of the switches" },
	  get_fet_temperature },
	{ { "bmsd_pack_charge_fet_on", "gauge", "1 while the charge switch is on" },
	  get_charge_fet },
	{ { "bmsd_pack_discharge_fet_on", "gauge", "1 while the discharge switch is on" },
	  get_discharge_fet },
	{ { "bmsd_pack_balancing_cells", "gauge", "Cells that are being balanced" },
	  get_balancing },
	{ { "bmsd_pack_state_of_charge_ratio", "gauge", "State of charge as bmsd knows it" },
	  get_soc },
	{ { "bmsd_pack_state_of_charge_margin_ratio", "gauge",
	    "How far off the state of charge may be" },
	  get_margin },
	{ { "bmsd_pack_board_state_of_charge_ratio", "gauge",
	    "State of charge as the board says it" },
	  get_board_soc },
	{ { "bmsd_pack_charge_coulombs", "gauge", "Charge as bmsd knows it" }, get_charge },
	{ { "bmsd_pack_charge_full_coulombs", "gauge", "Capacity, learned or assumed" },
	  get_charge_full },
	{ { "bmsd_pack_board_charge_coulombs", "gauge", "Charge as the board says it" },
	  get_board_charge },
	{ { "bmsd_pack_state_of_health_ratio", "gauge", "Capacity by design capacity" }, get_soh },
	{ { "bmsd_pack_resistance_ohms", "gauge", "Resistance of the pack at 25 degrees Celsius" },
	  get_resistance },
	{ { "bmsd_pack_charge_voltage_limit_volts", "gauge", "Charge to no more than this" },
	  get_cvl },
	{ { "bmsd_pack_charge_current_limit_amperes", "gauge", "Charge with no more than this" },
	  get_ccl },
	{ { "bmsd_pack_discharge_current_limit_amperes", "gauge",
	    "Discharge with no more than this" },
	  get_dcl },
	{ { "bmsd_pack_equivalent_full_cycles_total", "counter",
	    "Discharged charge by design capacity" },
	  get_own_cycles },
	{ { "bmsd_pack_board_cycles", "gauge", "Cycles as the board counts them" }, get_cycles },
	{ { "bmsd_pack_charged_coulombs_total", "counter", "Charge that went in" }, get_charged },
	{ { "bmsd_pack_discharged_coulombs_total", "counter", "Charge that came out" },
	  get_discharged },
	{ { "bmsd_pack_charged_joules_total", "counter", "Energy that went in" },
	  get_charged_joules },
	{ { "bmsd_pack_discharged_joules_total", "counter", "Energy that came out" },
	  get_discharged_joules },
	{ { "bmsd_pack_polls_total", "counter", "Polls since start" }, get_polls },
	{ { "bmsd_pack_polls_failed_total", "counter", "Polls without a usable sample" },
	  get_polls_failed },
	{ { "bmsd_pack_lines_lost_total", "counter", "How often the device went away" },
	  get_lines_lost },
};

static void put_simple(FILE *to, const struct facts *f, const struct simple *s)
{
	bool begun = false;

	for (size_t i = 0; i < f->n_packs; i++) {
		double value = 0;

		if (!s->get(&f->packs[i], &value))
			continue;
		if (!begun)
			begin_family(to, &s->family);
		begun = true;
		put_sample(to, s->family.name, f->packs[i].pack.name, "", value);
	}
}

/* ---- several numbers of each pack ---- */

typedef void (*each_fn)(FILE *to, const char *name, const struct pack_facts *p);

static void each_cell(FILE *to, const char *name, const struct pack_facts *p)
{
	const struct sample *s = &p->pack.sample;
	char text[32];

	if (!p->pack.present || !sample_has(s, SAMPLE_CELLS))
		return;
	for (size_t i = 0; i < s->n_cells; i++)
		put_sample(to, name, p->pack.name, label(text, sizeof text, "cell=\"%zu\"", i + 1),
			   (double)s->cells_uv[i] / 1e6);
}

static void each_temperature(FILE *to, const char *name, const struct pack_facts *p)
{
	const struct sample *s = &p->pack.sample;
	char text[32];

	if (!p->pack.present || !sample_has(s, SAMPLE_TEMPERATURES))
		return;
	for (size_t i = 0; i < s->n_temperatures; i++)
		put_sample(to, name, p->pack.name,
			   label(text, sizeof text, "sensor=\"%zu\"", i + 1),
			   (double)s->temperatures_decicelsius[i] / 10);
}

static void each_protection(FILE *to, const char *name, const struct pack_facts *p)
{
	char text[80];

	if (!p->pack.present || !sample_has(&p->pack.sample, SAMPLE_PROTECTIONS))
		return;
	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		put_sample(to, name, p->pack.name,
			   label(text, sizeof text, "protection=\"%s\"", protection_name(i)),
			   p->pack.sample.protections >> i & 1u);
}

static void each_alarm(FILE *to, const char *name, const struct pack_facts *p)
{
	char text[96];

	if (!p->alarms || !p->alarm_settings)
		return;
	for (unsigned i = 0; i < ALARM_COUNT; i++)
		if (p->alarm_settings->rules[i].enabled)
			put_sample(to, name, p->pack.name,
				   label(text, sizeof text, "alarm=\"%s\",level=\"%s\"",
					 alarm_name(i),
					 alarm_level_name(p->alarm_settings->rules[i].level)),
				   p->alarms->states[i].set);
}

static void each_error(FILE *to, const char *name, const struct pack_facts *p)
{
	char text[64];

	for (unsigned i = 0; i < LINK_ERROR_COUNT; i++)
		put_sample(to, name, p->pack.name,
			   label(text, sizeof text, "kind=\"%s\"", link_error_name(i)),
			   (double)p->pack.errors.n[i]);
}

static void each_gate(FILE *to, const char *name, const struct pack_facts *p)
{
	char text[64];

	for (unsigned i = 0; i < SAMPLE_GATE_COUNT; i++)
		put_sample(to, name, p->pack.name,
			   label(text, sizeof text, "gate=\"%s\"", sample_gate_name(i)),
			   (double)p->pack.gates.n[i]);
}

static void each_trip(FILE *to, const char *name, const struct pack_facts *p)
{
	const struct sample *s = &p->pack.sample;
	char text[80];

	if (!p->pack.present || !sample_has(s, SAMPLE_COUNTERS))
		return;
	for (unsigned i = 0; i < PROTECTION_COUNT; i++)
		if (s->counters_known & 1u << i)
			put_sample(
				to, name, p->pack.name,
				label(text, sizeof text, "protection=\"%s\"", protection_name(i)),
				s->counters[i]);
}

static void each_model(FILE *to, const char *name, const struct pack_facts *p)
{
	(void)fprintf(to, "%s{", name);
	put_label(to, "pack", p->pack.name);
	(void)fputc(',', to);
	put_label(to, "driver", p->pack.driver);
	(void)fputc(',', to);
	put_label(to, "model", p->pack.model);
	(void)fputs("} 1\n", to);
}

static const struct several {
	struct family family;
	each_fn each;
} several[] = {
	{ { "bmsd_pack_info", "gauge", "What the board calls itself" }, each_model },
	{ { "bmsd_cell_voltage_volts", "gauge", "Voltage of a cell" }, each_cell },
	{ { "bmsd_pack_temperature_celsius", "gauge", "Temperature at a sensor" },
	  each_temperature },
	{ { "bmsd_pack_protection_active", "gauge", "1 while the board has switched off for it" },
	  each_protection },
	/* The board's own, which may be set to zero: no counter of ours. */
	{ { "bmsd_pack_board_protection_trips", "gauge", "How often the board has switched off" },
	  each_trip },
	{ { "bmsd_pack_alarm_active", "gauge", "1 while the alarm is set" }, each_alarm },
	{ { "bmsd_pack_link_errors_total", "counter", "What went wrong on the line" }, each_error },
	{ { "bmsd_pack_samples_refused_total", "counter", "Samples that were not plausible" },
	  each_gate },
};

static void put_several(FILE *to, const struct facts *f, const struct several *s)
{
	begin_family(to, &s->family);
	for (size_t i = 0; i < f->n_packs; i++)
		s->each(to, s->family.name, &f->packs[i]);
}

/* ---- the daemon ---- */

static void put_daemon(FILE *to, const struct facts *f)
{
	static const struct family build = { "bmsd_build_info", "gauge", "The release that runs" };
	static const struct family up = { "bmsd_uptime_seconds", "gauge", "Since bmsd started" };
	static const struct family events = { "bmsd_events_total", "counter",
					      "Number of the last event, over all the years" };
	static const struct family refused = { "bmsd_config_refused", "gauge",
					       "What of bmsd.conf was not taken" };
	size_t n_refused = f->conf ? f->conf->n_refused + f->conf->n_refused_more : 0;

	begin_family(to, &build);
	(void)fprintf(to, "%s{", build.name);
	put_label(to, "version", f->version);
	(void)fputs("} 1\n", to);
	begin_family(to, &up);
	(void)fprintf(to, "%s %.3f\n", up.name, (double)(f->now_msec - f->started_msec) / 1e3);
	begin_family(to, &events);
	(void)fprintf(to, "%s %" PRIu64 "\n", events.name, f->event_sequence);
	begin_family(to, &refused);
	(void)fprintf(to, "%s %zu\n", refused.name, n_refused);
}

int metrics_build(const struct facts *f, char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	int failed;

	if (!to)
		return -ENOMEM;
	put_daemon(to, f);
	for (size_t i = 0; i < ELEMENTSOF(simple); i++)
		put_simple(to, f, &simple[i]);
	for (size_t i = 0; f->n_packs > 0 && i < ELEMENTSOF(several); i++)
		put_several(to, f, &several[i]);
	failed = ferror(to);
	if (fclose(to) != 0 || failed)
		return -ENOMEM;
	*ret_text = TAKE_PTR(text);
	return 0;
}
