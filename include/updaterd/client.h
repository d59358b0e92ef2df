/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The installer as others see it: a client of org.bmsgateway.Updater1 (docs/PROTOCOL.md), used by
 * the agent and by the command line.
 */
#ifndef UPDATERD_CLIENT_H
#define UPDATERD_CLIENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/digest.h"
#include "common/json.h"
#include "common/version.h"
#include "updaterd/failure.h"

struct client;

/* Connects to the system bus and listens for Progress and Finished. */
_must_check_ int client_open(struct client **ret, struct failure *failure);
struct client *client_close(struct client *c);
DEFINE_CLEANUP(struct client *, client_close);

/* The calls. -EACCES (not permitted), -EBUSY (a transaction is under way), -ECONNREFUSED (no bus, or
 * the installer cannot be started), -EPERM (refused; the reason is the installer's), -EPROTO. */
_must_check_ int client_status(struct client *c, cJSON **ret, struct failure *failure);
_must_check_ int client_history(struct client *c, uint32_t n, cJSON **ret, struct failure *failure);
/* An array of objects. */
_must_check_ int client_results(struct client *c, cJSON **ret, struct failure *failure);
_must_check_ int client_archived(struct client *c, const char *txid, struct failure *failure);
_must_check_ int client_install(struct client *c, int metadata_fd, int file_fd, const char *target,
				const char *txid, const char *share, struct failure *failure);
/* Caller frees ret_txid. */
_must_check_ int client_rollback(struct client *c, char program, char **ret_txid,
				 struct failure *failure);

/* The same with a file that was fetched for it. */
_must_check_ int client_rollback_with(struct client *c, int metadata_fd, int file_fd,
				      const char *target, const char *share, char **ret_txid,
				      struct failure *failure);

#define CLIENT_MAX_BACKUPS 64u
struct client_backup {
	struct version version;
	char tar_sha256[SHA256_HEX_LENGTH + 1];
	bool is_here;
	int64_t told_sec; /* when the query server last said that it holds it; 0: never */
};
/* Returns how many there are; the caller frees. */
_must_check_ int client_backups(struct client *c, struct client_backup **ret,
				struct failure *failure);
/* Returns a descriptor for reading. */
_must_check_ int client_backup(struct client *c, const struct version *version,
			       struct failure *failure);
_must_check_ int client_backup_held(struct client *c, const struct version *version,
				    const char *tar_sha256, struct failure *failure);
_must_check_ int client_put_back(struct client *c, const struct version *version, int fd,
				 struct failure *failure);

/* Prove of the installer on trial (updaterd/prove.h): its Status. Needs no struct client. */
_must_check_ int client_prove(int metadata_fd, char **ret_status, struct failure *failure);

/* The installer answers, and this transaction is under way there or has ended. */
bool client_knows(struct client *c, const char *txid);

typedef void (*client_progress_fn)(void *userdata, char program, enum step step, unsigned percent);

/* Waits for the end of a transaction. If the installer goes away meanwhile it is started again (it
 * recovers) and asked for the result. -ETIMEDOUT after limit_sec. *ret is the result, as in Results. */
_must_check_ int client_follow(struct client *c, const char *txid, uint64_t limit_sec,
			       client_progress_fn progress, void *userdata, cJSON **ret,
			       struct failure *failure);

/* Out of a Status: the version that runs (-ENOENT if none), and is this version quarantined? */
_must_check_ int client_status_current(const cJSON *status, char program, struct version *ret);
bool client_status_is_quarantined(const cJSON *status, const struct version *version);
/* A person has said that the program stays as it is for now. */
bool client_status_is_held(const cJSON *status, char program, int64_t now_sec);

#endif
