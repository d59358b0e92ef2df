/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/pacer.h"

#define STEP 4u

void pacer_begin(struct pacer *p, uint32_t first, uint32_t max)
{
	p->max = max > 0 ? max : UINT32_MAX;
	p->length = first < p->max ? first : p->max;
	if (p->length == 0)
		p->length = 1;
}

void pacer_grow(struct pacer *p)
{
	p->length = p->length < p->max / STEP ? p->length * STEP : p->max;
}

void pacer_shrink(struct pacer *p)
{
	p->length = p->length > STEP ? p->length / STEP : 1;
}
