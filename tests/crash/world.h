/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway that is going to be cut: two spaces and the installer's directory below one root, which
 * may lie on any file system; and the rest of the machine, which a cut does not touch: the units, the
 * clock, and what the outside was told so far. The rest of the machine is memory that all processes of
 * a run share.
 *
 * What the installer only reads (the files that the agent hands over, the factory releases, the
 * first root of trust) is made once, signed by the test repository of tests/lib, and lies elsewhere.
 */
#ifndef TESTS_CRASH_WORLD_H
#define TESTS_CRASH_WORLD_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/digest.h"
#include "common/reason.h"
#include "updaterd/conf.h"
#include "updaterd/service.h"
#include "updaterd/store.h"

#define FACTORY_A "A202201010001"
#define FIRST_A	  "A202202020001"
#define SECOND_A  "A202203030001"
#define FACTORY_B "B202201010001"
#define FIRST_B	  "B202202020001"
#define SECOND_B  "B202203030001"
#define THIRD_B	  "B202204040001"

/* ---- what is made once ---- */

/* A release as it was signed. */
struct golden {
	char version[VERSION_LENGTH + 1];
	uint8_t tar_sha256[SHA256_BYTES];
};

struct inputs;
struct inputs *inputs_new(void);
void inputs_free(struct inputs *in);
/* NULL: no such release was ever signed. */
const struct golden *inputs_golden(const struct inputs *in, const char *version);

/* ---- the rest of the machine ---- */

#define CUT_STATUS 7

/* How a version behaves when it is started. */
enum play { PLAYS_WELL, PLAYS_EXIT, PLAYS_BAD, PLAYS_FULL, PLAYS_CUT };

struct unit {
	bool is_running;
	char version[VERSION_LENGTH + 1];
	unsigned n_starts;
};

/* The outside was told something; what is written to the disk later cannot take it back. */
struct promise {
	bool is_made;
	uint64_t position; /* so many entries the log of the disk had then */
};

struct machine {
	uint64_t log_length; /* entries of the disk's log, if there is one (blocklog.h) */
	int listener;	     /* of the tracer (tracer.h), a descriptor of the traced process */
	bool is_outside;     /* what happens now is the rest of the machine's doing */

	uint64_t clock_msec;
	struct unit b;
	unsigned n_trials_a; /* of program A, since the attempt began */
	uint64_t down_msec;
	char wrong[256]; /* the first thing that was done to the units and must not be */

	bool was_off;		 /* the cut was one of the power */
	bool had_error;		 /* it was no cut, but a call that failed */
	bool is_wanted_back;	 /* it cut a person's way back that the rescue had begun */
	struct promise recorded; /* the attempt will have a result */
	struct promise ended;	 /* it has, and this one: */
	bool has_returned;
	int returned;
	enum outcome outcome;
	enum reason reason;
};

/* Shared by this process and those that it forks from now on. */
struct machine *machine_new(void);

struct world {
	char root[PATH_MAX - 64];
	char paths[8][PATH_MAX];
	struct conf conf;
	const struct inputs *inputs; /* borrowed */
	struct machine *machine;     /* borrowed */
	const char *odd_version;     /* the one that does not behave well */
	enum play odd;
	unsigned attempt; /* the one under way */
};

/* Makes nothing on the disk. */
void world_init(struct world *w, const char *root, const struct inputs *in, struct machine *m);
struct service world_service(struct world *w);
/* B is started as systemd does at boot, after recovery. */
void world_boot(struct world *w);
/* "" if the release in this directory is whole and the one that was signed, else what is wrong with it. */
void world_judge_release(const struct world *w, char letter, const char *version, char *ret,
			 size_t size);

/* ---- attempts ---- */

/* A fixed name for the n-th attempt of a gateway. */
const char *world_txid(unsigned n);

int world_adopt(struct world *w, char letter);
/* Opens, recovers, and runs, as the installer's worker does. version NULL: a roll back. What comes of
 * it is told to the machine. Negative: as transaction_run(), or as what comes before it. */
int world_attempt(struct world *w, unsigned attempt, char letter, const char *version,
		  bool is_patch);
int world_recover(struct world *w, bool at_boot);
/* What the rescue program does at boot, before recovery. */
int world_rescue(struct world *w);
/* What `updaterd-rescue --rollback` does, and the installer that it restarts. The attempt has a txid of its
 * own. */
int world_rescue_back(struct world *w, char letter);
/* What a version that fills the disk left. */
void world_remove_filler(const struct world *w);

#endif
