/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files: INI as inih reads it, against a table of keys. Strict, since a gateway with
 * a typing error in its configuration cannot be asked what was meant: an unknown section or key, a
 * key given twice, a value out of range are errors that name file, line, key and what is allowed.
 *
 *	static const struct config_key keys[] = {
 *		{ "server", "url", CONFIG_STRING, offsetof(struct conf, server_url), 0, 0, NULL },
 *		{ "network", "timeout_sec", CONFIG_U64, offsetof(struct conf, timeout_sec), 1, 3600, NULL },
 *		{ "program *", "unit", CONFIG_STRING, offsetof(struct program, unit), 0, 0, NULL },
 *	};
 *
 * A section that ends in " *" stands for any number of sections ("[program A]", "[program B]");
 * the resolve callback then gives the structure that the key's offset counts from.
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

enum config_type {
	CONFIG_STRING, /* char *, malloc'd; an empty value gives NULL */
	CONFIG_PATH,   /* char *, malloc'd; absolute, or empty for NULL */
	CONFIG_U64,    /* uint64_t within min … max */
	CONFIG_S64,    /* int64_t within min … max, both cast */
	CONFIG_BOOL,   /* bool: yes/no, true/false, on/off, 1/0 */
	CONFIG_CHOICE, /* char *, malloc'd; one of choices */
};

struct config_key {
	const char *section;
	const char *key;
	enum config_type type;
	size_t offset;
	uint64_t min, max;	    /* CONFIG_U64, CONFIG_S64 */
	const char *const *choices; /* CONFIG_CHOICE, NULL-terminated */
};

/* For "[program B]" called with "program B": returns the structure that keys of this section are
 * stored in, or NULL if there may be no such section. */
typedef void *(*config_resolve_fn)(const char *section, void *userdata);

/* Told a sentence for each section and key that the table does not have; they are then skipped. */
typedef void (*config_unknown_fn)(const char *sentence, void *userdata);

/* Reads path into target; strings already in target are freed when replaced, so defaults may be set
 * before (strdup'd). A missing file is -ENOENT. On failure *ret_error (may be NULL) is a sentence
 * for the user; caller frees. target may be half filled then: release it as usual. */
_must_check_ int config_load(const char *path, const struct config_key *keys, size_t n_keys,
			     void *target, config_resolve_fn resolve, void *userdata,
			     char **ret_error);
/* The same, for a file that a newer version may have written. A section that resolve refuses is
 * unknown too. All else is as strict. */
_must_check_ int config_load_lenient(const char *path, const struct config_key *keys, size_t n_keys,
				     void *target, config_resolve_fn resolve,
				     config_unknown_fn unknown, void *userdata, char **ret_error);

/* For what the table cannot say: sets *ret_error (may be NULL) as config_load() does, gives -EINVAL. */
int _printf_(2, 3) config_invalid(char **ret_error, const char *format, ...);

#endif
