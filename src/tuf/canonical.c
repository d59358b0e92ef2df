/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/canonical.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define INTEGER_MAX ((double)((1LL << 53) - 1))

static int put_value(FILE *f, const cJSON *json);

static void put_string(FILE *f, const char *text)
{
	(void)fputc('"', f);
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			(void)fputc('\\', f);
		(void)fputc(*p, f);
	}
	(void)fputc('"', f);
}

static int put_number(FILE *f, double value)
{
	if (!(fabs(value) <= INTEGER_MAX) || trunc(value) != value)
		return -EBADMSG;
	(void)fprintf(f, "%lld", (long long)value);
	return 0;
}

static int put_array(FILE *f, const cJSON *array)
{
	const cJSON *item;
	int r;

	(void)fputc('[', f);
	cJSON_ArrayForEach (item, array) {
		if (item != array->child)
			(void)fputc(',', f);
		r = put_value(f, item);
		if (r < 0)
			return r;
	}
	(void)fputc(']', f);
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const cJSON *const *left = a, *const *right = b;

	return strcmp((*left)->string, (*right)->string);
}

static int sorted_members(const cJSON *object, const cJSON ***ret, size_t *ret_n)
{
	size_t n = (size_t)cJSON_GetArraySize(object), i = 0;
	const cJSON **members = calloc(n ? n : 1, sizeof *members);
	const cJSON *item;

	if (!members)
		return -ENOMEM;
	cJSON_ArrayForEach (item, object)
		members[i++] = item;
	qsort(members, n, sizeof *members, compare_keys);
	*ret = members;
	*ret_n = n;
	return 0;
}

static int put_object(FILE *f, const cJSON *object)
{
	_cleanup_free_ const cJSON **members = NULL;
	size_t n;
	int r;

	r = sorted_members(object, &members, &n);
	if (r < 0)
		return r;
	(void)fputc('{', f);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			(void)fputc(',', f);
		put_string(f, members[i]->string);
		(void)fputc(':', f);
		r = put_value(f, members[i]);
		if (r < 0)
			return r;
	}
	(void)fputc('}', f);
	return 0;
}

static int put_value(FILE *f, const cJSON *json)
{
	if (cJSON_IsObject(json))
		return put_object(f, json);
	if (cJSON_IsArray(json))
		return put_array(f, json);
	if (cJSON_IsNumber(json))
		return put_number(f, json->valuedouble);
	if (cJSON_IsString(json))
		put_string(f, json->valuestring);
	else if (cJSON_IsBool(json))
		(void)fputs(cJSON_IsTrue(json) ? "true" : "false", f);
	else if (cJSON_IsNull(json))
		(void)fputs("null", f);
	else
		return -EBADMSG;
	return 0;
}

int tuf_canonical(const cJSON *json, char **ret_bytes, size_t *ret_size)
{
	char *bytes = NULL;
	size_t size = 0;
	FILE *f;
	int r;

	/* Write errors can only be lack of memory and are sticky: they are looked at once, below. */
	f = open_memstream(&bytes, &size);
	if (!f)
		return -ENOMEM;
	r = put_value(f, json);
	if (ferror(f) && r == 0)
		r = -ENOMEM;
	if (fclose(f) != 0 && r == 0)
		r = -ENOMEM;
	if (r < 0) {
		free(bytes);
		return r;
	}
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}
