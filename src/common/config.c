/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/fsutil.h"

#define FILE_MAX_BYTES	   (256u << 10)
#define LINE_BUFFER_BYTES  1024
#define SECTION_MAX_BYTES  48 /* inih cuts longer names without a word */
#define KEY_MAX_BYTES	   63
#define SECTION_CHARACTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz ._-"

static const char no_memory[] = "out of memory";
static const char no_line[] = "neither a [section], a comment, nor key = value";

struct load {
	const char *path;
	const struct config_key *keys;
	size_t n_keys;
	void *target;
	config_resolve_fn resolve;
	config_refused_fn refused; /* NULL: what is not taken is an error */
	void *userdata;

	char section[SECTION_MAX_BYTES + 1];
	bool skipping;	      /* a section that is not known */
	const char *at, *end; /* the text that is not read yet */
	unsigned line;
	char **seen; /* "section\nkey" of each key that was set */
	size_t n_seen;
	int r;
	char *error;
};

static void load_done(struct load *l)
{
	for (size_t i = 0; i < l->n_seen; i++)
		free(l->seen[i]);
	free(l->seen);
	free(l->error);
}

/* ---- errors ---- */

static int fail(struct load *l, int r, const char *format, ...) _printf_(3, 4);

/* The first error stays. */
static int fail(struct load *l, int r, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	if (l->r < 0)
		return l->r;
	l->r = r;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (!text || asprintf(&l->error, "%s:%u: %s", l->path, l->line, text) < 0)
		l->error = NULL;
	return r;
}

/* What is not taken is an error, or told and skipped (0). key may be NULL. */
static int refuse(struct load *l, const char *key, const char *format, ...) _printf_(3, 4);

static int refuse(struct load *l, const char *key, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *sentence = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (!text)
		return fail(l, -ENOMEM, "%s", no_memory);
	if (!l->refused)
		return fail(l, -EINVAL, "%s", text);
	if (asprintf(&sentence, "%s:%u: %s", l->path, l->line, text) < 0) {
		sentence = NULL;
		return fail(l, -ENOMEM, "%s", no_memory);
	}
	l->refused(&(struct config_refusal){ l->section, key, sentence }, l->userdata);
	return 0;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Number of letters to insert, remove or replace (Levenshtein), upper and lower case being alike. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[KEY_MAX_BYTES + 1], length = strlen(b);

	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t above = row[j];
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);

			row[j] = smallest(diagonal + !same, above + 1, row[j - 1] + 1);
			diagonal = above;
		}
	}
	return row[length];
}

/* 0 … 2 if the words are near enough to be meant for each other. */
static size_t difference(const char *written, const char *known)
{
	size_t written_length = strlen(written), known_length = strlen(known);

	if (written_length > KEY_MAX_BYTES || known_length > KEY_MAX_BYTES || written_length == 0)
		return SIZE_MAX;
	if (written_length >= 3 && strncasecmp(written, known, written_length) == 0)
		return 1;
	return edit_distance(written, known);
}

/* ---- sections and keys ---- */

static bool is_pattern(const char *section)
{
	size_t length = strlen(section);

	return length >= 2 && strcmp(section + length - 2, " *") == 0;
}

static bool section_matches(const char *pattern, const char *section)
{
	size_t prefix;

	if (!is_pattern(pattern))
		return strcmp(pattern, section) == 0;
	prefix = strlen(pattern) - 1;
	return strncmp(pattern, section, prefix) == 0 && section[prefix] != '\0';
}

static const struct config_key *find_section(const struct load *l, const char *section)
{
	for (size_t i = 0; i < l->n_keys; i++)
		if (section_matches(l->keys[i].section, section))
			return &l->keys[i];
	return NULL;
}

static const struct config_key *find_key(const struct load *l, const char *section,
					 const char *name)
{
	for (size_t i = 0; i < l->n_keys; i++)
		if (section_matches(l->keys[i].section, section) &&
		    strcmp(l->keys[i].key, name) == 0)
			return &l->keys[i];
	return NULL;
}

