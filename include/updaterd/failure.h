/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a step failed: the word for the archive and the sentence for people. Functions
 * that take one set it whenever they return a negative errno.
 */
#ifndef UPDATERD_FAILURE_H
#define UPDATERD_FAILURE_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/reason.h"

struct failure {
	enum reason reason;
	char text[320];
	uint64_t
		retry_after_sec; /* so long a server asked to be left alone with it; 0: it did not */
};

/* Returns error, so that a failure is told and passed on in one line. */
int failure_set(struct failure *f, int error, enum reason reason, const char *format, ...)
	_printf_(4, 5);
/* "…: no space left on device", with the reason of the errno. */
int failure_set_errno(struct failure *f, int error, const char *format, ...) _printf_(3, 4);
/* An error that an http function returned, with http_error()'s sentence. */
int failure_set_http(struct failure *f, int error, const struct http *http, const char *what);

#endif
