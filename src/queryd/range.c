/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/range.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* Digits at *text, moving it behind them; too large a number becomes UINT64_MAX, which is beyond the
 * end of any file, as it should be. */
static bool take_number(const char **text, uint64_t *ret)
{
	const char *p = *text;
	bool over = false;
	uint64_t n = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			over = true;
	*text = p;
	*ret = over ? UINT64_MAX : n;
	return true;
}

static enum range_kind suffix(const char *p, uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t n;

	if (!take_number(&p, &n) || *p)
		return RANGE_WHOLE;
	if (n == 0 || size == 0)
		return RANGE_UNSATISFIABLE;
	*ret_first = n < size ? size - n : 0;
	*ret_last = size - 1;
	return RANGE_PART;
}

enum range_kind range_parse(const char *header, uint64_t size_bytes, uint64_t *ret_first,
			    uint64_t *ret_last)
{
	uint64_t first, last = UINT64_MAX;
	const char *p;

	if (!header || strncasecmp(header, "bytes=", 6) != 0)
		return RANGE_WHOLE;
	p = header + 6;
	p += strspn(p, " \t");
	if (*p == '-')
		return suffix(p + 1, size_bytes, ret_first, ret_last);
	if (!take_number(&p, &first) || *p++ != '-')
		return RANGE_WHOLE;
	if (*p && (!take_number(&p, &last) || *p || last < first))
		return RANGE_WHOLE;
	if (first >= size_bytes)
		return RANGE_UNSATISFIABLE;
	*ret_first = first;
	*ret_last = last < size_bytes - 1 ? last : size_bytes - 1;
	return RANGE_PART;
}

int range_parse_content(const char *header, uint64_t *ret_first, uint64_t *ret_last,
			uint64_t *ret_total)
{
	uint64_t first, last, total;
	const char *p;

	if (!header || strncasecmp(header, "bytes ", 6) != 0)
		return -EINVAL;
	p = header + 6;
	if (!take_number(&p, &first) || *p++ != '-' || !take_number(&p, &last) || *p++ != '/' ||
	    !take_number(&p, &total) || *p || last < first)
		return -EINVAL;
	*ret_first = first;
	*ret_last = last;
	*ret_total = total;
	return 0;
}
