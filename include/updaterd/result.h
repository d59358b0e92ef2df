/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The result of an attempt (docs/PROTOCOL.md): one file for each in results/ of the installer's
 * directory until the query server has it, and a line in history.jsonl.
 */
#ifndef UPDATERD_RESULT_H
#define UPDATERD_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/outbox.h"

#define RESULT_HISTORY_LINES 200u
#define RESULT_OUTBOX_FILES  200u
#define RESULT_MAX_BYTES     (16u << 10)
#define RESULT_KIND_UPGRADE  "upgrade"
#define RESULT_KIND_ROLLBACK "rollback"
#define RESULT_KIND_REPAIR   "repair"
/* What travelled. */
#define RESULT_FILE_FULL     "full"
#define RESULT_FILE_PATCH    "patch"

/* What the agent did before it handed over; kept in the journal too. */
struct result_share {
	uint64_t started_sec;
	uint64_t duration_ms;
	uint64_t bytes_fetched;
	uint64_t segments_fetched;
	uint64_t segments_again;
	const char *file; /* RESULT_FILE_…, NULL: not known */
	bool is_from_medium;
};

struct result {
	char txid[TXID_LENGTH + 1];
	char program;
	const char *kind;	       /* RESULT_KIND_… */
	char from[VERSION_LENGTH + 1]; /* "" if not known */
	char to[VERSION_LENGTH + 1];
	enum outcome outcome;
	enum step step;
	struct failure failure;
	struct result_share share; /* duration_ms: of the whole attempt */
	uint64_t downtime_ms;
	struct {
		char letter;
		char version[VERSION_LENGTH + 1];
	} versions[CONF_MAX_PROGRAMS]; /* what runs after the attempt */
	size_t n_versions;
};

/* The agent's share as it came over D-Bus: a JSON object; members that are not known are left out.
 * -EBADMSG with a sentence (caller frees). */
_must_check_ int result_share_parse(const char *json, struct result_share *ret, char **ret_error);

/* The constant for a word. NULL if it is none, or NULL itself. */
const char *result_file_from_name(const char *name);
/* RESULT_KIND_UPGRADE if it is none. */
const char *result_kind_from_name(const char *name);

/* The JSON of the protocol, without identity. Caller frees. */
_must_check_ int result_format(const struct result *r, char **ret_json);

/* Room for a result on a disk that fills up later: a file of so many bytes in the installer's directory,
 * which is given up when there is no other. Makes it unless it is there. */
#define RESULT_RESERVE	     "reserve"
#define RESULT_RESERVE_BYTES (256u << 10)
_must_check_ int result_reserve(int dirfd);

/* Keeps it: the line of the history, then the file. A result that this txid has already stays as it
 * is, so this can be called again after a crash. dirfd is the installer's directory. */
_must_check_ int result_keep(int dirfd, const struct result *r);
/* True if the txid has its line in the history. */
bool result_is_kept(int dirfd, const char *txid);
/* The JSON of a kept result, from the history. -ENOENT. Caller frees. */
_must_check_ int result_find(int dirfd, const char *txid, char **ret_json);

/* Results that are not archived yet, oldest first, NULL-terminated. Caller frees with
 * result_list_free(). */
_must_check_ int result_list(int dirfd, char ***ret);
char **result_list_free(char **list);
DEFINE_CLEANUP(char **, result_list_free);
/* The query server has it. A txid that is not there is success. */
_must_check_ int result_archived(int dirfd, const char *txid);

/* The last n results, newest last, as a JSON array. Caller frees. */
_must_check_ int result_history(int dirfd, size_t n, char **ret_json);

#endif
