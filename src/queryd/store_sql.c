/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/log.h"

#include "store_private.h"

int sql_error(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH: return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return -EUCLEAN;
	default: return -EIO;
	}
}

int sql_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
	return sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

int sql_bind_texts(sqlite3_stmt *statement, int first, const char *const *texts, size_t n)
{
	int code = SQLITE_OK;

	for (size_t i = 0; i < n && code == SQLITE_OK; i++)
		code = sql_bind_text(statement, first + (int)i, texts[i]);
	return code;
}

void sql_done(sqlite3_stmt *statement)
{
	(void)sqlite3_reset(statement);
	(void)sqlite3_clear_bindings(statement);
}

int sql_run(sqlite3_stmt *statement, int code)
{
	sqlite3 *db = sqlite3_db_handle(statement);

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code != SQLITE_DONE)
		log_debug("store: %s: %s", sqlite3_sql(statement), sqlite3_errmsg(db));
	sql_done(statement);
	if (code != SQLITE_DONE)
		return sql_error(code);
	return sqlite3_changes(db);
}

const char *sql_text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? (const char *)text : "";
}

int64_t sql_limit(uint64_t limit)
{
	return limit > INT32_MAX ? INT32_MAX : (int64_t)limit;
}

/* An id in the protocol is any u64; in the database it is at most INT64_MAX. */
int64_t sql_id(uint64_t id)
{
	return id > INT64_MAX ? INT64_MAX : (int64_t)id;
}

int sql_each(sqlite3_stmt *statement, int code, int (*row)(sqlite3_stmt *statement, void *userdata),
	     void *userdata)
{
	int r = 0;

	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	while (code == SQLITE_ROW) {
		r = row(statement, userdata);
		if (r != 0)
			break;
		code = sqlite3_step(statement);
	}
	sql_done(statement);
	if (r != 0)
		return r;
	return code == SQLITE_DONE ? 0 : sql_error(code);
}

static int found_row(sqlite3_stmt *statement, void *userdata)
{
	(void)statement;
	*(int *)userdata = 1;
	return 0;
}

int sql_has(sqlite3_stmt *statement, int code)
{
	int found = 0, r = sql_each(statement, code, found_row, &found);

	return r < 0 ? r : found;
}
