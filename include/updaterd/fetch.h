/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program file, segment by segment, into the inbox:
 *
 *	inbox/<sha256>.part	the file, segments in their places
 *	inbox/<sha256>.map	which of them have arrived: a header that names the file, then a bit each
 *
 * Each segment is checked against the signed list when it arrives and marked when it is written, so
 * a kill costs at most one segment. The map is a hint, not a proof: when a fetch is taken up again
 * each marked segment is read back and checked, so no order between the two files matters, and a
 * power cut costs what had not reached the disk (a batch at most).
 *
 * fetch_next_run() decides what to ask for and is pure; the loop that asks is the only part that an
 * engine with several requests in flight would replace.
 */
#ifndef UPDATERD_FETCH_H
#define UPDATERD_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/http.h"
#include "common/segments.h"
#include "updaterd/failure.h"

/* Called with the bytes that are in place. A negative return ends the fetch. */
typedef int (*fetch_progress_fn)(void *userdata, uint64_t done_bytes);

struct fetch {
	/* set by the caller; all borrowed */
	struct http *http;
	const char *url;
	int inbox_fd;
	const uint8_t *sha256; /* of the whole file */
	const struct segments *segments;
	uint32_t request_segments;  /* one request covers at most this many */
	uint64_t timeout_sec;	    /* the whole fetch */
	unsigned attempts;	    /* requests in a row that may fail without one new segment */
	uint64_t retry_wait_msec;   /* before the first of them is repeated; doubles, 30 s at most;
				    * longer where the server asks for it (Retry-After) */
	fetch_progress_fn progress; /* NULL: none */
	void *userdata;
	/* what it took, also after a failure */
	uint64_t received_bytes;
	uint32_t segments_resumed, segments_fetched, segments_again;
	uint32_t requests;
};

/* Fetches what is missing. Returns a descriptor of the complete file (read-only), whose hash is
 * right; it stays in the inbox until fetch_remove(). A file that is there complete costs no request. */
_must_check_ int fetch_run(struct fetch *f, struct failure *failure);

/* The same from an open file, in one go (a stick). length_bytes and sha256 must be met. */
_must_check_ int fetch_copy(int from_fd, int inbox_fd, uint64_t length_bytes, const uint8_t *sha256,
			    fetch_progress_fn progress, void *userdata, struct failure *failure);

/* Before either: is it within max_bytes, and is there room for what is missing? */
_must_check_ int fetch_check_room(int inbox_fd, uint64_t length_bytes, uint64_t max_bytes,
				  const uint8_t *sha256, struct failure *failure);

/* Removes everything from the inbox but what is of these files. */
_must_check_ int fetch_clean(int inbox_fd, const uint8_t keep[][SHA256_BYTES], size_t n_keep);
/* Removes what is of this file. */
_must_check_ int fetch_remove(int inbox_fd, const uint8_t sha256[SHA256_BYTES]);

/* The next run of segments to ask for (have and again: a byte for each segment): the first that is missing and those missing after it, up to
 * max. A segment that came wrong before (again[i]) goes alone. Returns its length, 0 when nothing is
 * missing. */
uint32_t fetch_next_run(const uint8_t *have, const uint8_t *again, uint32_t count, uint32_t max,
			uint32_t *ret_first);

/* The configured number of bytes for a request: segment_bytes, or the preset of the network type. */
uint32_t fetch_request_bytes(const char *network_type, uint64_t configured_bytes);
/* Of the sizes that there are lists for, the largest that is not over wanted, else the smallest. 0 if
 * there are none. */
uint32_t fetch_choose_segment_bytes(const uint32_t *sizes, size_t n, uint32_t wanted_bytes);

#endif
