/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store from inside: its connections, and what every statement is run with. A prepared statement is
 * bound, run (or walked), and left reset. Callers hold the lock from the first to the last of that.
 */
#ifndef QUERYD_STORE_PRIVATE_H
#define QUERYD_STORE_PRIVATE_H

#include <pthread.h>
#include <sqlite3.h>

#include "queryd/store.h"

#define STORE_STATEMENTS	 16
#define STORE_BACKUPS_STATEMENTS 9

struct store {
	pthread_mutex_t lock;
	sqlite3 *archive; /* synchronous=FULL */
	sqlite3 *seen;	  /* synchronous=NORMAL */
	sqlite3_stmt *statements[STORE_STATEMENTS];
	sqlite3_stmt *backups[STORE_BACKUPS_STATEMENTS]; /* of store_backups.c */
};

extern const char store_backups_schema[];
int store_backups_prepare(struct store *s);

/* SQLite's code as a negative errno. */
int sql_error(int code);
/* NULL binds NULL. The bytes live at least until sql_done(). */
int sql_bind_text(sqlite3_stmt *statement, int index, const char *text);
/* Binds a row of texts to the parameters first, first + 1, … */
int sql_bind_texts(sqlite3_stmt *statement, int first, const char *const *texts, size_t n);
void sql_done(sqlite3_stmt *statement);
/* Runs a statement that gives no rows; code is what binding gave. Returns the rows changed. */
int sql_run(sqlite3_stmt *statement, int code);
/* Calls row for each row of a bound statement; it stops the walk by returning other than 0. */
int sql_each(sqlite3_stmt *statement, int code, int (*row)(sqlite3_stmt *statement, void *userdata),
	     void *userdata);
/* 1 if a bound statement gives a row, 0 if not. */
int sql_has(sqlite3_stmt *statement, int code);
/* Valid until the next step. */
const char *sql_text(sqlite3_stmt *statement, int column);
int64_t sql_limit(uint64_t limit);
int64_t sql_id(uint64_t id);

#endif
