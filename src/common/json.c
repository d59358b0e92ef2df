/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/utf8.h"

#define DEFAULT_MAX_BYTES  (64u << 10)
#define DEFAULT_MAX_DEPTH  16
#define DEFAULT_MAX_TOKENS 65536
#define JSON_MAX_INTEGER   ((UINT64_C(1) << 53) - 1)
#define JSON_DEPTH_CEILING 128

/* ---- errors ---- */

/* Cuts text to what fits, at the border of a UTF-8 character: it may become part of an answer. */
static void copy_text(char *ret, size_t capacity, const char *text)
{
	size_t length = strnlen(text, capacity);

	if (length == capacity) {
		length--;
		while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	memmove(ret, text, length);
	ret[length] = '\0';
}

void json_error_set(struct json_error *error, const char *field, const char *format, ...)
{
	char text[2 * sizeof error->text];
	va_list args;

	if (!error)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	copy_text(error->field, sizeof error->field, field);
	copy_text(error->text, sizeof error->text, text);
}

/* Gives r; a macro as json_refuse() is. */
#define json_fail(error, r, ...) (json_error_set(error, __VA_ARGS__), (r))

void json_error_prefix(struct json_error *error, const char *prefix)
{
	char field[2 * sizeof error->field];
	bool has_dot;

	if (!error)
		return;
	has_dot = *error->field != '\0' && *error->field != '[';
	(void)snprintf(field, sizeof field, "%s%s%s", prefix, has_dot ? "." : "", error->field);
	copy_text(error->field, sizeof error->field, field);
}

/* ---- the lexer ---- */

struct key {
	size_t offset, length; /* in the text of the lexer */
};

enum expect {
	EXPECT_VALUE,
	EXPECT_FIRST_ELEMENT,
	EXPECT_FIRST_KEY,
	EXPECT_KEY,
	EXPECT_SEPARATOR,
	EXPECT_NOTHING,
};

struct frame {
	bool is_object;
	size_t first_key;
};

struct lexer {
	const uint8_t *start, *at, *end;
	struct json_error *error;
	enum expect expect;

	size_t n_tokens, max_tokens;

	struct frame frames[JSON_DEPTH_CEILING]; /* the containers that are open */
	unsigned depth, max_depth;

	/* Keys of the open objects, unescaped: "a" and "\u0061" are the same key. The text of all
	 * keys is never longer than the input. */
	char *text;
	size_t text_used;
	struct key *keys;
	size_t n_keys, keys_capacity;
};

static void lexer_done(struct lexer *l)
{
	free(l->text);
	free(l->keys);
}

static int malformed(const struct lexer *l, const char *what)
{
	return json_fail(l->error, -EBADMSG, "", "byte %zu: %s", (size_t)(l->at - l->start), what);
}

static int over_limit(const struct lexer *l, const char *what)
{
	return json_fail(l->error, -EFBIG, "", "byte %zu: %s", (size_t)(l->at - l->start), what);
}

static void skip_space(struct lexer *l)
{
	while (l->at < l->end &&
	       (*l->at == ' ' || *l->at == '\t' || *l->at == '\n' || *l->at == '\r'))
		l->at++;
}

static int count_token(struct lexer *l)
{
	if (l->n_tokens == l->max_tokens)
		return over_limit(l, "too many values");
	l->n_tokens++;
	return 0;
}

static void put_byte(struct lexer *l, uint32_t byte)
{
	l->text[l->text_used++] = (char)(uint8_t)byte;
}

static void put_character(struct lexer *l, uint32_t c)
{
	if (c < 0x80) {
		put_byte(l, c);
		return;
	}
	if (c < 0x800) {
		put_byte(l, 0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			put_byte(l, 0xe0 | c >> 12);
		} else {
			put_byte(l, 0xf0 | c >> 18);
			put_byte(l, 0x80 | (c >> 12 & 0x3f));
		}
		put_byte(l, 0x80 | (c >> 6 & 0x3f));
	}
	put_byte(l, 0x80 | (c & 0x3f));
}

/* One character of more than one byte. */
static int lex_utf8(struct lexer *l)
{
	uint32_t c = 0;
	size_t length = utf8_character(l->at, (size_t)(l->end - l->at), &c);

	if (length == 0)
		return malformed(l, "invalid UTF-8");
	l->at += length;
	put_character(l, c);
	return 0;
}

/* The four digits of \uXXXX, with at on the backslash. */
static int lex_hex4(struct lexer *l, uint32_t *ret)
{
	uint32_t value = 0;

	if (l->end - l->at < 6 || l->at[0] != '\\' || l->at[1] != 'u')
		return malformed(l, "a \\u escape is expected");
	for (int i = 2; i < 6; i++) {
		uint8_t c = l->at[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return malformed(l, "invalid \\u escape");
	}
	l->at += 6;
	*ret = value;
	return 0;
}

static int lex_unicode_escape(struct lexer *l)
{
	uint32_t c, low;
	int r;

	r = lex_hex4(l, &c);
	if (r < 0)
		return r;
	if (c == 0)
		return malformed(l, "\\u0000 is not allowed");
	if (c >= 0xdc00 && c <= 0xdfff)
		return malformed(l, "a lone surrogate");
	if (c >= 0xd800 && c <= 0xdbff) {
		r = lex_hex4(l, &low);
		if (r < 0)
			return r;
		if (low < 0xdc00 || low > 0xdfff)
			return malformed(l, "a lone surrogate");
		c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
	}
	put_character(l, c);
	return 0;
}

static int lex_escape(struct lexer *l)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (l->end - l->at < 2)
		return malformed(l, "the string does not end");
	if (l->at[1] == 'u')
		return lex_unicode_escape(l);
	name = l->at[1] ? strchr(names, l->at[1]) : NULL;
	if (!name)
		return malformed(l, "invalid escape");
	put_byte(l, (uint8_t)values[name - names]);
	l->at += 2;
	return 0;
}

/* A string, unescaped to the end of text. */
static int lex_string(struct lexer *l)
{
	int r = 0;

	l->at++;
	while (l->at < l->end) {
		uint8_t c = *l->at;

		if (c == '"') {
			l->at++;
			return 0;
		}
		if (c < 0x20)
			return malformed(l, "a control character in a string");
		if (c == '\\') {
			r = lex_escape(l);
		} else if (c >= 0x80) {
			r = lex_utf8(l);
		} else {
			put_byte(l, c);
			l->at++;
		}
		if (r < 0)
			return r;
	}
	return malformed(l, "the string does not end");
}

static int lex_number(struct lexer *l)
{
	bool negative = *l->at == '-';
	uint64_t value = 0;
	const uint8_t *first;

	l->at += negative;
	first = l->at;
	while (l->at < l->end && *l->at >= '0' && *l->at <= '9') {
		value = value * 10 + (uint64_t)(*l->at - '0');
		if (value > JSON_MAX_INTEGER)
			return malformed(l, "a number over 2^53-1");
		l->at++;
	}
	if (l->at == first)
		return malformed(l, "a digit is expected");
	if (*first == '0' && l->at - first > 1)
		return malformed(l, "a number with a leading zero");
	if (negative && value == 0)
		return malformed(l, "-0 is not allowed");
	if (l->at < l->end && (*l->at == '.' || *l->at == 'e' || *l->at == 'E'))
		return malformed(l, "a number that is not written as an integer");
	return 0;
}

static int lex_word(struct lexer *l)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		size_t length = strlen(words[i]);

		if ((size_t)(l->end - l->at) >= length && memcmp(l->at, words[i], length) == 0) {
			l->at += length;
			return 0;
		}
	}
	return malformed(l, "a value is expected");
}

