/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queryctl's side of /v1/admin: calls over queryd's Unix socket, and tables of what they give.
 */
#ifndef QUERYD_CTL_H
#define QUERYD_CTL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/cleanup.h"

/* ---- calls ---- */

struct ctl;

/* On failure *ret_error is a sentence; caller frees. */
_must_check_ int ctl_open(const char *socket, const char *token_file, struct ctl **ret,
			  char **ret_error);
struct ctl *ctl_close(struct ctl *c);
DEFINE_CLEANUP(struct ctl *, ctl_close);

/* One call; path is below /v1/admin/ and may hold a query. body may be NULL. The answer of a 2xx is
 * *ret_json (may be NULL if not wanted), its status the return value. Everything else is negative,
 * with ctl_error(). */
_must_check_ int ctl_call(struct ctl *c, const char *method, const char *path, const char *body,
			  cJSON **ret_json);
const char *ctl_error(const struct ctl *c);

/* All entries of a list that comes in pages, as one {name: […]}. limit 0: no limit. */
_must_check_ int ctl_get_list(struct ctl *c, const char *name, const char *query, cJSON **ret);
_must_check_ int ctl_get_gateways(struct ctl *c, uint64_t limit, cJSON **ret);
/* The newest, newest last. query: "&identity=…" and so on, or "". */
_must_check_ int ctl_get_results(struct ctl *c, const char *query, uint64_t limit, cJSON **ret);

/* query: "&identity=…", or "". In the order in which they were made. */
_must_check_ int ctl_get_backups(struct ctl *c, const char *query, uint64_t limit, cJSON **ret);
/* The bytes of a backup ("imei/490154203237518/B202109010001") into an empty file, checked against what
 * queryd says that they hash to. */
_must_check_ int ctl_get_backup(struct ctl *c, const char *path, int fd);

/* ---- tables ---- */

struct table;

/* headings: NULL-terminated, borrowed. */
_must_check_ int table_new(const char *const *headings, struct table **ret);
struct table *table_free(struct table *t);
DEFINE_CLEANUP(struct table *, table_free);
/* Appends a cell, row by row. Control characters become '?': what a gateway sent must not reach the
 * terminal's own language. A failure is remembered and told by table_print(). */
void table_cell(struct table *t, const char *format, ...) _printf_(2, 3);
/* Columns as wide as their widest cell; the heading is bold on a terminal. */
_must_check_ int table_print(const struct table *t, FILE *to, bool is_terminal);

#endif
