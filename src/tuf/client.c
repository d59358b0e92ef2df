/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client_private.h"

/* ---- failures ---- */

/* The sentence goes to logs and into results, and holds names that a stranger chose. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < 0x20 || *text >= 0x7f)
			*text = '?';
}

void tuf_client_explain(struct tuf_client *c, enum reason reason, const char *format, ...)
{
	va_list args;

	c->reason = reason;
	va_start(args, format);
	(void)vsnprintf(c->error, sizeof c->error, format, args);
	va_end(args);
	make_printable(c->error);
}

void tuf_client_forgive(struct tuf_client *c)
{
	c->reason = REASON_NONE;
	c->error[0] = '\0';
}

enum reason tuf_client_reason(const struct tuf_client *c)
{
	return c->reason;
}

const char *tuf_client_error(const struct tuf_client *c)
{
	return c->error;
}

/* ---- its life ---- */

void tuf_client_forget(struct tuf_client *c)
{
	for (size_t i = 0; i < c->n_delegated; i++)
		if (!c->delegated[i].is_again)
			(void)tuf_metadata_free(c->delegated[i].metadata);
	free(c->delegated);
	c->delegated = NULL;
	c->n_delegated = 0;
	c->timestamp = tuf_metadata_free(c->timestamp);
	c->snapshot = tuf_metadata_free(c->snapshot);
	c->targets = tuf_metadata_free(c->targets);
	tuf_client_forgive(c);
}

int tuf_client_new(const void *root_bytes, size_t root_size, int64_t now_sec,
		   const struct tuf_source *source, const struct tuf_limits *limits,
		   struct tuf_client **ret)
{
	static const struct tuf_limits limits_default = TUF_LIMITS_DEFAULT;
	_cleanup_(tuf_client_freep) struct tuf_client *c = calloc(1, sizeof *c);
	struct json_error error = {};
	unsigned n;
	int r;

	if (!c)
		return -ENOMEM;
	c->source = source;
	c->limits = limits ? *limits : limits_default;
	c->now_sec = now_sec;
	r = tuf_metadata_parse(root_bytes, root_size, TUF_ROOT, &c->root, &error);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	r = tuf_role_verify(&c->root->roles, tuf_roles_find(&c->root->roles, "root"), c->root, &n);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct tuf_client *tuf_client_free(struct tuf_client *c)
{
	if (c) {
		tuf_client_forget(c);
		(void)tuf_metadata_free(c->root);
		free(c);
	}
	return NULL;
}

/* ---- questions ---- */

int tuf_client_target_file(const struct tuf_client *c, const struct tuf_target *target, char **ret)
{
	const char *slash = strrchr(target->path, '/');
	const char *base = slash ? slash + 1 : target->path;
	char hex[2 * SHA512_BYTES + 1], *name;

	if (!c->root->consistent_snapshot) {
		name = strdup(target->path);
	} else {
		if (target->has_sha256)
			hex_encode(target->sha256, sizeof target->sha256, hex);
		else
			hex_encode(target->sha512, sizeof target->sha512, hex);
		if (asprintf(&name, "%.*s%s.%s", (int)(base - target->path), target->path, hex,
			     base) < 0)
			name = NULL;
	}
	if (!name)
		return -ENOMEM;
	*ret = name;
	return 0;
}

int64_t tuf_client_expires_sec(const struct tuf_client *c)
{
	const struct tuf_metadata *const roles[] = { c->timestamp, c->snapshot, c->targets };
	int64_t earliest = c->root->expires_sec;

	for (size_t i = 0; i < ELEMENTSOF(roles); i++)
		if (roles[i] && roles[i]->expires_sec < earliest)
			earliest = roles[i]->expires_sec;
	return earliest;
}

uint64_t tuf_client_role_version(const struct tuf_client *c, const char *role)
{
	const struct tuf_metadata *m;

	if (strcmp(role, "root") == 0)
		m = c->root;
	else if (strcmp(role, "timestamp") == 0)
		m = c->timestamp;
	else if (strcmp(role, "snapshot") == 0)
		m = c->snapshot;
	else if (strcmp(role, "targets") == 0)
		m = c->targets;
	else
		m = tuf_client_find_delegated(c, role);
	return m ? m->version : 0;
}
