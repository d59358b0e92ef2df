/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/time_record.h"

#include <inttypes.h>
#include <string.h>

#include "common/crc32.h"
#include "common/fsutil.h"

#define RECORD_MAX_BYTES 64
#define YEAR_10000_SEC	 INT64_C(253402300800)

/* Made again from what was read, it must be the same text. */
static size_t format_record(int64_t sec, char ret[RECORD_MAX_BYTES])
{
	int n = snprintf(ret, RECORD_MAX_BYTES, "%" PRId64, sec);

	n += snprintf(ret + n, RECORD_MAX_BYTES - (size_t)n, " %08" PRIx32 "\n",
		      crc32_update(0, ret, (size_t)n));
	return (size_t)n;
}

int64_t time_record_load(int dirfd, const char *name)
{
	_cleanup_close_ int fd = fs_open_regular(dirfd, name, NULL);
	_cleanup_free_ char *text = NULL;
	char again[RECORD_MAX_BYTES];
	size_t size;
	int64_t sec;

	if (fd < 0 || fs_read_fd(fd, RECORD_MAX_BYTES - 1, &text, &size) < 0)
		return 0;
	sec = strtoll(text, NULL, 10);
	if (sec < 0 || sec >= YEAR_10000_SEC)
		return 0;
	return size == format_record(sec, again) && memcmp(text, again, size) == 0 ? sec : 0;
}

int time_record_store(int dirfd, const char *name, int64_t sec, mode_t mode)
{
	char text[RECORD_MAX_BYTES];
	size_t size = format_record(sec, text);

	return fs_write_file_atomic(dirfd, name, text, size, mode);
}
