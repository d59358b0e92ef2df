/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every handler may use, and the table that leads a request to its handler.
 */
#ifndef QUERYD_SERVICE_H
#define QUERYD_SERVICE_H

#include <stdatomic.h>

#include "queryd/backups.h"
#include "queryd/catalog.h"
#include "queryd/conf.h"
#include "queryd/exchange.h"
#include "queryd/store.h"

struct service {
	const struct queryd_conf *conf;
	struct store *store;
	struct catalog *catalog;
	struct backups *backups;
	const char *admin_token;  /* NULL: /v1/admin is closed */
	atomic_bool store_failed; /* so that a full disk is logged once, not at each request */
	atomic_bool backups_failed;
};

/* Calls the handler of the request's path and method; 404 and 405 are answered here. */
void service_handle(struct service *s, struct request *request, struct answer *ret);

/* A body that is not collected, but taken as it comes: asked before any of it is read. 1 if there is one;
 * 0 if the request is as any other; -ECANCELED if it has been answered. */
_must_check_ int service_begin_upload(struct service *s, struct request *request,
				      struct backup_upload **ret, struct answer *ret_answer);
/* Its body has come, as far as write_error (0: whole) says. Releases the upload. */
void service_end_upload(struct service *s, struct backup_upload *upload, int write_error,
			struct answer *ret);

/* Logs the first of a series of failures of the store, and the end of the series. */
void service_note_store(struct service *s, int error);
/* The same, and answers 503. */
void service_answer_store_error(struct service *s, int error, struct answer *ret);

/* The handlers; each has a file of its own. */
void query_handle(struct service *s, const struct request *request, struct answer *ret);
void results_handle(struct service *s, const struct request *request, struct answer *ret);
void files_handle_metadata(struct service *s, const struct request *request, struct answer *ret);
void files_handle_targets(struct service *s, const struct request *request, struct answer *ret);
void admin_handle_releases(struct service *s, const struct request *request, struct answer *ret);
void admin_handle_gateways(struct service *s, const struct request *request, struct answer *ret);
void admin_handle_results(struct service *s, const struct request *request, struct answer *ret);
void admin_handle_blacklist(struct service *s, const struct request *request, struct answer *ret);
void admin_handle_blacklist_entry(struct service *s, const struct request *request,
				  struct answer *ret);
/* For service_begin_upload() and service_end_upload(). */
int backups_begin_call(struct service *s, const struct request *request, struct backup_upload **ret,
		       struct answer *answer);
void backups_end_call(struct service *s, struct backup_upload *upload, int write_error,
		      struct answer *ret);
void backups_handle(struct service *s, const struct request *request, struct answer *ret);
void admin_handle_backups(struct service *s, const struct request *request, struct answer *ret);
void admin_handle_backup(struct service *s, const struct request *request, struct answer *ret);
/* Any open file, as files_handle_targets() answers; takes fd, which may be a negative errno. */
void files_answer_fd(const struct request *request, int fd, struct answer *ret);
/* True if the request may administrate; otherwise it has been answered. */
bool admin_is_allowed(const struct service *s, const struct request *request, struct answer *ret);

#endif
