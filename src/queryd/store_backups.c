/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/store_backups.h"

#include "store_private.h"

const char store_backups_schema[] =
	"CREATE TABLE IF NOT EXISTS backups ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" identity TEXT NOT NULL,"
	" version TEXT NOT NULL,"
	" tar_sha256 TEXT NOT NULL,"
	" sha256 TEXT NOT NULL,"
	" length_bytes INTEGER NOT NULL,"
	" state INTEGER NOT NULL,"
	" made_sec INTEGER NOT NULL,"
	" told_sec INTEGER NOT NULL,"
	" UNIQUE (identity, version)"
	");"
	"CREATE INDEX IF NOT EXISTS backups_of_sha256 ON backups (sha256);";

enum statement {
	GET,
	PUT,
	SET_STATE,
	TELL,
	REMOVE,
	HAS_FILE,
	COUNT,
	OLDEST,
	EACH,
	_STATEMENT_MAX,
};
_Static_assert(_STATEMENT_MAX == STORE_BACKUPS_STATEMENTS, "struct store has room for them");

#define COLUMNS "id, identity, version, tar_sha256, sha256, length_bytes, state, made_sec, told_sec"

static const char *const statement_sql[_STATEMENT_MAX] = {
	[GET] = "SELECT " COLUMNS " FROM backups WHERE identity = ?1 AND version = ?2",
	[PUT] = "INSERT OR REPLACE INTO backups (identity, version, tar_sha256, sha256,"
		" length_bytes, state, made_sec, told_sec)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SET_STATE] = "UPDATE backups SET state = ?2 WHERE id = ?1",
	[TELL] = "UPDATE backups SET told_sec = ?2 WHERE id = ?1",
	[REMOVE] = "DELETE FROM backups WHERE id = ?1",
	[HAS_FILE] = "SELECT 1 FROM backups WHERE sha256 = ?1 AND state = 1",
	[COUNT] = "SELECT 1 FROM backups WHERE identity = ?1",
	[OLDEST] = "SELECT " COLUMNS " FROM backups WHERE identity = ?1"
		   " ORDER BY told_sec, id LIMIT 1",
	[EACH] = "SELECT " COLUMNS " FROM backups WHERE id > ?1 AND (?2 IS NULL OR identity = ?2)"
		 " AND (?3 = 0 OR told_sec < ?3) ORDER BY id LIMIT ?4",
};