static int open_container(struct lexer *l)
{
	bool is_object = *l->at == '{';

	if (l->depth == l->max_depth)
		return over_limit(l, "nested too deeply");
	l->frames[l->depth++] = (struct frame){ .is_object = is_object, .first_key = l->n_keys };
	l->at++;
	l->expect = is_object ? EXPECT_FIRST_KEY : EXPECT_FIRST_ELEMENT;
	return 0;
}

static int compare_keys(const void *a, const void *b, void *text)
{
	const struct key *x = a, *y = b;
	const char *t = text;
	size_t shorter = x->length < y->length ? x->length : y->length;
	int r = memcmp(t + x->offset, t + y->offset, shorter);

	return r != 0 ? r : (x->length > y->length) - (x->length < y->length);
}

/* Sorted and compared with the neighbour: 65536 keys cost no more than they should. */
static int check_keys(const struct lexer *l, size_t first)
{
	struct key *keys = l->keys + first;
	size_t n = l->n_keys - first;

	if (n < 2)
		return 0;
	qsort_r(keys, n, sizeof *keys, compare_keys, l->text);
	for (size_t i = 1; i < n; i++)
		if (compare_keys(&keys[i - 1], &keys[i], l->text) == 0)
			return json_fail(
				l->error, -EBADMSG, "",
				"byte %zu: the object that ends here has the key '%.*s' twice",
				(size_t)(l->at - l->start), (int)keys[i].length,
				l->text + keys[i].offset);
	return 0;
}

