/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an answer, as a server may send it: lines of bytes, of which the last may lack its end.
 * What is taken is within its bounds and is what the line says, read here in another way; what is
 * refused is told; how names and line ends are written makes no difference.
 */
#include "fuzz.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "../../src/common/http_head.h"

#define RETRY_AFTER_MAX_SEC 86400u

/* One line of the input with its end, which is moved behind it. */
struct line {
	const char *bytes;
	size_t size;
};

static bool next_line(struct input *in, struct line *ret)
{
	size_t left = (size_t)(in->end - in->at);
	const uint8_t *end;

	if (left == 0)
		return false;
	end = memchr(in->at, '\n', left);
	ret->bytes = (const char *)in->at;
	ret->size = end ? (size_t)(end + 1 - in->at) : left;
	in->at += ret->size;
	return true;
}

static size_t length_without_end(struct line line)
{
	while (line.size > 0 && strchr("\r\n", line.bytes[line.size - 1]) &&
	       line.bytes[line.size - 1])
		line.size--;
	return line.size;
}

/* What stands behind "name:", NULL if this is another line. */
static const char *value_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	if (strncasecmp(text, name, n) != 0 || text[n] != ':')
		return NULL;
	text += n + 1;
	return text + strspn(text, " \t");
}

static bool is_number(const char *text, size_t length, uint64_t number)
{
	char digits[24];
	size_t n;

	for (; length > 1 && *text == '0'; length--)
		text++;
	n = (size_t)snprintf(digits, sizeof digits, "%ju", (uintmax_t)number);
	return n == length && memcmp(text, digits, n) == 0;
}

static void check_content_range(const char *value, const struct http_response *f)
{
	const char *minus = strchr(value, '-'), *slash = strchr(value, '/');

	check(strncasecmp(value, "bytes ", 6) == 0 && minus && slash && minus < slash);
	value += 6;
	check(is_number(value, (size_t)(minus - value), f->range_first));
	check(is_number(minus + 1, (size_t)(slash - minus - 1), f->range_last));
	check(is_number(slash + 1, strcspn(slash + 1, " \t"), f->range_total));
}

/* A line of the head that was taken and that may have set something. */
static void check_taken(struct line line, const struct http_head *before,
			const struct http_head *head)
{
	_cleanup_free_ char *text = strndup(line.bytes, length_without_end(line));
	const struct http_response *f = &head->fields;
	const char *value;

	check(text);
	if (!before->fields.has_range && f->has_range) {
		value = value_of(text, "content-range");
		check(value);
		check_content_range(value, f);
	}
	value = value_of(text, "content-length");
	check(!value || head->has_content_length);
	if (value)
		check(is_number(value, strcspn(value, " \t"), head->content_length));
	check(!value_of(text, "content-encoding") || head->has_content_encoding);
	check(!value_of(text, "transfer-encoding") || head->has_transfer_encoding);
	value = value_of(text, "retry-after");
	if (value && isdigit((unsigned char)*value) && strspn(value, "0123456789") == strlen(value))
		check(f->retry_after_sec == strtoull(value, NULL, 10) ||
		      (f->retry_after_sec == RETRY_AFTER_MAX_SEC &&
		       (strtoull(value, NULL, 10) > RETRY_AFTER_MAX_SEC || strlen(value) > 18)));
}

/* It goes into the log, and back to the server in If-Range. */
static void check_text(const char *text, size_t size)
{
	size_t n = strnlen(text, size);

	check(n < size);
	for (size_t i = 0; i < n; i++)
		check(!iscntrl((unsigned char)text[i]) || text[i] == '\t');
	check(n == 0 || (text[0] != ' ' && text[n - 1] != ' '));
}

static void check_bounds(const struct http_head *head)
{
	const struct http_response *f = &head->fields;

	check(f->status == 0 || (f->status >= 100 && f->status <= 999));
	check(!head->complete || f->status >= 200);
	check_text(f->etag, sizeof f->etag);
	check_text(f->last_modified, sizeof f->last_modified);
	check_text(f->content_type, sizeof f->content_type);
	check(!f->has_range || (head->has_content_range && f->range_first <= f->range_last &&
				f->range_last < f->range_total));
	check(f->has_range || (f->range_first == 0 && f->range_last == 0 && f->range_total == 0));
	check(f->retry_after_sec <= RETRY_AFTER_MAX_SEC);
	check(head->date >= 0 && head->retry_at >= 0);
}

static bool is_status_line(struct line line)
{
	return line.size >= 5 && memcmp(line.bytes, "HTTP/", 5) == 0;
}

/* Where a status line may stand: first, and after the empty line of an interim answer. */
static void check_order(struct line line, const struct http_head *before,
			const struct http_head *head, bool is_start)
{
	if (is_status_line(line)) {
		check(is_start);
		check(!head->complete && !head->fields.has_range && !*head->fields.etag);
		check(!head->has_content_length && !head->has_transfer_encoding);
	} else {
		check(!is_start || before->complete);
	}
}

/* The same again with other line ends and names in small letters. */
static int feed_rewritten(struct http_head *head, struct line line)
{
	size_t length = length_without_end(line);
	char *text = malloc(length + 2);
	int r;

	check(text);
	memcpy(text, line.bytes, length);
	if (!is_status_line(line))
		for (size_t i = 0; i < length && text[i] != ':'; i++)
			text[i] = (char)tolower((unsigned char)text[i]);
	/* As many bytes as before, wherever that can be. */
	memcpy(text + length, "\r\n", 2);
	r = http_head_line(head, text, length + (line.size - length > 2 ? 2 : line.size - length));
	head->n_bytes += line.size - length > 2 ? line.size - length - 2 : 0;
	free(text);
	return r;
}

static void check_finished(struct http_head *head)
{
	struct http_head again = *head;

	http_head_finish(head);
	check_bounds(head);
	if (head->date > 0 && again.retry_at > head->date)
		check(head->fields.retry_after_sec > 0);
	http_head_finish(&again);
	if (head->date > 0)
		check(memcmp(&again.fields, &head->fields, sizeof again.fields) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_head head = { 0 }, other = { 0 }, before;
	struct input in = { data, data + size };
	bool is_start = true;
	struct line line;
	int r = 0;

	while (r == 0 && next_line(&in, &line)) {
		memcpy(&before, &head, sizeof before);
		r = http_head_line(&head, line.bytes, line.size);
		check(r == 0 || (r == -EPROTO && head.fault));
		if (r < 0)
			break;
		check_bounds(&head);
		check(head.n_lines == before.n_lines + 1 && head.n_lines <= HTTP_MAX_HEAD_LINES);
		check(head.n_bytes == before.n_bytes + line.size);
		check(head.n_bytes <= HTTP_MAX_HEAD_BYTES);
		if (before.complete)
			check(memcmp(&before.fields, &head.fields, sizeof before.fields) == 0);
		else
			check_taken(line, &before, &head);
		check_order(line, &before, &head, is_start);
		is_start = length_without_end(line) == 0 || before.complete;
		check(feed_rewritten(&other, line) == 0);
		check(memcmp(&other.fields, &head.fields, sizeof other.fields) == 0);
		check(other.complete == head.complete);
	}
	check_finished(&head);
	return 0;
}
