/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every handler may use, and the table that leads a request to its handler.
 */
#ifndef QUERYD_SERVICE_H
#define QUERYD_SERVICE_H

#include <stdatomic.h>

#include "queryd/catalog.h"
#include "queryd/conf.h"
#include "queryd/exchange.h"
#include "queryd/store.h"

struct service {
	const struct queryd_conf *conf;
	struct store *store;
	struct catalog *catalog;
	const char *admin_token;  /* NULL: /v1/admin is closed */
	atomic_bool store_failed; /* so that a full disk is logged once, not at each request */
};

/* Calls the handler of the request's path and method; 404 and 405 are answered here. */
void service_handle(struct service *s, struct request *request, struct answer *ret);

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
/* True if the request may administrate; otherwise it has been answered. */
bool admin_is_allowed(const struct service *s, const struct request *request, struct answer *ret);

#endif
