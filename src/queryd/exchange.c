/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/exchange.h"

#include <stdarg.h>
#include <string.h>

#include "common/json.h"

const char *request_argument(const struct request *r, const char *name)
{
	for (size_t i = 0; i < r->n_arguments; i++)
		if (strcmp(r->arguments[i].name, name) == 0)
			return r->arguments[i].value;
	return NULL;
}

void answer_init(struct answer *a)
{
	*a = (struct answer){ .status = 500, .fd = FD_NONE };
}

void answer_done(struct answer *a)
{
	free(a->body);
	close_fd(&a->fd);
	answer_init(a);
}

void answer_header(struct answer *a, const char *name, const char *format, ...)
{
	va_list args;
	char *value;
	int n;

	if (a->n_headers == ANSWER_MAX_HEADERS)
		return;
	value = a->headers[a->n_headers].value;
	va_start(args, format);
	n = vsnprintf(value, ANSWER_HEADER_MAX_BYTES, format, args);
	va_end(args);
	if (n < 0 || n >= ANSWER_HEADER_MAX_BYTES)
		return;
	a->headers[a->n_headers++].name = name;
}

void answer_json(struct answer *a, unsigned status, const cJSON *json)
{
	char *text = json ? json_print(json) : NULL;

	free(a->body);
	a->body = text;
	a->body_size = text ? strlen(text) : 0;
	a->status = text ? status : 500;
	answer_header(a, "Content-Type", "application/json");
	/* What one gateway is told is for no other, and for no later time. */
	answer_header(a, "Cache-Control", "no-store");
}

void answer_error(struct answer *a, unsigned status, const char *field, const char *format, ...)
{
	_cleanup_json_ cJSON *json = cJSON_CreateObject();
	char sentence[256], text[384];
	va_list args;

	if (field && !*field)
		field = NULL;
	va_start(args, format);
	(void)vsnprintf(sentence, sizeof sentence, format, args);
	va_end(args);
	(void)snprintf(text, sizeof text, "%s%s%s", field ? field : "", field ? ": " : "",
		       sentence);
	if (!json || !cJSON_AddStringToObject(json, "error", text) ||
	    (field && !cJSON_AddStringToObject(json, "field", field))) {
		answer_json(a, status, NULL);
		return;
	}
	answer_json(a, status, json);
}
