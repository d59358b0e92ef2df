/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one run of the agent works with: its directories, its lock, its connections, who the gateway
 * is, and what runs on it.
 *
 *	agent_dir/lock  metadata/  inbox/  outbox/  quarantined  patience  waiting  answered
 */
#ifndef UPDATERD_CONTEXT_H
#define UPDATERD_CONTEXT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/cleanup.h"
#include "common/http.h"
#include "common/version.h"
#include "updaterd/client.h"
#include "updaterd/conf.h"
#include "updaterd/identity.h"
#include "updaterd/patience.h"
#include "updaterd/progress.h"
#include "updaterd/update_time.h"
#include "updaterd/waiting.h"

struct context {
	const struct conf *conf;   /* borrowed */
	struct progress *progress; /* borrowed; NULL: nobody watches */
	int dir_fd, lock_fd, metadata_fd, inbox_fd, outbox_fd;
	struct update_time time;  /* of this run, from its start to its end */
	struct patience patience; /* that servers asked for, also of earlier runs */
	struct http *http;	  /* NULL without server */
	struct client *client;	  /* NULL: the installer does not answer */
	cJSON *status;		  /* its Status, NULL as well */
	struct identity identity; /* empty if it cannot be told and no server is needed */
	struct version versions[CONF_MAX_PROGRAMS];
	size_t n_versions;
	struct waiting waiting; /* what was offered and waits for another program */
	bool is_replaced;	/* updaterd itself was upgraded */
	bool is_cut_off;	/* an attempt ended for want of the network */
	int exit_code;		/* the worst so far, by context_worsen() */
};

enum context_needs {
	CONTEXT_DIRECTORIES = 1 << 0, /* open and locked */
	CONTEXT_SERVER = 1 << 1,      /* a url must be configured */
	CONTEXT_RETRIES = 1 << 2, /* nobody waits for the end: what is lost is asked for again */
};

/* An exit code, EXIT_OK if all is there; what is not was logged. An installer that does not answer
 * is logged and no failure: what runs is then read from the spaces. */
_must_check_ int context_open(const struct conf *conf, enum context_needs needs,
			      struct progress *progress, struct context **ret);
struct context *context_close(struct context *c);
DEFINE_CLEANUP(struct context *, context_close);

/* Asks again what runs, after an attempt. */
void context_refresh_versions(struct context *c);
/* NULL if none runs. */
const struct version *context_version(const struct context *c, char program);
/* A server asked to be left alone for so long: kept for the next runs as well. 0: it did not. */
void context_ask_patience(struct context *c, uint64_t sec);
/* True while one is to be left alone; logged. */
bool context_is_put_off(const struct context *c);
/* EXIT_FAILED counts more than EXIT_TEMPORARY, that more than EXIT_OK. */
void context_worsen(struct context *c, int exit_code);

#endif
