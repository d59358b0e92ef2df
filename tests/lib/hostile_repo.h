/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue of attacks: for each attack that the TUF specification names, what somebody who has
 * some keys, or the server, or the wire in hand may do. Each variant goes from the same honest state
 * of a repository, which the client has trusted before, to a hostile one.
 *
 * The repository: root 2 of 3 keys, targets 2 of 3, snapshot and timestamp one each (the online
 * ones), program A one, program B 2 of 3. The client has trusted root 1 and version 3 of the rest.
 * Keys are made from a seed, so states that are built apart belong to one repository.
 *
 * What the attacker wants is that the client takes a program file for hostile_world's target that is
 * none of B's team's, or never again learns of a new one.
 */
#ifndef TESTS_LIB_HOSTILE_REPO_H
#define TESTS_LIB_HOSTILE_REPO_H

#include <stdbool.h>
#include <stdint.h>

#include "common/reason.h"
#include "tuf_repo.h"

#define HOSTILE_DAY_SEC	  INT64_C(86400)
#define HOSTILE_OLD_PATH  "B/B202101010001-all.tar.xz" /* signed long ago, in every state */
#define HOSTILE_PATH_OF_A "A/A202101010001-all.tar.xz"

/* What the states are made for. */
struct hostile_world {
	int64_t now_sec;
	char far[24], past[24]; /* dates */
	char *target;		/* the path of the new program file of B */
	char *version;		/* what it is */
	cJSON *targets;		/* what B says of it (and of its segment lists), by path */
};

/* targets: the member "targets" of a role B that somebody else has made, from which the path and
 * version are taken; NULL: some file is made up. Copied. */
void hostile_world_init(struct hostile_world *w, int64_t now_sec, const cJSON *targets);
void hostile_world_done(struct hostile_world *w);

enum hostile_layer {
	HOSTILE_METADATA,  /* the metadata is refused */
	HOSTILE_SOFTWARE,  /* the metadata passes; the file is not for this gateway */
	HOSTILE_TRANSPORT, /* what the server does with answers */
};

/* How the repository's owners get their gateways back. */
enum hostile_recovery {
	RECOVER_NEXT,	 /* with their next release */
	RECOVER_ROTATED, /* by a root with new timestamp and snapshot keys */
	/* By nothing less than that: version numbers never go back, and no role disappears. */
	RECOVER_ROTATED_ONLY,
};

struct hostile_variant {
	const char *attack; /* "mix-and-match" */
	const char *what;   /* "snapshot 4 with targets of 3": who can do it, and does what */
	enum hostile_layer layer;
	void (*build)(struct repo *r, const struct hostile_world *w); /* NULL: the next state */
	const char *expires; /* the role that has run out since it was trusted */

	/* What must come of it: at the TUF client and the agent, and at the installer if that is
	 * different; NULL for says: whatever sentence. */
	enum reason reason, installer_reason;
	const char *says;
	const char *
		kept; /* names that may be kept since they are signed as they should be; "*": any */
	enum hostile_recovery recovery;
	bool is_agents_only; /* a taken-over agent gains nothing by it */

	/* What a hostile query server offers; NULL: what an honest one does. */
	struct {
		const char *version, *target;
	} offer;

	/* For the server: "PATTERN BEHAVIOUR" (tests/system/hostile-site.py); for a source in memory:
	 * what the fetch of a file ends with. */
	const char *fault;
	const char *fetch_name;
	int fetch_errno;
	bool is_slow; /* takes as long as the client's patience */
};

extern const struct hostile_variant hostile_variants[];
extern const size_t hostile_n_variants;

/* "rollback-2": the attack and the number of the variant in it. */
void hostile_id(const struct hostile_variant *v, char *ret, size_t size);

/* The honest repository that the client has trusted (local is what it kept). v may be NULL. */
struct repo *hostile_trusted(const struct hostile_world *w, const struct hostile_variant *v);
/* The same, and what the attacker has made of it. */
struct repo *hostile_state(const struct hostile_world *w, const struct hostile_variant *v);
/* What the owners publish in the end, which has the target; local is empty. */
struct repo *hostile_recovered(const struct hostile_world *w, bool is_rotated);

/* For builders. */
/* The attacker has n keys of the role, and takes one of his own for each other that is needed. */
void hostile_seize(struct repo *r, const char *role, size_t n);
/* New versions of these roles ("B snapshot timestamp"), and all published. */
void hostile_bump(struct repo *r, const char *roles);
/* B lists the new program file: the true one, or the attacker's. */
void hostile_release(struct repo *r, const struct hostile_world *w);
void hostile_replace(struct repo *r, const struct hostile_world *w);
/* A member of the metadata ("targets" of B by path, for instance). */
cJSON *hostile_member(cJSON *object, const char *name);
/* The file at `to` becomes that at `from`. */
void hostile_copy(struct repo *r, const char *from, const char *to);
/* The file with so many spaces at its end: it says the same. */
void hostile_pad(struct repo *r, const char *name, size_t size);
/* A new root of the honest owners with other timestamp and snapshot keys. */
void hostile_rotate(struct repo *r);

#endif