static int close_container(struct lexer *l)
{
	const struct frame *frame = &l->frames[l->depth - 1];

	if (*l->at != (frame->is_object ? '}' : ']'))
		return malformed(l, frame->is_object ? "',' or '}' is expected"
						     : "',' or ']' is expected");
	if (frame->is_object) {
		int r = check_keys(l, frame->first_key);

		if (r < 0)
			return r;
		if (l->n_keys > frame->first_key)
			l->text_used = l->keys[frame->first_key].offset;
		l->n_keys = frame->first_key;
	}
	l->at++;
	l->depth--;
	l->expect = l->depth > 0 ? EXPECT_SEPARATOR : EXPECT_NOTHING;
	return 0;
}

static int lex_value(struct lexer *l)
{
	size_t text_used = l->text_used;
	uint8_t c = *l->at;
	int r = count_token(l);

	if (r < 0)
		return r;
	if (c == '{' || c == '[')
		return open_container(l);
	if (c == '"')
		r = lex_string(l);
	else if (c == '-' || (c >= '0' && c <= '9'))
		r = lex_number(l);
	else
		r = lex_word(l);
	l->text_used = text_used;
	l->expect = l->depth > 0 ? EXPECT_SEPARATOR : EXPECT_NOTHING;
	return r;
}

static int keep_key(struct lexer *l, size_t offset)
{
	if (l->n_keys == l->keys_capacity) {
		size_t capacity = l->keys_capacity ? 2 * l->keys_capacity : 16;
		struct key *bigger = reallocarray(l->keys, capacity, sizeof *bigger);

		if (!bigger)
			return -ENOMEM;
		l->keys = bigger;
		l->keys_capacity = capacity;
	}
	l->keys[l->n_keys++] = (struct key){ .offset = offset, .length = l->text_used - offset };
	return 0;
}

static int lex_key(struct lexer *l)
{
	size_t offset = l->text_used;
	int r;

	if (*l->at != '"')
		return malformed(l, "a key is expected");
	r = count_token(l);
	if (r < 0)
		return r;
	r = lex_string(l);
	if (r < 0)
		return r;
	r = keep_key(l, offset);
	if (r < 0)
		return r;
	skip_space(l);
	if (l->at == l->end || *l->at != ':')
		return malformed(l, "':' is expected");
	l->at++;
	l->expect = EXPECT_VALUE;
	return 0;
}

static int lex_separator(struct lexer *l)
{
	if (*l->at != ',')
		return close_container(l);
	l->at++;
	l->expect = l->frames[l->depth - 1].is_object ? EXPECT_KEY : EXPECT_VALUE;
	return 0;
}

