/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuel gauge that the kernel knows: the attributes of one directory of /sys/class/power_supply
 * (Documentation/ABI/testing/sysfs-class-power). Gauges have few of them or many; one that is missing,
 * or that holds nonsense, is an unknown field. The kernel answers at once, or within the few
 * milliseconds that its own bus to the gauge takes.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "bmsd/driver.h"

#define ATTRIBUTE_BYTES 128
/* A million volts, amperes or ampere hours are none; and no sum overflows. */
#define VALUE_MAX	INT64_C(1000000000000)
/* As of capacity_mah. */
#define CHARGE_MAX_UAH	INT64_C(10000000000)

struct power_supply {
	bool done;
	struct sample sample;
};

/* What is being read, and what became of it. */
struct reading {
	int dirfd;
	struct link_errors *errors;
	struct sample *s;
	int error;     /* of the gauge as a whole */
	bool is_there; /* there is something to be read */
};

/* An attribute that this gauge does not have, as kernels say it. */
static bool is_missing(int error)
{
	return error == -ENOENT || error == -ENODATA || error == -EINVAL || error == -EOPNOTSUPP ||
	       error == -EACCES;
}

static int read_attribute(int dirfd, const char *name, char ret[ATTRIBUTE_BYTES])
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, ret, ATTRIBUTE_BYTES - 1);
	if (n < 0)
		return -errno;
	while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == ' '))
		n--;
	ret[n] = '\0';
	return 0;
}

/* False if there is no such text; the first error that is more than that is kept. */
static bool text(struct reading *r, const char *name, char ret[ATTRIBUTE_BYTES])
{
	int error;

	ret[0] = '\0';
	error = r->error < 0 ? r->error : read_attribute(r->dirfd, name, ret);
	r->is_there |= error == 0;
	if (error == 0)
		return ret[0] != '\0';
	if (!is_missing(error))
		r->error = error;
	return false;
}

static bool number(struct reading *r, const char *name, int64_t *ret)
{
	char value[ATTRIBUTE_BYTES], *end = NULL;
	long long n;

	if (!text(r, name, value))
		return false;
	errno = 0;
	n = strtoll(value, &end, 10);
	if (errno || end == value || *end || !strchr("-0123456789", value[0]) || n > VALUE_MAX ||
	    n < -VALUE_MAX) {
		r->errors->n[LINK_ERROR_MALFORMED]++;
		return false;
	}
	*ret = n;
	return true;
}

static void quantity(struct reading *r, const char *name, enum sample_field field, int64_t *ret)
{
	if (number(r, name, ret))
		r->s->valid |= 1u << field;
}

/* There is no less than nothing. */
static void charge(struct reading *r, const char *name, enum sample_field field, int64_t *ret)
{
	int64_t uah = 0;

	if (!number(r, name, &uah))
		return;
	if (uah < 0 || uah > CHARGE_MAX_UAH) {
		r->errors->n[LINK_ERROR_MALFORMED]++;
		return;
	}
	*ret = uah;
	r->s->valid |= 1u << field;
}

/* The ABI says negative while discharging, but there are gauges that always say a magnitude. */
static void read_current(struct reading *r)
{
	struct sample *s = r->s;
	char status[ATTRIBUTE_BYTES];

	quantity(r, "current_now", SAMPLE_CURRENT, &s->current_ua);
	if (!text(r, "status", status))
		return;
	if ((strcmp(status, "Discharging") == 0 && s->current_ua > 0) ||
	    (strcmp(status, "Charging") == 0 && s->current_ua < 0))
		s->current_ua = -s->current_ua;
}

static void read_counts(struct reading *r)
{
	struct sample *s = r->s;
	int64_t n = 0;

	if (number(r, "capacity", &n)) {
		/* What cannot be is for the gates to refuse. */
		s->capacity_percent = n < 0 || n > INT_MAX ? INT_MAX : (int)n;
		s->valid |= 1u << SAMPLE_CAPACITY;
	}
	if (number(r, "cycle_count", &n) && n >= 0 && n <= UINT32_MAX) {
		s->cycles = (uint32_t)n;
		s->valid |= 1u << SAMPLE_CYCLES;
	}
	if (number(r, "temp", &n)) {
		s->temperatures_decicelsius[0] = n;
		s->n_temperatures = 1;
		s->valid |= 1u << SAMPLE_TEMPERATURES;
	}
}

