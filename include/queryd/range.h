/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Range header of RFC 9110, section 14: one range of bytes. What is malformed, of another unit or
 * of several ranges is as if it were not there; the whole is sent then, which is always right.
 */
#ifndef QUERYD_RANGE_H
#define QUERYD_RANGE_H

#include <stdint.h>

enum range_kind {
	RANGE_WHOLE,
	RANGE_PART,
	RANGE_UNSATISFIABLE,
};

/* header may be NULL. ret_first and ret_last (inclusive) are set for RANGE_PART only. */
enum range_kind range_parse(const char *header, uint64_t size_bytes, uint64_t *ret_first,
			    uint64_t *ret_last);

/* Content-Range of a request that brings a part of something: "bytes first-last/total", and nothing else.
 * -EINVAL; what it says about the total is not judged. */
int range_parse_content(const char *header, uint64_t *ret_first, uint64_t *ret_last,
			uint64_t *ret_total);

#endif