static int refuse_section(struct load *l, const char *section)
{
	const char *nearest = NULL;
	size_t least = 3;

	for (size_t i = 0; i < l->n_keys; i++) {
		size_t d = difference(section, l->keys[i].section);

		if (d < least) {
			least = d;
			nearest = l->keys[i].section;
		}
	}
	if (nearest)
		return refuse(l, NULL, "[%s]: unknown section; did you mean [%s]?", section,
			      nearest);
	return refuse(l, NULL, "[%s]: unknown section", section);
}

static int refuse_key(struct load *l, const char *section, const char *name)
{
	const struct config_key *nearest = NULL, *elsewhere = NULL;
	size_t least = 3;

	for (size_t i = 0; i < l->n_keys; i++) {
		const struct config_key *k = &l->keys[i];
		size_t d = difference(name, k->key);

		if (strcmp(name, k->key) == 0)
			elsewhere = k;
		if (section_matches(k->section, section) && d < least) {
			least = d;
			nearest = k;
		}
	}
	if (elsewhere)
		return refuse(l, name, "[%s] %s: unknown key here; it belongs in [%s]", section,
			      name, elsewhere->section);
	if (nearest)
		return refuse(l, name, "[%s] %s: unknown key; did you mean %s?", section, name,
			      nearest->key);
	return refuse(l, name, "[%s] %s: unknown key", section, name);
}

/* The structure that the keys of a section are stored in; NULL if there can be none. */
static void *section_base(struct load *l, const struct config_key *key, const char *section)
{
	void *base;

	if (!is_pattern(key->section))
		return l->target;
	base = l->resolve ? l->resolve(section, l->userdata) : NULL;
	if (!base)
		(void)refuse(l, NULL, "[%s]: there can be no such section", section);
	return base;
}

/* 1: it may be set. 0: it was told and is skipped. */
static int note_key(struct load *l, const char *section, const char *name)
{
	_cleanup_free_ char *id = NULL;
	char **bigger;

	if (asprintf(&id, "%s\n%s", section, name) < 0) {
		id = NULL;
		return fail(l, -ENOMEM, "%s", no_memory);
	}
	for (size_t i = 0; i < l->n_seen; i++)
		if (strcmp(l->seen[i], id) == 0)
			return refuse(l, name, "[%s] %s: given twice", section, name);
	bigger = reallocarray(l->seen, l->n_seen + 1, sizeof *bigger);
	if (!bigger)
		return fail(l, -ENOMEM, "%s", no_memory);
	l->seen = bigger;
	l->seen[l->n_seen++] = TAKE_PTR(id);
	return 1;
}

/* ---- values ---- */

/* All of these return NULL, or what is wrong with the value. */

static const char *set_string(char **slot, const char *value)
{
	char *copy = NULL;

	if (*value != '\0') {
		copy = strdup(value);
		if (!copy)
			return no_memory;
	}
	free(*slot);
	*slot = copy;
	return NULL;
}

static const char *set_path(char **slot, const char *value)
{
	if (*value != '\0' && *value != '/')
		return "must be an absolute path";
	return set_string(slot, value);
}

static const char *set_bool(bool *slot, const char *value)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		if (strcmp(value, words[i]) == 0) {
			*slot = i % 2 == 1;
			return NULL;
		}
	}
	return "must be yes or no";
}

static bool parse_u64(const char *text, uint64_t *ret)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	*ret = value;
	return true;
}

static const char *set_u64(const struct config_key *key, uint64_t *slot, const char *value,
			   char *sentence, size_t sentence_size)
{
	uint64_t number;

	if (parse_u64(value, &number) && number >= key->min && number <= key->max) {
		*slot = number;
		return NULL;
	}
	(void)snprintf(sentence, sentence_size, "must be between %" PRIu64 " and %" PRIu64,
		       key->min, key->max);
	return sentence;
}

static bool parse_s64(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	uint64_t value;

	if (!parse_u64(text + negative, &value) || value > INT64_MAX)
		return false;
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return true;
}

static const char *set_s64(const struct config_key *key, int64_t *slot, const char *value,
			   char *sentence, size_t sentence_size)
{
	int64_t min = (int64_t)key->min, max = (int64_t)key->max, number;

	if (parse_s64(value, &number) && number >= min && number <= max) {
		*slot = number;
		return NULL;
	}
	(void)snprintf(sentence, sentence_size, "must be between %" PRId64 " and %" PRId64, min,
		       max);
	return sentence;
}

