/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one strict JSON reader. cJSON is no validator: it takes duplicate keys, NUL bytes, 1e999,
 * bytes after the value, invalid UTF-8. So the bytes are checked by a lexer of our own (RFC 8259 and
 * the limits below) before cJSON builds the tree, and everything here that reads JSON comes this way.
 *
 * Refused: anything but one value; duplicate keys in an object; \u0000 or a raw NUL; control
 * characters; a byte order mark; invalid UTF-8 or lone surrogates; numbers that are not integers of
 * at most 2^53-1 in magnitude ('-0', fractions and exponents are refused); more than the limits.
 *
 * Getters name what is wrong in struct json_error: the field as the reader of the message would
 * write it ("identity.value") and a sentence. They return 0, -ENOENT (the field is missing) or
 * -EBADMSG (it is of another type or out of range); ret_ is untouched on failure.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

struct json_limits {
	size_t max_bytes;   /* 0: 64 KiB */
	unsigned max_depth; /* 0: 16; never more than 128 */
	size_t max_tokens;  /* 0: 65536; a token is a value or a key */
};

struct json_error {
	char field[96];
	char text[160];
};

static inline void json_delete(cJSON **json)
{
	cJSON_Delete(*json);
}
#define _cleanup_json_ _cleanup_(json_delete)

/* Checks, then parses. limits may be NULL. -EBADMSG (malformed), -EFBIG (over a limit), -ENOMEM.
 * error may be NULL; it tells the byte offset. */
_must_check_ int json_parse(const void *bytes, size_t size, const struct json_limits *limits,
			    cJSON **ret, struct json_error *error);

/* Typed access. key is looked up case-sensitively in object. Strings are borrowed from the tree. */
_must_check_ int json_get_string(const cJSON *object, const char *key, const char **ret,
				 struct json_error *error);
/* For what is only shown or compared: otherwise where the member is missing or no string. */
const char *json_text_or(const cJSON *object, const char *key, const char *otherwise);
_must_check_ int json_get_u64(const cJSON *object, const char *key, uint64_t max, uint64_t *ret,
			      struct json_error *error);
_must_check_ int json_get_bool(const cJSON *object, const char *key, bool *ret,
			       struct json_error *error);
_must_check_ int json_get_object(const cJSON *object, const char *key, const cJSON **ret,
				 struct json_error *error);
_must_check_ int json_get_array(const cJSON *object, const char *key, const cJSON **ret,
				struct json_error *error);

/* Fails with -EBADMSG naming the first member of object that is not in keys (NULL-terminated). */
_must_check_ int json_only_keys(const cJSON *object, const char *const *keys,
				struct json_error *error);

/* Says what is wrong with a field. error may be NULL. */
void json_error_set(struct json_error *error, const char *field, const char *format, ...)
	_printf_(3, 4);
/* The same, giving -EBADMSG. A macro, since analyzers do not follow what a variadic function
 * returns. */
#define json_refuse(error, field, ...) (json_error_set(error, field, __VA_ARGS__), -EBADMSG)
/* Puts a path before error->field: "value" becomes "identity.value". */
void json_error_prefix(struct json_error *error, const char *prefix);

/* Adding members; true on success as cJSON does. An unsigned number above 2^53-1 is refused. */
_must_check_ bool json_add_u64(cJSON *object, const char *key, uint64_t value);

/* Compact text in a new string, NULL when out of memory. Caller frees with free(). */
char *json_print(const cJSON *json);

#endif
