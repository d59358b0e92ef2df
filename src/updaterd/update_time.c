/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/update_time.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/fsutil.h"
#include "tuf/metadata.h"
#include "updaterd/time_record.h"

#define RECORD	   "last-trusted"
#define TIMESTAMP  "timestamp.json"
#define DAY_SEC	   86400
#define DATE_BYTES 32

/* ---- the time of a run ---- */

struct update_time update_time_begin(int64_t trusted_sec)
{
	return (struct update_time){ .clock_sec = time(NULL),
				     .built_sec = conf_build_time_sec(),
				     .trusted_sec = trusted_sec,
				     .now_sec = conf_effective_time_sec(trusted_sec),
				     .began_msec = clock_now_msec(CLOCK_BOOTTIME) };
}

bool update_time_clock_is_behind(const struct update_time *t)
{
	return t->clock_sec < t->now_sec;
}

int64_t update_time_passing_sec(const struct update_time *t)
{
	return t->now_sec + (int64_t)((clock_now_msec(CLOCK_BOOTTIME) - t->began_msec) / 1000);
}

/* ---- for people ---- */

static void format_date(int64_t sec, char ret[DATE_BYTES])
{
	time_t time = (time_t)sec;
	struct tm tm;

	if (!gmtime_r(&time, &tm) || strftime(ret, DATE_BYTES, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		(void)snprintf(ret, DATE_BYTES, "%" PRId64, sec);
}

void update_time_describe(const struct update_time *t, char ret[UPDATE_TIME_TEXT_BYTES])
{
	bool is_trusted = t->trusted_sec > t->built_sec;
	int64_t known_sec = is_trusted ? t->trusted_sec : t->built_sec;
	const char *what = is_trusted ? "metadata was last trusted" : "this release was built";
	char clock[DATE_BYTES], known[DATE_BYTES];

	format_date(t->clock_sec, clock);
	format_date(known_sec, known);
	if (update_time_clock_is_behind(t))
		(void)snprintf(ret, UPDATE_TIME_TEXT_BYTES,
			       "the clock says %s, which is wrong: %s at %s", clock, what, known);
	else
		(void)snprintf(ret, UPDATE_TIME_TEXT_BYTES,
			       "the clock says %s, %" PRId64 " days after %s: is it right?", clock,
			       (t->clock_sec - known_sec) / DAY_SEC, what);
}

int update_time_explain(const struct update_time *t, int error, struct failure *failure)
{
	char text[UPDATE_TIME_TEXT_BYTES];
	size_t used = strlen(failure->text), room;

	update_time_describe(t, text);
	room = sizeof failure->text - sizeof "; " - strlen(text);
	if (used > room)
		used = room;
	(void)snprintf(failure->text + used, sizeof failure->text - used, "; %s", text);
	return error;
}

/* ---- the time of the last trust ---- */

int64_t update_time_vouched(int dirfd, int64_t sec, const struct tuf_limits *limits)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *timestamp = NULL;
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	if (sec <= 0 ||
	    fs_read_file(dirfd, TIMESTAMP, limits->timestamp_bytes, &bytes, &size) < 0 ||
	    tuf_metadata_parse(bytes, size, TUF_TIMESTAMP, &timestamp, NULL) < 0)
		return 0;
	return sec < timestamp->expires_sec ? sec : 0;
}

int64_t update_time_load(int dirfd, const struct tuf_limits *limits)
{
	return update_time_vouched(dirfd, time_record_load(dirfd, RECORD), limits);
}

int update_time_store(int dirfd, int64_t sec)
{
	return time_record_store(dirfd, RECORD, sec, 0644);
}