static const char *set_choice(const struct config_key *key, char **slot, const char *value,
			      char *sentence, size_t sentence_size)
{
	size_t used;

	for (const char *const *choice = key->choices; *choice; choice++)
		if (strcmp(value, *choice) == 0)
			return set_string(slot, value);
	used = (size_t)snprintf(sentence, sentence_size, "must be one of");
	for (const char *const *choice = key->choices; *choice && used < sentence_size; choice++)
		used += (size_t)snprintf(sentence + used, sentence_size - used, "%s %s",
					 choice == key->choices ? "" : ",", *choice);
	return sentence;
}

static const char *set_value(const struct config_key *key, void *base, const char *value,
			     char *sentence, size_t sentence_size)
{
	void *slot = (char *)base + key->offset;

	switch (key->type) {
	case CONFIG_STRING: return set_string(slot, value);
	case CONFIG_PATH: return set_path(slot, value);
	case CONFIG_U64: return set_u64(key, slot, value, sentence, sentence_size);
	case CONFIG_S64: return set_s64(key, slot, value, sentence, sentence_size);
	case CONFIG_BOOL: return set_bool(slot, value);
	case CONFIG_CHOICE: return set_choice(key, slot, value, sentence, sentence_size);
	}
	return "has an unknown type";
}

/* ---- reading ---- */

static int store_key(struct load *l, const char *section, const char *name, const char *value)
{
	const struct config_key *key = find_key(l, section, name);
	char sentence[256];
	const char *wrong;
	void *base;
	int r;

	if (l->skipping)
		return 0;
	if (*section == '\0' && !key)
		return refuse(l, name, "%s: comes before the first [section]", name);
	if (!key)
		return refuse_key(l, section, name);
	r = note_key(l, section, name);
	if (r <= 0)
		return r;
	base = section_base(l, key, section);
	if (!base)
		return l->r;
	/* inih knows comments at the end of a line, but only those that start with ';'. */
	if (strstr(value, " #") || strstr(value, "\t#"))
		return refuse(l, name, "[%s] %s = %s: a comment with '#' needs a line of its own",
			      section, name, value);
	wrong = set_value(key, base, value, sentence, sizeof sentence);
	if (wrong == no_memory)
		return fail(l, -ENOMEM, "%s", no_memory);
	return wrong ? refuse(l, name, "[%s] %s = %s: %s", section, name, value, wrong) : 0;
}

/* What inih calls for each "key = value"; 0 stops it. */
static int take_key(void *userdata, const char *section, const char *name, const char *value)
{
	return store_key(userdata, section, name, value) == 0;
}

/* What follows belongs to no section that is known. */
static void leave_section(struct load *l)
{
	l->section[0] = '\0';
	l->skipping = true;
}

/* Of a line that may have begun a section, what follows must not be taken for the one before it. */
static int refuse_line(struct load *l, const char *line, size_t length, const char *what)
{
	size_t blank = 0;
	int r;

	while (blank < length && (line[blank] == ' ' || line[blank] == '\t'))
		blank++;
	if (blank < length && line[blank] == '[')
		leave_section(l);
	r = refuse(l, NULL, "%s", what);
	if (memchr(line, '[', length))
		leave_section(l);
	return r;
}

/* inih takes "[a] anything", and does not call for a section without keys. As check_line(). */
static int check_section_line(struct load *l, const char *line, size_t size)
{
	size_t length = strspn(line + 1, SECTION_CHARACTERS);
	const struct config_key *key;
	const char *after;

	if (length == 0 || length > SECTION_MAX_BYTES || line[1 + length] != ']')
		return refuse_line(l, line, size, "this is not a [section]");
	after = line + 1 + length + 1;
	after += strspn(after, " \t\r");
	if (*after != '\0' && *after != ';' && *after != '#')
		return refuse_line(l, line, size, "something follows the [section]");
	memcpy(l->section, line + 1, length);
	l->section[length] = '\0';
	l->skipping = true;
	key = find_section(l, l->section);
	if (!key)
		return refuse_section(l, l->section);
	l->skipping = !section_base(l, key, l->section);
	return l->r < 0 ? l->r : 1;
}

