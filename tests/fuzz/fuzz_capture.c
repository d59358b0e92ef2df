/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a recording: what is taken for a record is within its bounds. */
#include "fuzz.h"

#include "bmsd/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct capture_record r = { .t_msec = -1, .size = SIZE_MAX };

	if (capture_parse((const char *)data, size, &r) < 0) {
		check(r.t_msec == -1 && r.size == SIZE_MAX);
		return 0;
	}
	check(size <= CAPTURE_LINE_BYTES && r.size <= CAPTURE_RECORD_BYTES && r.t_msec >= 0);
	check(r.dir <= CAPTURE_RX);
	return 0;
}