int store_backups_prepare(struct store *s)
{
	int code = SQLITE_OK;

	for (unsigned i = 0; i < _STATEMENT_MAX && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(s->archive, statement_sql[i], -1,
					  SQLITE_PREPARE_PERSISTENT, &s->backups[i], NULL);
	return code;
}

static sqlite3_stmt *begin(struct store *s, enum statement which)
{
	(void)pthread_mutex_lock(&s->lock);
	return s->backups[which];
}

static int end(struct store *s, int r)
{
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* ---- rows ---- */

static void take_text(char *ret, size_t size, sqlite3_stmt *statement, int column)
{
	(void)snprintf(ret, size, "%s", sql_text(statement, column));
}

static void take_row(sqlite3_stmt *statement, struct store_backup *ret)
{
	ret->id = (uint64_t)sqlite3_column_int64(statement, 0);
	take_text(ret->identity, sizeof ret->identity, statement, 1);
	take_text(ret->version, sizeof ret->version, statement, 2);
	take_text(ret->tar_sha256, sizeof ret->tar_sha256, statement, 3);
	take_text(ret->sha256, sizeof ret->sha256, statement, 4);
	ret->length_bytes = (uint64_t)sqlite3_column_int64(statement, 5);
	ret->state = (enum store_backup_state)sqlite3_column_int(statement, 6);
	ret->made_sec = sqlite3_column_int64(statement, 7);
	ret->told_sec = sqlite3_column_int64(statement, 8);
}

struct one {
	struct store_backup *ret;
	bool is_found;
};

static int one_row(sqlite3_stmt *statement, void *userdata)
{
	struct one *one = userdata;

	take_row(statement, one->ret);
	one->is_found = true;
	return 0;
}

static int get_one(sqlite3_stmt *statement, int code, struct store_backup *ret)
{
	struct store_backup row = { 0 };
	struct one one = { .ret = &row };
	int r = sql_each(statement, code, one_row, &one);

	if (r < 0)
		return r;
	if (!one.is_found)
		return -ENOENT;
	*ret = row;
	return 0;
}

/* ---- one backup ---- */

int store_get_backup(struct store *s, const char *identity, const char *version,
		     struct store_backup *ret)
{
	const char *const texts[] = { identity, version };
	sqlite3_stmt *statement = begin(s, GET);

	return end(s,
		   get_one(statement, sql_bind_texts(statement, 1, texts, ELEMENTSOF(texts)), ret));
}

int store_put_backup(struct store *s, struct store_backup *backup)
{
	const char *const texts[] = { backup->identity, backup->version, backup->tar_sha256,
				      backup->sha256 };
	const int64_t numbers[] = { sql_id(backup->length_bytes), (int64_t)backup->state,
				    backup->made_sec, backup->told_sec };
	sqlite3_stmt *statement = begin(s, PUT);
	int r, code = sql_bind_texts(statement, 1, texts, ELEMENTSOF(texts));

	for (size_t i = 0; i < ELEMENTSOF(numbers) && code == SQLITE_OK; i++)
		code = sqlite3_bind_int64(statement, 5 + (int)i, numbers[i]);
	r = sql_run(statement, code);
	if (r >= 0)
		backup->id = (uint64_t)sqlite3_last_insert_rowid(s->archive);
	return end(s, r < 0 ? r : 0);
}

static int set(struct store *s, enum statement which, uint64_t id, int64_t value)
{
	sqlite3_stmt *statement = begin(s, which);
	int code = sqlite3_bind_int64(statement, 1, sql_id(id));

	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 2, value);
	return end(s, sql_run(statement, code));
}

int store_set_backup_state(struct store *s, uint64_t id, enum store_backup_state state)
{
	return set(s, SET_STATE, id, (int64_t)state);
}

int store_tell_backup(struct store *s, uint64_t id, int64_t told_sec)
{
	return set(s, TELL, id, told_sec);
}

int store_remove_backup(struct store *s, uint64_t id)
{
	sqlite3_stmt *statement = begin(s, REMOVE);

	return end(s, sql_run(statement, sqlite3_bind_int64(statement, 1, sql_id(id))));
}

/* ---- many ---- */

int store_has_backup_file(struct store *s, const char *sha256)
{
	sqlite3_stmt *statement = begin(s, HAS_FILE);

	return end(s, sql_has(statement, sql_bind_text(statement, 1, sha256)));
}

static int count_row(sqlite3_stmt *statement, void *userdata)
{
	(void)statement;
	++*(int *)userdata;
	return 0;
}

int store_count_backups(struct store *s, const char *identity)
{
	sqlite3_stmt *statement = begin(s, COUNT);
	int n = 0, r = sql_each(statement, sql_bind_text(statement, 1, identity), count_row, &n);

	return end(s, r < 0 ? r : n);
}

int store_oldest_backup(struct store *s, const char *identity, struct store_backup *ret)
{
	sqlite3_stmt *statement = begin(s, OLDEST);

	return end(s, get_one(statement, sql_bind_text(statement, 1, identity), ret));
}

struct walk {
	int (*visit)(const struct store_backup *backup, void *userdata);
	void *userdata;
};

static int each_row(sqlite3_stmt *statement, void *userdata)
{
	const struct walk *walk = userdata;
	struct store_backup backup = { 0 };

	take_row(statement, &backup);
	return walk->visit(&backup, walk->userdata);
}

int store_each_backup(struct store *s, const struct store_backup_filter *filter,
		      int (*visit)(const struct store_backup *backup, void *userdata),
		      void *userdata)
{
	struct walk walk = { visit, userdata };
	sqlite3_stmt *statement = begin(s, EACH);
	int code = sqlite3_bind_int64(statement, 1, sql_id(filter->after));

	if (code == SQLITE_OK)
		code = sql_bind_text(statement, 2, filter->identity);
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 3, filter->told_before);
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 4, sql_limit(filter->limit));
	return end(s, sql_each(statement, code, each_row, &walk));
}
