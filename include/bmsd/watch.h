/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bmsd --watch: the packs in a terminal, live. Plain ANSI sequences, ASCII where the locale is not
 * UTF-8. watch_render() is pure; watch_run() brings the terminal, which it gives back as it was
 * however it ends, but for SIGKILL.
 */
#ifndef BMSD_WATCH_H
#define BMSD_WATCH_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"

struct watch_screen {
	unsigned columns; /* 40 … 400 */
	unsigned rows;	  /* 10 … 200 */
	bool utf8;
	bool colour;
	unsigned selected; /* which of the packs, 0 …; all are in the list above it */
};

/* A screen of text: rows lines at most, none wider than columns, each ended by "\x1b[K", and "\r\n" but
 * for the last. status as the bus has it; NULL: then error says why (may be NULL). */
_must_check_ int watch_render(const struct watch_screen *screen, const cJSON *status,
			      const char *error, char **ret_text);

/* Until q, SIGINT or SIGTERM; the exit status. */
int watch_run(void);

#endif
