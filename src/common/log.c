/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define LINE_MAX_BYTES 2048

static const char *log_name = "bms";
static int log_level = -1;

void log_set_name(const char *name)
{
	log_name = name;
}

void log_set_level(int level)
{
	log_level = level;
}

static int effective_level(void)
{
	if (log_level < 0) {
		const char *debug = getenv("DEBUG");

		log_level = debug && strcmp(debug, "1") == 0 ? LOG_DEBUG : LOG_INFO;
	}
	return log_level;
}

void log_mask_controls(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';
	}
}

void log_write(int level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list args;

	if (level > effective_level())
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof line, format, args);
	va_end(args);
	/* It may hold bytes from the network. */
	log_mask_controls(line);
	if (getenv("JOURNAL_STREAM"))
		(void)fprintf(stderr, "<%d>%s\n", level, line);
	else
		(void)fprintf(stderr, "%s: %s\n", log_name, line);
	errno = saved;
}
