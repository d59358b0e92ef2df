/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program file, segment by segment, into the inbox (updaterd/checkpoint.h has the files).
 *
 * A request covers a run of consecutive missing segments, and in_flight of them are on their way at a
 * time, so that the link never waits for the next one to be asked for. How long the runs are says
 * updaterd/pacer.h. Each segment is checked against the signed list when it arrives and put in its
 * place: a kill costs at most the segments that were arriving, one for each request in flight. A
 * segment that came wrong is asked for again alone; wrong twice is the end. Until the first segment
 * has come, and again after a failure, there is one request at a time.
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

#define FETCH_MAX_IN_FLIGHT 8u

struct fetch {
	/* set by the caller; all borrowed */
	struct http *http;
	const char *url;
	int inbox_fd;
	const uint8_t *sha256; /* of the whole file */
	const struct segments *segments;
	uint32_t request_segments; /* one request covers at most this many; 0: as many as go well */
	uint64_t request_bytes;	   /* or this many, but one segment at least; 0: no limit */
	unsigned in_flight;	   /* requests at a time, FETCH_MAX_IN_FLIGHT at most; 0: 1 */
	uint64_t timeout_sec;	   /* the whole fetch */
	unsigned attempts;	   /* failures in a row without one new segment that end it */
	uint64_t retry_wait_msec;  /* at most, after the first of them; backoff_msec() */
	uint64_t (*random)(void);  /* 64 random bits for that; NULL: the kernel's */
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

/* Is what lies in fd the file? A read-only descriptor of it; if not, it is removed. */
_must_check_ int fetch_check_whole(int inbox_fd, int fd, const uint8_t *sha256,
				   struct failure *failure);

/* Removes everything from the inbox but what is of these files. */
_must_check_ int fetch_clean(int inbox_fd, const uint8_t keep[][SHA256_BYTES], size_t n_keep);
/* Removes what is of this file. */
_must_check_ int fetch_remove(int inbox_fd, const uint8_t sha256[SHA256_BYTES]);

/* The next run of segments to ask for: the first that is not taken (arrived or asked for) and those
 * after it, up to max. A segment that came wrong before (again[i]) goes alone. taken and again have a
 * byte for each segment. Returns the run's length, 0 when everything is taken. */
uint32_t fetch_next_run(const uint8_t *taken, const uint8_t *again, uint32_t count, uint32_t max,
			uint32_t *ret_first);

/* Of the sizes that there are lists for, the largest that is not over wanted, else the smallest. 0 if
 * there are none. */
uint32_t fetch_choose_segment_bytes(const uint32_t *sizes, size_t n, uint32_t wanted_bytes);

#endif
