/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/until.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define MINUTE_SEC	 60
#define HOUR_SEC	 3600
#define DAY_SEC		 86400
#define WEEK_SEC	 604800
#define MAX_SEC		 INT64_C(253402300799) /* the end of 9999 */
#define MAX_COUNT_DIGITS 6

/* Exactly this many digits, and no sign or space as strtoul() would take. */
static bool take_number(const char **p, unsigned digits, int *ret)
{
	int value = 0;

	for (unsigned i = 0; i < digits; i++) {
		char c = (*p)[i];

		if (c < '0' || c > '9')
			return false;
		value = value * 10 + (c - '0');
	}
	*p += digits;
	*ret = value;
	return true;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

static bool take_date(const char **p, struct tm *tm)
{
	if (!take_number(p, 4, &tm->tm_year) || !take_char(p, '-') ||
	    !take_number(p, 2, &tm->tm_mon) || !take_char(p, '-') ||
	    !take_number(p, 2, &tm->tm_mday))
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon--;
	return true;
}

static bool take_time(const char **p, bool has_seconds, struct tm *tm)
{
	if (!take_number(p, 2, &tm->tm_hour) || !take_char(p, ':') ||
	    !take_number(p, 2, &tm->tm_min))
		return false;
	if (**p != ':' && !has_seconds)
		return true;
	return take_char(p, ':') && take_number(p, 2, &tm->tm_sec);
}

/* "Z", "+01:00"; what is to be added to get UTC. */
static bool take_offset(const char **p, int *ret_sec)
{
	int sign = **p == '+' ? -1 : 1, hours, minutes;

	*ret_sec = 0;
	if (take_char(p, 'Z') || take_char(p, 'z'))
		return true;
	if (!take_char(p, '+') && !take_char(p, '-'))
		return false;
	if (!take_number(p, 2, &hours) || !take_char(p, ':') || !take_number(p, 2, &minutes) ||
	    hours > 23 || minutes > 59)
		return false;
	*ret_sec = sign * (hours * HOUR_SEC + minutes * MINUTE_SEC);
	return true;
}

/* timegm() makes the 3rd of March out of the 31st of February. */
static int to_seconds(const struct tm *tm, int64_t *ret_sec)
{
	struct tm same = *tm;
	time_t sec = timegm(&same);

	if (same.tm_year != tm->tm_year || same.tm_mon != tm->tm_mon ||
	    same.tm_mday != tm->tm_mday || same.tm_hour != tm->tm_hour ||
	    same.tm_min != tm->tm_min || same.tm_sec != tm->tm_sec)
		return -EINVAL;
	*ret_sec = sec;
	return 0;
}

static int parse_date(const char *p, int64_t *ret_sec)
{
	struct tm tm = { 0 };
	int offset_sec = 0;
	int r;

	if (!take_date(&p, &tm))
		return -EINVAL;
	if (take_char(&p, 'T') || take_char(&p, 't')) {
		if (!take_time(&p, true, &tm) || !take_offset(&p, &offset_sec))
			return -EINVAL;
	} else if (take_char(&p, ' ') && !take_time(&p, false, &tm)) {
		return -EINVAL;
	}
	if (*p)
		return -EINVAL;
	r = to_seconds(&tm, ret_sec);
	if (r == 0)
		*ret_sec += offset_sec;
	return r;
}

static int parse_duration(const char *p, int64_t *ret_sec)
{
	static const struct {
		char unit;
		int sec;
	} units[] = { { 'm', MINUTE_SEC }, { 'h', HOUR_SEC }, { 'd', DAY_SEC }, { 'w', WEEK_SEC } };
	size_t digits = strspn(p, "0123456789");
	int count;

	if (digits < 1 || digits > MAX_COUNT_DIGITS || !take_number(&p, (unsigned)digits, &count))
		return -EINVAL;
	for (size_t i = 0; i < ELEMENTSOF(units); i++) {
		if (p[0] != units[i].unit || p[1] != '\0')
			continue;
		*ret_sec = (int64_t)count * units[i].sec;
		return 0;
	}
	return -EINVAL;
}

int until_parse(const char *text, uint64_t now_sec, uint64_t *ret_sec)
{
	int64_t sec = 0;
	int r;

	if (now_sec > (uint64_t)MAX_SEC)
		return -ERANGE;
	if (*text == '+') {
		r = parse_duration(text + 1, &sec);
		sec += (int64_t)now_sec;
	} else {
		r = parse_date(text, &sec);
	}
	if (r < 0)
		return r;
	if (sec <= (int64_t)now_sec || sec > MAX_SEC)
		return -ERANGE;
	*ret_sec = (uint64_t)sec;
	return 0;
}

const char *until_format(uint64_t sec, char text[UNTIL_TEXT_BYTES])
{
	time_t t = (time_t)sec;
	struct tm tm;

	if (sec > (uint64_t)MAX_SEC || !gmtime_r(&t, &tm) ||
	    strftime(text, UNTIL_TEXT_BYTES, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		return "?";
	return text;
}
