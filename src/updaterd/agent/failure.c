/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/failure.h"

#include <stdarg.h>
#include <string.h>

/* What failed may be told in somebody else's words, and cut within a character: bus, journal and JSON
 * must be able to carry it all the same. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text >= 0x7f)
			*text = '?';
}

int failure_set(struct failure *f, int error, enum reason reason, const char *format, ...)
{
	va_list args;

	f->reason = reason;
	f->retry_after_sec = 0;
	va_start(args, format);
	(void)vsnprintf(f->text, sizeof f->text, format, args);
	va_end(args);
	make_plain(f->text);
	return error;
}

int failure_set_errno(struct failure *f, int error, const char *format, ...)
{
	va_list args;
	size_t used;

	f->reason = reason_from_errno(error);
	f->retry_after_sec = 0;
	va_start(args, format);
	(void)vsnprintf(f->text, sizeof f->text, format, args);
	va_end(args);
	make_plain(f->text);
	used = strlen(f->text);
	(void)snprintf(f->text + used, sizeof f->text - used, ": %s", strerror(-error));
	return error;
}

int failure_set_http(struct failure *f, int error, const struct http *http, const char *what)
{
	enum reason reason = REASON_NETWORK;

	if (error == -EPROTO || error == -EREMCHG || error == -EFBIG)
		reason = REASON_BAD_ANSWER;
	if (error == -ENOMEM)
		reason = REASON_NO_MEMORY;
	return failure_set(f, error, reason, "%s: %s", what, http_error(http));
}
