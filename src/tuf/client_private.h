/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the client share: client.c (its life, questions), refresh.c (the workflow 5.3 to
 * 5.6, files and their checks) and search.c (5.6.7).
 */
#ifndef TUF_CLIENT_PRIVATE_H
#define TUF_CLIENT_PRIVATE_H

#include "tuf/client.h"
#include "tuf/metadata.h"
#include "tuf/name.h"

/* A delegated role that was loaded, and what delegates to it as that says it must be signed. */
struct delegated {
	const struct tuf_role *role; /* borrowed from the delegating role's metadata */
	struct tuf_metadata *metadata;
	bool is_again; /* the metadata belongs to one before it: another role delegates to it too */
};

struct tuf_client {
	const struct tuf_source *source;
	struct tuf_limits limits;
	int64_t now_sec;
	struct tuf_metadata *root, *timestamp, *snapshot, *targets; /* but root: NULL or final */
	struct delegated *delegated;
	size_t n_delegated;
	bool local_is_dropped; /* timestamp and snapshot: see drop_local() */
	enum reason reason;
	char error[512];
};

/* Keeps the reason and a sentence for tuf_client_error(). Gives error. A macro, since analyzers do
 * not follow what a variadic function returns. */
#define refuse(c, error, ...) (tuf_client_explain(c, __VA_ARGS__), (error))
void tuf_client_explain(struct tuf_client *c, enum reason reason, const char *format, ...)
	_printf_(3, 4);
void tuf_client_forgive(struct tuf_client *c);

/* Everything but the root, and the last failure. */
void tuf_client_forget(struct tuf_client *c);

/* The metadata of a role that delegator delegates to, loaded if need be. A role that two others
 * delegate to must be signed as each of them says. */
_must_check_ int tuf_client_get_delegated(struct tuf_client *c,
					  const struct tuf_metadata *delegator,
					  const struct tuf_role *role,
					  const struct tuf_metadata **ret);
/* NULL if it was not loaded. */
struct tuf_metadata *tuf_client_find_delegated(const struct tuf_client *c, const char *name);

#endif
