/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/cells.h"

bool cells_summarize(const struct sample *s, struct cells_summary *ret)
{
	struct cells_summary c = { .min_uv = INT64_MAX, .max_uv = INT64_MIN };
	int64_t sum = 0;

	if (!sample_has(s, SAMPLE_CELLS) || s->n_cells == 0)
		return false;
	for (unsigned i = 0; i < s->n_cells; i++) {
		int64_t uv = s->cells_uv[i];

		if (uv < c.min_uv) {
			c.min_uv = uv;
			c.min_number = i + 1;
		}
		if (uv > c.max_uv) {
			c.max_uv = uv;
			c.max_number = i + 1;
		}
		sum += uv;
	}
	c.mean_uv = sum / (int64_t)s->n_cells;
	*ret = c;
	return true;
}
