/* SPDX-License-Identifier: Apache-2.0 */
#include "http_head.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define RETRY_AFTER_MAX_SEC 86400u
#define VALUE_MAX_BYTES	    256u
#define DECIMAL_MAX_DIGITS  18u

static int refuse(struct http_head *head, const char *fault)
{
	head->fault = fault;
	return -EPROTO;
}

/* Decimal digits only; *text is moved behind them. */
static int take_decimal(const char **text, uint64_t *ret)
{
	size_t n = strspn(*text, "0123456789");
	uint64_t value = 0;

	if (n == 0 || n > DECIMAL_MAX_DIGITS)
		return -EPROTO;
	for (size_t i = 0; i < n; i++)
		value = 10 * value + (uint64_t)((*text)[i] - '0');
	*text += n;
	*ret = value;
	return 0;
}

/* The one date form that RFC 9110 lets anybody send. */
static time_t parse_date(const char *value)
{
	struct tm tm = { 0 };
	const char *end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	time_t t;

	if (!end || *end)
		return 0;
	t = timegm(&tm);
	return t > 0 ? t : 0;
}

/* ---- fields ---- */

static void keep(char *ret, size_t size, const char *value)
{
	size_t length = strlen(value);

	if (length < size)
		memcpy(ret, value, length + 1);
	else
		ret[0] = '\0';
}

static int take_content_type(struct http_head *head, const char *value)
{
	keep(head->fields.content_type, sizeof head->fields.content_type, value);
	return 0;
}

static int take_etag(struct http_head *head, const char *value)
{
	keep(head->fields.etag, sizeof head->fields.etag, value);
	return 0;
}

static int take_last_modified(struct http_head *head, const char *value)
{
	keep(head->fields.last_modified, sizeof head->fields.last_modified, value);
	return 0;
}

static int take_date(struct http_head *head, const char *value)
{
	head->date = parse_date(value);
	return 0;
}

static int take_retry_after(struct http_head *head, const char *value)
{
	uint64_t seconds = RETRY_AFTER_MAX_SEC;

	if (*value && value[strspn(value, "0123456789")] == '\0') {
		/* Too many digits for a number of seconds is long enough as well. */
		if (take_decimal(&value, &seconds) < 0 || seconds > RETRY_AFTER_MAX_SEC)
			seconds = RETRY_AFTER_MAX_SEC;
		head->fields.retry_after_sec = seconds;
	} else {
		head->retry_at = parse_date(value);
	}
	return 0;
}

static int take_content_encoding(struct http_head *head, const char *value)
{
	(void)value;
	head->has_content_encoding = true;
	return 0;
}

static int take_transfer_encoding(struct http_head *head, const char *value)
{
	if (head->has_transfer_encoding || strcasecmp(value, "chunked") != 0)
		return refuse(head, "a transfer coding other than chunked");
	head->has_transfer_encoding = true;
	return 0;
}

static int take_content_length(struct http_head *head, const char *value)
{
	if (head->has_content_length || take_decimal(&value, &head->content_length) < 0 || *value)
		return refuse(head, "a Content-Length that is no length");
	head->has_content_length = true;
	return 0;
}

/* "bytes 0-1023/4096"; anything else leaves has_range false. */
static int take_content_range(struct http_head *head, const char *value)
{
	uint64_t first, last, total;

	if (head->has_content_range)
		return refuse(head, "more than one Content-Range");
	head->has_content_range = true;
	if (strncasecmp(value, "bytes ", 6) != 0)
		return 0;
	value += 6;
	if (take_decimal(&value, &first) < 0 || *value++ != '-' ||
	    take_decimal(&value, &last) < 0 || *value++ != '/' ||
	    take_decimal(&value, &total) < 0 || *value || first > last || last >= total)
		return 0;
	head->fields.has_range = true;
	head->fields.range_first = first;
	head->fields.range_last = last;
	head->fields.range_total = total;
	return 0;
}

