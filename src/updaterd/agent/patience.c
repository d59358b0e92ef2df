/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/patience.h"

#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "updaterd/conf.h"

#define RECORD		 "patience"
#define RECORD_MAX_BYTES 64

void patience_ask(struct patience *p, int64_t now_sec, uint64_t sec)
{
	if (sec > PATIENCE_MAX_SEC)
		sec = PATIENCE_MAX_SEC;
	if (sec > patience_left_sec(p, now_sec))
		*p = (struct patience){ now_sec, now_sec + (int64_t)sec };
}

uint64_t patience_left_sec(const struct patience *p, int64_t now_sec)
{
	if (p->since_sec < conf_build_time_sec() || now_sec < p->since_sec ||
	    now_sec >= p->until_sec || p->until_sec - p->since_sec > PATIENCE_MAX_SEC)
		return 0;
	return (uint64_t)(p->until_sec - now_sec);
}

/* Made again from what was read, it must be the same text. */
static int format_record(const struct patience *p, char ret[RECORD_MAX_BYTES])
{
	return snprintf(ret, RECORD_MAX_BYTES, "%" PRId64 " %" PRId64 "\n", p->since_sec,
			p->until_sec);
}

struct patience patience_load(int dirfd)
{
	const struct patience none = { 0, 0 };
	_cleanup_free_ char *text = NULL;
	char again[RECORD_MAX_BYTES];
	struct patience p;
	char *end;
	size_t size;

	if (fs_read_file(dirfd, RECORD, RECORD_MAX_BYTES - 1, &text, &size) < 0)
		return none;
	p.since_sec = strtoll(text, &end, 10);
	p.until_sec = strtoll(end, NULL, 10);
	if (p.since_sec < 0 || p.until_sec < 0)
		return none;
	return size == (size_t)format_record(&p, again) && memcmp(text, again, size) == 0 ? p
											  : none;
}

int patience_store(int dirfd, const struct patience *p)
{
	char text[RECORD_MAX_BYTES];
	int n = format_record(p, text);

	return fs_write_file_atomic(dirfd, RECORD, text, (size_t)n, 0600);
}
