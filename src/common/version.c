/* SPDX-License-Identifier: Apache-2.0 */
#include "common/version.h"

#include <assert.h>
#include <string.h>

#define YEAR_MIN 2000
#define YEAR_MAX 2199

static uint32_t parse_digits(const char *digits, int n)
{
	uint32_t value = 0;

	for (int i = 0; i < n; i++)
		value = value * 10 + (uint32_t)(digits[i] - '0');
	return value;
}

static uint32_t days_in_month(uint32_t year, uint32_t month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && is_leap ? 29 : days[month - 1];
}

static bool is_date(uint32_t date)
{
	uint32_t year = date / 10000, month = date / 100 % 100, day = date % 100;

	return year >= YEAR_MIN && year <= YEAR_MAX && month >= 1 && month <= 12 && day >= 1 &&
	       day <= days_in_month(year, month);
}

int version_parse(const char *text, struct version *ret)
{
	struct version v;

	if (strnlen(text, VERSION_LENGTH + 1) != VERSION_LENGTH || *text < 'A' || *text > 'Z' ||
	    strspn(text + 1, "0123456789") != VERSION_LENGTH - 1)
		return -EINVAL;
	v.program = *text;
	v.date = parse_digits(text + 1, 8);
	v.serial = parse_digits(text + 9, 4);
	if (!is_date(v.date) || v.serial == 0)
		return -EINVAL;
	memcpy(v.text, text, sizeof v.text);
	*ret = v;
	return 0;
}

int version_compare(const struct version *a, const struct version *b)
{
	assert(version_same_program(a, b));

	if (a->date != b->date)
		return a->date < b->date ? -1 : 1;
	if (a->serial != b->serial)
		return a->serial < b->serial ? -1 : 1;
	return 0;
}

bool version_same_program(const struct version *a, const struct version *b)
{
	return a->program == b->program;
}