static int lex_step(struct lexer *l)
{
	if (l->at == l->end)
		return malformed(l, "ends too early");
	switch (l->expect) {
	case EXPECT_FIRST_ELEMENT: return *l->at == ']' ? close_container(l) : lex_value(l);
	case EXPECT_FIRST_KEY: return *l->at == '}' ? close_container(l) : lex_key(l);
	case EXPECT_KEY: return lex_key(l);
	case EXPECT_SEPARATOR: return lex_separator(l);
	case EXPECT_VALUE:
	case EXPECT_NOTHING: break;
	}
	return lex_value(l);
}

static int lex_document(struct lexer *l)
{
	while (l->expect != EXPECT_NOTHING) {
		int r;

		skip_space(l);
		r = lex_step(l);
		if (r < 0)
			return r;
	}
	skip_space(l);
	return l->at == l->end ? 0 : malformed(l, "something follows the value");
}

static void lexer_init(struct lexer *l, const void *bytes, size_t size,
		       const struct json_limits *limits, struct json_error *error)
{
	unsigned depth = limits && limits->max_depth ? limits->max_depth : DEFAULT_MAX_DEPTH;

	l->start = l->at = bytes;
	l->end = l->start + size;
	l->error = error;
	l->expect = EXPECT_VALUE;
	l->max_depth = depth < JSON_DEPTH_CEILING ? depth : JSON_DEPTH_CEILING;
	l->max_tokens = limits && limits->max_tokens ? limits->max_tokens : DEFAULT_MAX_TOKENS;
}

int json_parse(const void *bytes, size_t size, const struct json_limits *limits, cJSON **ret,
	       struct json_error *error)
{
	size_t max_bytes = limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES;
	_cleanup_(lexer_done) struct lexer l = { 0 };
	cJSON *json;
	int r;

	if (size > max_bytes)
		return json_fail(error, -EFBIG, "", "%zu bytes, and at most %zu are allowed", size,
				 max_bytes);
	if (size == 0)
		return json_refuse(error, "", "byte 0: ends too early");
	lexer_init(&l, bytes, size, limits, error);
	l.text = malloc(size);
	if (!l.text)
		return json_fail(error, -ENOMEM, "", "out of memory");
	r = lex_document(&l);
	if (r == -ENOMEM)
		return json_fail(error, r, "", "out of memory");
	if (r < 0)
		return r;
	/* What passed is valid for cJSON too, so only memory is left to fail. */
	json = cJSON_ParseWithLengthOpts(bytes, size, NULL, false);
	if (!json)
		return json_fail(error, -ENOMEM, "", "out of memory");
	*ret = json;
	return 0;
}

/* ---- typed access ---- */

static int find(const cJSON *object, const char *key, const cJSON **ret, struct json_error *error)
{
	const cJSON *item;

	if (!cJSON_IsObject(object))
		return json_refuse(error, "", "must be an object");
	item = cJSON_GetObjectItemCaseSensitive(object, key);
	if (!item)
		return json_fail(error, -ENOENT, key, "is missing");
	*ret = item;
	return 0;
}

int json_get_string(const cJSON *object, const char *key, const char **ret,
		    struct json_error *error)
{
	const cJSON *item;
	int r = find(object, key, &item, error);

	if (r < 0)
		return r;
	if (!cJSON_IsString(item) || !item->valuestring)
		return json_refuse(error, key, "must be a string");
	*ret = item->valuestring;
	return 0;
}

const char *json_text_or(const cJSON *object, const char *key, const char *otherwise)
{
	const char *text = otherwise;

	return json_get_string(object, key, &text, NULL) < 0 ? otherwise : text;
}

int json_get_u64(const cJSON *object, const char *key, uint64_t max, uint64_t *ret,
		 struct json_error *error)
{
	const cJSON *item;
	uint64_t value;
	int r = find(object, key, &item, error);

