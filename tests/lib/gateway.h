/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway for tests of the installer: two programs with spaces in a scratch directory, a signed
 * repository that holds releases for them, and a unit and a probe that are played. What fails here
 * fails the test.
 *
 * Program A has neither unit nor probe. Program B has both, and runs B202108010001 at first.
 */
#ifndef TESTS_GATEWAY_H
#define TESTS_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "scratch.h"

#include "tuf_repo.h"
#include "updaterd/conf.h"
#include "updaterd/result.h"
#include "updaterd/service.h"
#include "updaterd/state.h"
#include "updaterd/store.h"
#include "updaterd/transaction.h"

#define OLD_A  "A202108010001"
#define NEW_A  "A202109010001"
#define OLD_B  "B202108010001"
#define NEW_B  "B202109010001"
#define NEXT_B "B202110010001"

/* How a version behaves when it is `current`. */
enum behaviour {
	BEHAVES_WELL,
	EXITS_AT_ONCE,
	NEVER_READY,
	CRASHES_AFTER_READY,
	PROBED_BAD,
	PROBED_NEVER_YES,
	PROBED_WRONG_VERSION,
	PROBE_DOES_NOT_RUN,
};

struct gateway {
	struct scratch *scratch;
	struct conf conf;
	char paths[16][96];
	size_t n_paths;
	struct repo *repo;

	char txid[TXID_LENGTH + 1]; /* of the next attempt; "": a new one */

	/* The play. */
	const char *odd_version; /* the one that behaves differently */
	enum behaviour odd;
	bool all_are_odd;
	enum probe_verdict before; /* what the probe says before the swap */
	const char *before_output;
	/* A unit that runs to its end, such as the trial of A; NULL: ends well at once. */
	void (*run_unit)(struct gateway *g, const char *unit, struct service_end *ret);
	uint64_t clock_msec;
	bool is_going_down; /* the machine is */
	/* As the hook of the transaction of this name. */
	enum reason (*called_off)(void *g);
	bool is_real_time; /* a pause takes its time: what else is waited for is no play */
	unsigned n_restarts, n_probes;
	char last_started[VERSION_LENGTH + 1];
	char last_probe_release[128];
	char last_baseline[128];
};

/* In $GATEWAY_DIR, else in memory. */
struct gateway *gateway_new(void);
void gateway_free(struct gateway *g);
/* For cmocka. */
int gateway_setup(void **state);
int gateway_teardown(void **state);

struct service gateway_service(struct gateway *g);
struct version gateway_version(const char *text);
const struct conf_program *gateway_program(struct gateway *g, char letter);

/* A tree with release.json at trees/<version>; gives its path, valid as long as g. */
const char *gateway_make_tree(struct gateway *g, const char *version);
/* The .tar.xz of such a tree in memory. Caller frees. */
char *gateway_pack(struct gateway *g, const char *version, size_t *ret_size);
/* The custom part of a target for a tree. */
cJSON *gateway_custom(struct gateway *g, const char *version);
/* Makes the tree, writes the program file to files/<version>, signs a target for it and puts the
 * metadata directory in order. custom may be NULL; else it is taken. */
void gateway_publish(struct gateway *g, const char *version, cJSON *custom);
/* The same for patches: between two trees, as files/<to>.from-<from>. bytes NULL: the right ones; else what
 * is signed instead. custom as above. */
cJSON *gateway_patch_custom(struct gateway *g, const char *from, const char *to);
char *gateway_make_patch(struct gateway *g, const char *from, const char *to, size_t *ret_size);
void gateway_publish_patch(struct gateway *g, const char *from, const char *to, const void *bytes,
			   size_t size, cJSON *custom);
/* The metadata directory anew, after the test changed the repository. */
void gateway_write_metadata(struct gateway *g);
/* Caller closes. */
int gateway_open(struct gateway *g, const char *path, int flags);
/* "B/B202109010001-amd64.tar.xz" */
const char *gateway_target(const char *version);

/* Runs an upgrade to a published version, or a roll back (version NULL), with the state opened and
 * recovered as the worker does. */
int gateway_upgrade(struct gateway *g, const char *version, struct result *ret);
int gateway_upgrade_by_patch(struct gateway *g, const char *from, const char *to,
			     struct result *ret);
int gateway_rollback(struct gateway *g, char letter, struct result *ret);
/* The same with the program file of a published version. */
int gateway_rollback_with(struct gateway *g, const char *version, struct result *ret);

/* `current` and `previous` ("": none). Compared with == NULL for "do not care". */
void gateway_expect_links(struct gateway *g, char letter, const char *current,
			  const char *previous);
/* All that the invariants ask of a gateway at rest: journal idle, `current` of both programs complete,
 * no more releases than the links name, no left-overs. */
void gateway_expect_order(struct gateway *g);
/* The number of entries of a directory below the scratch directory. */
size_t gateway_count(struct gateway *g, const char *path);

#endif