/* Whether inih will find a key in it: comments at the end of a line begin with " ;". */
static bool has_key(const char *line)
{
	for (const char *at = line; *at; at++) {
		if (*at == '=' || *at == ':')
			return true;
		if (*at == ';' && at > line && isspace((unsigned char)at[-1]))
			return false;
	}
	return false;
}

/* 1: inih may have the line. 0: it was told, and is skipped. */
static int check_line(struct load *l, const char *line, size_t length)
{
	const char *first = line + strspn(line, " \t\r");

	for (size_t i = 0; i < length; i++)
		if (iscntrl((unsigned char)line[i]) && line[i] != '\t' &&
		    !(line[i] == '\r' && i == length - 1))
			return refuse_line(l, line, length, "a control character");
	if (*first == '\0' || *first == ';' || *first == '#')
		return 1;
	/* To inih it would be more of the value before it: a key that was only indented would be
	 * taken for that. */
	if (first != line)
		return refuse_line(
			l, line, length,
			"begins with white space; a value cannot go on in the next line");
	if (*line == '[')
		return check_section_line(l, line, length);
	return has_key(line) ? 1 : refuse_line(l, line, length, no_line);
}

/* One line into buffer: 1. 0: it was told, and is skipped. */
static int take_line(struct load *l, char *buffer, size_t buffer_bytes)
{
	const char *line = l->at, *newline = memchr(line, '\n', (size_t)(l->end - line));
	size_t length = (size_t)((newline ? newline : l->end) - line);
	char what[64];

	l->line++;
	l->at += length + (newline ? 1 : 0);
	if (length >= buffer_bytes) {
		(void)snprintf(what, sizeof what, "the line is longer than %zu bytes",
			       buffer_bytes - 1);
		return refuse_line(l, line, length, what);
	}
	memcpy(buffer, line, length);
	buffer[length] = '\0';
	return check_line(l, buffer, length);
}

/* The fgets() of inih: one line for each call, NULL at the end or after an error. */
static char *next_line(char *buffer, int buffer_bytes, void *userdata)
{
	struct load *l = userdata;

	while (l->r >= 0 && l->at < l->end)
		if (take_line(l, buffer, (size_t)buffer_bytes) > 0)
			return buffer;
	return NULL;
}

static int parse(struct load *l)
{
	int r;

	ini_use_stack = false;
	ini_allow_realloc = false;
	ini_max_line = LINE_BUFFER_BYTES;
	ini_initial_alloc = LINE_BUFFER_BYTES;
	ini_stop_on_first_error = !l->refused;

	r = ini_parse_stream(next_line, l, take_key, l);
	if (l->r < 0)
		return l->r;
	if (r > 0)
		return refuse(l, NULL, "%s", no_line);
	return r < 0 ? fail(l, -ENOMEM, "%s", no_memory) : 0;
}

int config_load_lenient(const char *path, const struct config_key *keys, size_t n_keys,
			void *target, config_resolve_fn resolve, config_refused_fn refused,
			void *userdata, char **ret_error)
{
	_cleanup_(load_done) struct load l = { .path = path,
					       .keys = keys,
					       .n_keys = n_keys,
					       .target = target,
					       .resolve = resolve,
					       .refused = refused,
					       .userdata = userdata };
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	int r;

	r = fs_read_file(AT_FDCWD, path, FILE_MAX_BYTES, &bytes, &size);
	if (r < 0) {
		errno = -r;
		if (ret_error && asprintf(ret_error, "%s: %m", path) < 0)
			*ret_error = NULL;
		return r;
	}
	l.at = bytes;
	l.end = bytes + size;
	/* A byte order mark. */
	if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		l.at += 3;
	r = parse(&l);
	if (r < 0 && ret_error)
		*ret_error = TAKE_PTR(l.error);
	return r;
}

int config_load(const char *path, const struct config_key *keys, size_t n_keys, void *target,
		config_resolve_fn resolve, void *userdata, char **ret_error)
{
	return config_load_lenient(path, keys, n_keys, target, resolve, NULL, userdata, ret_error);
}

int config_invalid(char **ret_error, const char *format, ...)
{
	va_list args;

	if (!ret_error)
		return -EINVAL;
	va_start(args, format);
	if (vasprintf(ret_error, format, args) < 0)
		*ret_error = NULL;
	va_end(args);
	return -EINVAL;
}