static const struct field {
	const char *name;
	int (*take)(struct http_head *head, const char *value);
	bool is_framing; /* one that is too long to be read may not be ignored */
} fields[] = {
	{ "content-type", take_content_type, false },
	{ "etag", take_etag, false },
	{ "last-modified", take_last_modified, false },
	{ "date", take_date, false },
	{ "retry-after", take_retry_after, false },
	{ "content-encoding", take_content_encoding, true },
	{ "transfer-encoding", take_transfer_encoding, true },
	{ "content-length", take_content_length, true },
	{ "content-range", take_content_range, true },
};

static const struct field *find_field(const char *name, size_t length)
{
	for (size_t i = 0; i < ELEMENTSOF(fields); i++)
		if (strlen(fields[i].name) == length &&
		    strncasecmp(fields[i].name, name, length) == 0)
			return &fields[i];
	return NULL;
}

static int take_field(struct http_head *head, const char *line, size_t size)
{
	const char *colon = memchr(line, ':', size), *value;
	const struct field *field;
	char text[VALUE_MAX_BYTES];
	size_t length;

	if (!colon || colon == line)
		return refuse(head, "a header line that is none");
	field = find_field(line, (size_t)(colon - line));
	if (!field)
		return 0;
	value = colon + 1;
	length = size - (size_t)(value - line);
	for (; length > 0 && (*value == ' ' || *value == '\t'); length--)
		value++;
	while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		length--;
	if (length >= sizeof text)
		return field->is_framing ? refuse(head, "a header line that is too long") : 0;
	memcpy(text, value, length);
	text[length] = '\0';
	return field->take(head, text);
}

/* ---- lines ---- */

/* What is kept of a line goes into the log, and back to the server: no line may hide in it. */
static bool has_control(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
			return true;
	return false;
}

/* "HTTP/1.1 206 Partial Content", "HTTP/2 206" */
static int start_answer(struct http_head *head, const char *line, size_t size)
{
	const char *space = memchr(line, ' ', size);
	size_t left = space ? size - (size_t)(space + 1 - line) : 0;
	long status = 0;

	if (head->complete)
		return refuse(head, "a second answer to one request");
	if (head->fields.status != 0)
		return refuse(head, "a status line among the headers");
	if (left < 3 || (left > 3 && space[4] != ' '))
		return refuse(head, "a malformed status line");
	for (int i = 1; i <= 3; i++) {
		if (!isdigit((unsigned char)space[i]))
			return refuse(head, "a malformed status line");
		status = 10 * status + (space[i] - '0');
	}
	if (status < 100)
		return refuse(head, "a malformed status line");
	/* What an interim answer said is not part of the final one; what it cost is. */
	*head = (struct http_head){ .n_lines = head->n_lines, .n_bytes = head->n_bytes };
	head->fields.status = status;
	return 0;
}

int http_head_line(struct http_head *head, const char *line, size_t size)
{
	head->n_bytes += size;
	if (++head->n_lines > HTTP_MAX_HEAD_LINES || head->n_bytes > HTTP_MAX_HEAD_BYTES)
		return refuse(head, "more headers than allowed");
	while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
		size--;
	if (has_control(line, size))
		return refuse(head, "a control byte in a header");
	if (size >= 5 && memcmp(line, "HTTP/", 5) == 0)
		return start_answer(head, line, size);
	if (head->complete)
		return 0; /* trailers change nothing */
	if (head->fields.status == 0)
		return refuse(head, "headers before the status line");
	if (size == 0) {
		head->complete = head->fields.status >= 200;
		/* After an interim answer comes a status line, and nothing else. */
		if (!head->complete)
			head->fields.status = 0;
		return 0;
	}
	return take_field(head, line, size);
}

void http_head_finish(struct http_head *head)
{
	time_t now = head->date > 0 ? head->date : time(NULL);

	if (head->retry_at <= now)
		return;
	head->fields.retry_after_sec = (uint64_t)(head->retry_at - now);
	if (head->fields.retry_after_sec > RETRY_AFTER_MAX_SEC)
		head->fields.retry_after_sec = RETRY_AFTER_MAX_SEC;
}
