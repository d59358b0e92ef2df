/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling people, and systemd, how far it is: a bar on a terminal, lines on a pipe, JSON lines for
 * programs; STATUS= to the service manager in every case.
 */
#ifndef UPDATERD_PROGRESS_H
#define UPDATERD_PROGRESS_H

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>

#include "common/cleanup.h"
#include "common/reason.h"

enum progress_style {
	PROGRESS_QUIET, /* only STATUS= */
	PROGRESS_LINES, /* one for each step, one for each 10 % */
	PROGRESS_BAR,
	PROGRESS_JSON, /* one object a line: event begin, update, end, result */
};

struct progress;

/* out is borrowed. */
_must_check_ int progress_new(enum progress_style style, FILE *out, struct progress **ret);
struct progress *progress_free(struct progress *p);
DEFINE_CLEANUP(struct progress *, progress_free);

/* A step begins; object is what it works on ("B202109010001"). total: bytes, or 100 for percent, or
 * 0 if there is no measure. A step still open is ended as good. */
void progress_begin(struct progress *p, enum step step, const char *object, uint64_t total,
		    int total_is_bytes);
void progress_update(struct progress *p, uint64_t done);
/* The same measure goes on in another step: the installer's percent is of the whole attempt. */
void progress_step(struct progress *p, enum step step, uint64_t done);
/* text NULL: it went well. Else it is for programs (JSON): people read it in the log. */
void progress_end(struct progress *p, const char *text);
/* A sentence on its own, such as "nothing new". */
void progress_say(struct progress *p, const char *format, ...) _printf_(2, 3);
/* The end of an attempt. result as in docs/PROTOCOL.md. is_logged: the log has told people already. */
void progress_result(struct progress *p, const cJSON *result, int is_logged);

/* The bar, pure: "[#####-----]  50 %  1.2 MiB  40 KiB/s  00:31 left" in at most width columns. */
void progress_format_bar(char *ret_text, size_t size, unsigned width, uint64_t done, uint64_t total,
			 int total_is_bytes, uint64_t elapsed_msec);
/* "512 B", "1.5 KiB", "3.0 MiB". */
void progress_format_bytes(char *ret_text, size_t size, uint64_t bytes);

#endif
