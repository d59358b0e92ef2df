/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/answered.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/crc32.h"
#include "common/fsutil.h"
#include "updaterd/conf.h"

#define RECORD		 "answered"
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

int64_t answered_load(int dirfd)
{
	_cleanup_close_ int fd = fs_open_regular(dirfd, RECORD, NULL);
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

int64_t answered_load_from(const char *agent_dir)
{
	_cleanup_close_ int dirfd = open(agent_dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return dirfd >= 0 ? answered_load(dirfd) : 0;
}

int answered_store(int dirfd, int64_t sec)
{
	char text[RECORD_MAX_BYTES];
	size_t size = format_record(sec, text);

	return fs_write_file_atomic(dirfd, RECORD, text, size, 0600);
}

bool answered_is_missed(int64_t answered_sec, int64_t now_sec)
{
	return answered_sec < conf_build_time_sec() || now_sec < answered_sec ||
	       now_sec - answered_sec > ANSWERED_MAX_AGE_SEC;
}
