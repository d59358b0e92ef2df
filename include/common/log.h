/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to standard error, one message a line.
 *
 * Under systemd (JOURNAL_STREAM or INVOCATION_ID set) each line carries the <N> priority prefix of
 * sd-daemon(3), so that journald files it by level; on a terminal or a pipe it carries the program's
 * name instead. Debug lines appear only with log_set_level(LOG_DEBUG) or DEBUG=1 in the environment.
 *
 * Rule: library code logs at debug only and returns the error; the story that called it logs the
 * failure once, naming the step and the object in 'ticks'.
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <syslog.h>

#include "common/cleanup.h"

/* Sets the name that starts lines outside systemd. Borrowed, must live as long as the program. */
void log_set_name(const char *name);

/* The least urgent level that is still written: LOG_ERR … LOG_DEBUG. Default LOG_INFO. */
void log_set_level(int level);

/* One line at a level. Control characters in the message are written as '?'. */
void log_write(int level, const char *format, ...) _printf_(2, 3);

/* The same for what is shown to people in other ways: C0, DEL, and C1 (in UTF-8) become '?', so that
 * nothing in a text moves a terminal's cursor or starts another line. */
void log_mask_controls(char *text);

#define log_error(...)	 log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 log_write(LOG_DEBUG, __VA_ARGS__)

#endif