	if (r < 0)
		return r;
	if (!cJSON_IsNumber(item))
		return json_refuse(error, key, "must be a number");
	/* Trees need not come from json_parse(): written so that a NaN fails as well. */
	if (!(item->valuedouble >= 0 && item->valuedouble <= (double)JSON_MAX_INTEGER))
		return json_refuse(error, key, "must be between 0 and 2^53-1");
	value = (uint64_t)item->valuedouble;
	if ((double)value < item->valuedouble)
		return json_refuse(error, key, "must be an integer");
	if (value > max)
		return json_refuse(error, key, "must be at most %" PRIu64, max);
	*ret = value;
	return 0;
}

int json_get_bool(const cJSON *object, const char *key, bool *ret, struct json_error *error)
{
	const cJSON *item;
	int r = find(object, key, &item, error);

	if (r < 0)
		return r;
	if (!cJSON_IsBool(item))
		return json_refuse(error, key, "must be true or false");
	*ret = cJSON_IsTrue(item);
	return 0;
}

int json_get_object(const cJSON *object, const char *key, const cJSON **ret,
		    struct json_error *error)
{
	const cJSON *item;
	int r = find(object, key, &item, error);

	if (r < 0)
		return r;
	if (!cJSON_IsObject(item))
		return json_refuse(error, key, "must be an object");
	*ret = item;
	return 0;
}

int json_get_array(const cJSON *object, const char *key, const cJSON **ret,
		   struct json_error *error)
{
	const cJSON *item;
	int r = find(object, key, &item, error);

	if (r < 0)
		return r;
	if (!cJSON_IsArray(item))
		return json_refuse(error, key, "must be an array");
	*ret = item;
	return 0;
}

static bool is_among(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

int json_only_keys(const cJSON *object, const char *const *keys, struct json_error *error)
{
	const cJSON *item;

	if (!cJSON_IsObject(object))
		return json_refuse(error, "", "must be an object");
	cJSON_ArrayForEach (item, object)
		if (!is_among(item->string, keys))
			return json_refuse(error, item->string, "is not known here");
	return 0;
}

/* ---- writing ---- */

bool json_add_u64(cJSON *object, const char *key, uint64_t value)
{
	return value <= JSON_MAX_INTEGER && cJSON_AddNumberToObject(object, key, (double)value);
}

/* cJSON writes 15 digits, and takes them if reading back gives nearly the same number: integers
 * above 10^15 would come out rounded and with an exponent. */
static bool is_beyond_cjson(const cJSON *item)
{
	double magnitude = item->valuedouble < 0 ? -item->valuedouble : item->valuedouble;

	return cJSON_IsNumber(item) && magnitude >= 1e15 && magnitude <= (double)JSON_MAX_INTEGER;
}

static bool has_any_beyond_cjson(const cJSON *json)
{
	const cJSON *item;

	if (is_beyond_cjson(json))
		return true;
	cJSON_ArrayForEach (item, json)
		if (has_any_beyond_cjson(item))
			return true;
	return false;
}

/* Turns these numbers into raw text of the same meaning. */
static bool write_out_integers(cJSON *json)
{
	cJSON *item;

	if (is_beyond_cjson(json)) {
		char text[32];

		(void)snprintf(text, sizeof text, "%" PRId64, (int64_t)json->valuedouble);
		json->valuestring = strdup(text);
		json->type = (json->type & ~0xff) | cJSON_Raw;
		return json->valuestring;
	}
	cJSON_ArrayForEach (item, json)
		if (!write_out_integers(item))
			return false;
	return true;
}

char *json_print(const cJSON *json)
{
	_cleanup_json_ cJSON *copy = NULL;

	if (!json || !has_any_beyond_cjson(json))
		return cJSON_PrintUnformatted(json);
	copy = cJSON_Duplicate(json, true);
	if (!copy || !write_out_integers(copy))
		return NULL;
	return cJSON_PrintUnformatted(copy);
}
