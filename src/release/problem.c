/* SPDX-License-Identifier: Apache-2.0 */
#include "release/problem.h"

#include <stdarg.h>

int problem_set(struct problem *p, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(p->text, sizeof p->text, format, args);
	va_end(args);
	return error;
}

int problem_no_memory(struct problem *p)
{
	return problem_set(p, -ENOMEM, "out of memory");
}
