/* SPDX-License-Identifier: Apache-2.0 */
/* The cells of a sample in a few numbers: what every interface says of them. Pure. */
#ifndef BMSD_CELLS_H
#define BMSD_CELLS_H

#include <stdbool.h>
#include <stdint.h>

#include "bmsd/sample.h"

struct cells_summary {
	int64_t min_uv, max_uv, mean_uv;
	unsigned min_number, max_number; /* cell 1 is the first; of equals, the first */
};

/* False if the sample has no cells; ret is untouched then. */
bool cells_summarize(const struct sample *s, struct cells_summary *ret);

#endif
