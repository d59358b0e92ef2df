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

/* Messages may carry bytes from the network: nothing in them may move a terminal's cursor or start
 * another line of the journal. */
static void mask_control_characters(char *text)
{
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
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
	mask_control_characters(line);
	if (getenv("JOURNAL_STREAM"))
		(void)fprintf(stderr, "<%d>%s\n", level, line);
	else
		(void)fprintf(stderr, "%s: %s\n", log_name, line);
	errno = saved;
}
