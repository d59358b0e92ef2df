/* SPDX-License-Identifier: Apache-2.0 */
#include "release/problem.h"

#include <stdarg.h>

void problem_write(struct problem *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(p->text, sizeof p->text, format, args);
	va_end(args);
}
