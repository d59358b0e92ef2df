/* SPDX-License-Identifier: Apache-2.0 */
/* Segment lists: one way of writing each, and segments that cover the file without a gap. */
#include "fuzz.h"

#include <string.h>

#include "common/segments.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(segments_freep) struct segments *s = NULL;
	_cleanup_free_ char *again = NULL;
	size_t again_size;
	uint64_t at = 0;
	int r;

	r = segments_parse(data, size, &s);
	check(r == 0 || r == -EBADMSG);
	check((r == 0) == (s != NULL));
	if (r < 0)
		return 0;
	check(segments_format(s, &again, &again_size) == 0);
	check(again_size == size && memcmp(again, data, size) == 0);
	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t length = segments_length(s, i);

		check(segments_offset(s, i) == at);
		check(length > 0 && length <= s->segment_bytes);
		check(length == s->segment_bytes || i == s->count - 1);
		at += length;
	}
	check(at == s->file_bytes);
	check(segments_length(s, s->count) == 0);
	check(segments_check(s, s->count, data, 0) == -EBADMSG);
	/* Nothing that is at hand hashes to what the list says. */
	check(segments_check(s, 0, data, size) == -EBADMSG);
	return 0;
}