/* A gauge has no switches: what it complains of is a warning. */
static void read_health(struct reading *r)
{
	static const struct {
		const char *health;
		uint32_t warnings;
	} table[] = {
		{ "Good", 0 },
		{ "Overheat", 1u << PROTECTION_DISCHARGE_OVERTEMPERATURE },
		{ "Hot", 1u << PROTECTION_DISCHARGE_OVERTEMPERATURE },
		{ "Warm", 1u << PROTECTION_CHARGE_OVERTEMPERATURE },
		{ "Cool", 1u << PROTECTION_CHARGE_UNDERTEMPERATURE },
		{ "Cold", 1u << PROTECTION_CHARGE_UNDERTEMPERATURE },
		{ "Over voltage", 1u << PROTECTION_PACK_OVERVOLTAGE },
		{ "Over current", 1u << PROTECTION_DISCHARGE_OVERCURRENT },
	};
	char health[ATTRIBUTE_BYTES];

	if (!text(r, "health", health) || strcmp(health, "Unknown") == 0)
		return;
	r->s->valid |= 1u << SAMPLE_PROTECTIONS;
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		if (strcmp(table[i].health, health) != 0)
			continue;
		r->s->warnings = table[i].warnings;
		return;
	}
	r->s->warnings = 1u << PROTECTION_OTHER;
}

static void append_clean(char *to, size_t size, const char *from)
{
	size_t n = strlen(to);

	if (n > 0 && n + 1 < size)
		to[n++] = ' ';
	for (; *from && n + 1 < size; from++)
		if (*from >= 0x20 && *from < 0x7f)
			to[n++] = *from;
	to[n] = '\0';
}

static void read_identity(struct reading *r)
{
	struct sample *s = r->s;
	int64_t year = 0, month = 0, day = 0;
	char value[ATTRIBUTE_BYTES];

	if (text(r, "manufacturer", value))
		append_clean(s->model, sizeof s->model, value);
	if (text(r, "model_name", value))
		append_clean(s->model, sizeof s->model, value);
	if (text(r, "serial_number", value))
		append_clean(s->serial, sizeof s->serial, value);
	if (number(r, "manufacture_year", &year) && number(r, "manufacture_month", &month) &&
	    number(r, "manufacture_day", &day) && year >= 1980 && year <= 2999 && month >= 1 &&
	    month <= 12 && day >= 1 && day <= 31)
		(void)snprintf(s->manufactured, sizeof s->manufactured, "%04d-%02d-%02d", (int)year,
			       (int)month, (int)day);
}

static bool is_battery(struct reading *r)
{
	char type[ATTRIBUTE_BYTES];
	int64_t present = 1;

	if (text(r, "type", type) && strcmp(type, "Battery") != 0)
		return false;
	return !number(r, "present", &present) || present != 0;
}

static enum driver_step power_supply_read(void *state, int dirfd, struct link_errors *errors)
{
	struct power_supply *p = state;
	struct sample s = { .capacity_percent = -1 };
	struct reading r = { .dirfd = dirfd, .errors = errors, .s = &s };

	p->done = false;
	if (!is_battery(&r))
		return DRIVER_FAILED;
	quantity(&r, "voltage_now", SAMPLE_VOLTAGE, &s.voltage_uv);
	read_current(&r);
	charge(&r, "charge_now", SAMPLE_CHARGE, &s.charge_uah);
	charge(&r, "charge_full", SAMPLE_CHARGE_FULL, &s.charge_full_uah);
	charge(&r, "charge_full_design", SAMPLE_CHARGE_FULL_DESIGN, &s.charge_full_design_uah);
	read_counts(&r);
	read_health(&r);
	read_identity(&r);
	/* Of one that was unplugged nothing is left but our descriptor: the one that comes in its place
	 * has to be opened anew. */
	if (!r.is_there)
		r.error = -ENODEV;
	if (r.error < 0) {
		errors->n[LINK_ERROR_IO]++;
		return DRIVER_FAILED;
	}
	p->sample = s;
	p->done = true;
	return DRIVER_DONE;
}

static void power_supply_init(void *state)
{
	struct power_supply *p = state;

	*p = (struct power_supply){};
}

static int power_supply_commit(void *state, struct sample *ret)
{
	const struct power_supply *p = state;

	if (!p->done)
		return -ENODATA;
	*ret = p->sample;
	return 0;
}

const struct driver driver_power_supply = {
	.name = "power_supply",
	.capabilities = DRIVER_CAN_READ_DIRECTORY,
	.state_bytes = sizeof(struct power_supply),
	.init = power_supply_init,
	.read_directory = power_supply_read,
	.commit = power_supply_commit,
};
