/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/store.h"

#include <stdbool.h>
#include <string.h>

#include "store_private.h"

#define SCHEMA_VERSION	1
#define BUSY_TIMEOUT_MS 5000

static const char schema[] = "CREATE TABLE gateways ("
			     " identity TEXT PRIMARY KEY NOT NULL,"
			     " arch TEXT NOT NULL,"
			     " model TEXT NOT NULL,"
			     " versions TEXT NOT NULL,"
			     " first_seen_sec INTEGER NOT NULL,"
			     " last_seen_sec INTEGER NOT NULL"
			     ") WITHOUT ROWID;"
			     "CREATE TABLE results ("
			     " id INTEGER PRIMARY KEY AUTOINCREMENT,"
			     " txid TEXT NOT NULL UNIQUE,"
			     " identity TEXT NOT NULL,"
			     " program TEXT NOT NULL,"
			     " from_version TEXT NOT NULL,"
			     " to_version TEXT NOT NULL,"
			     " outcome TEXT NOT NULL,"
			     " step TEXT NOT NULL,"
			     " reason TEXT NOT NULL,"
			     " received_sec INTEGER NOT NULL,"
			     " body TEXT NOT NULL"
			     ");"
			     "CREATE INDEX results_of_identity ON results (identity, id);"
			     "CREATE TABLE blacklist ("
			     " version TEXT NOT NULL,"
			     " identity TEXT NOT NULL,"
			     " note TEXT NOT NULL,"
			     " added_sec INTEGER NOT NULL,"
			     " PRIMARY KEY (version, identity)"
			     ") WITHOUT ROWID;"
			     "PRAGMA user_version = 1;";

enum statement {
	RECORD_GATEWAY, /* on the connection 'seen', all others on 'archive' */
	EACH_GATEWAY,
	BEGIN,
	COMMIT,
	ROLLBACK,
	HAS_RESULT,
	ARCHIVE_RESULT,
	UPDATE_VERSIONS,
	RESULTS_OLDEST,
	RESULTS_NEWEST,
	IS_BLACKLISTED,
	BLACKLIST_ADD,
	BLACKLIST_NOTE,
	BLACKLIST_REMOVE,
	EACH_BLACKLIST,
	_STATEMENT_MAX,
};
_Static_assert(_STATEMENT_MAX <= STORE_STATEMENTS, "struct store has room for them");

#define RESULT_FILTER                                                                              \
	"id > ?1 AND id < ?2 AND (?3 IS NULL OR identity = ?3) AND (?4 IS NULL OR program = ?4)"

static const char *const statement_sql[_STATEMENT_MAX] = {
	[RECORD_GATEWAY] = "INSERT INTO gateways (identity, arch, model, versions, first_seen_sec,"
			   " last_seen_sec) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
			   " ON CONFLICT (identity) DO UPDATE SET arch = excluded.arch,"
			   " model = excluded.model, versions = excluded.versions,"
			   " last_seen_sec = excluded.last_seen_sec",
	[EACH_GATEWAY] = "SELECT identity, arch, model, versions, first_seen_sec, last_seen_sec"
			 " FROM gateways WHERE identity > ?1 ORDER BY identity LIMIT ?2",
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[HAS_RESULT] = "SELECT 1 FROM results WHERE txid = ?1",
	[ARCHIVE_RESULT] = "INSERT INTO results (txid, identity, program, from_version,"
			   " to_version, outcome, step, reason, received_sec, body)"
			   " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
			   " ON CONFLICT (txid) DO NOTHING",
	[UPDATE_VERSIONS] = "UPDATE gateways SET versions = ?2, last_seen_sec = ?3"
			    " WHERE identity = ?1",
	[RESULTS_OLDEST] = "SELECT id, received_sec, body FROM results WHERE " RESULT_FILTER
			   " ORDER BY id LIMIT ?5",
	/* The newest ones, turned round again. */
	[RESULTS_NEWEST] = "SELECT id, received_sec, body FROM ("
			   "SELECT id, received_sec, body FROM results WHERE " RESULT_FILTER
			   " ORDER BY id DESC LIMIT ?5) ORDER BY id",
	[IS_BLACKLISTED] = "SELECT 1 FROM blacklist WHERE version = ?1 AND identity = ?2",
	[BLACKLIST_ADD] = "INSERT INTO blacklist (version, identity, note, added_sec)"
			  " VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
	[BLACKLIST_NOTE] = "UPDATE blacklist SET note = ?3 WHERE version = ?1 AND identity = ?2",
	[BLACKLIST_REMOVE] = "DELETE FROM blacklist WHERE version = ?1 AND identity = ?2",
	[EACH_BLACKLIST] = "SELECT version, identity, note, added_sec FROM blacklist"
			   " WHERE ?1 IS NULL OR version = ?1 ORDER BY version, identity",
};

/* ---- opening ---- */

static int open_connection(const char *path, const char *synchronous, sqlite3 **ret)
{
	char pragmas[160];
	int code;

	code = sqlite3_open_v2(
		path, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK)
		return code;
	(void)sqlite3_extended_result_codes(*ret, 1);
	(void)sqlite3_busy_timeout(*ret, BUSY_TIMEOUT_MS);
	(void)sqlite3_db_config(*ret, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)snprintf(pragmas, sizeof pragmas,
		       "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s;"
		       "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
		       synchronous);
	return sqlite3_exec(*ret, pragmas, NULL, NULL, NULL);
}

static int read_schema_version(sqlite3 *db, int *ret)
{
	sqlite3_stmt *statement = NULL;
	int code;

	code = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret = sqlite3_column_int(statement, 0);
	(void)sqlite3_finalize(statement);
	return code == SQLITE_ROW ? SQLITE_OK : code;
}

/* One transaction: a database is empty or has the whole schema. */
static int make_schema(sqlite3 *db)
{
	int version = 0, code;

	code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = read_schema_version(db, &version);
	if (code == SQLITE_OK && version == 0)
		code = sqlite3_exec(db, schema, NULL, NULL, NULL);
	/* Added, so that an older queryd can go on with the same database. */
	if (code == SQLITE_OK && version <= SCHEMA_VERSION)
		code = sqlite3_exec(db, store_backups_schema, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		return sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

static int prepare_all(struct store *s)
{
	for (unsigned i = 0; i < _STATEMENT_MAX; i++) {
		int code = sqlite3_prepare_v3(i == RECORD_GATEWAY ? s->seen : s->archive,
					      statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
					      &s->statements[i], NULL);

		if (code != SQLITE_OK)
			return code;
	}
	return store_backups_prepare(s);
}

static int open_failed(const char *path, int error, const char *why, char **ret_error)
{
	if (ret_error && asprintf(ret_error, "%s: %s", path, why) < 0)
		*ret_error = NULL;
	return error;
}

int store_open(const char *path, struct store **ret, char **ret_error)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof *s);
	int version = 0, code;

	if (!s || pthread_mutex_init(&s->lock, NULL) != 0)
		return open_failed(path, -ENOMEM, "out of memory", ret_error);
	code = open_connection(path, "FULL", &s->archive);
	if (code == SQLITE_OK)
		code = make_schema(s->archive);
	if (code == SQLITE_OK)
		code = read_schema_version(s->archive, &version);
	if (code != SQLITE_OK)
		return open_failed(path, sql_error(code), sqlite3_errmsg(s->archive), ret_error);
	if (version != SCHEMA_VERSION)
		return open_failed(path, -EPROTONOSUPPORT, "was made by a newer queryd", ret_error);
	code = open_connection(path, "NORMAL", &s->seen);
	if (code != SQLITE_OK)
		return open_failed(path, sql_error(code), sqlite3_errmsg(s->seen), ret_error);
	code = prepare_all(s);
	if (code != SQLITE_OK)
		return open_failed(path, sql_error(code), sqlite3_errmsg(s->archive), ret_error);
	*ret = TAKE_PTR(s);
	return 0;
}

struct store *store_close(struct store *s)
{
	if (!s)
		return NULL;
	for (unsigned i = 0; i < _STATEMENT_MAX; i++)
		(void)sqlite3_finalize(s->statements[i]);
	for (unsigned i = 0; i < STORE_BACKUPS_STATEMENTS; i++)
		(void)sqlite3_finalize(s->backups[i]);
	(void)sqlite3_close(s->seen);
	(void)sqlite3_close(s->archive);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

static sqlite3_stmt *use(struct store *s, enum statement which)
{
	return s->statements[which];
}

/* ---- gateways ---- */

int store_record_gateway(struct store *s, const struct store_gateway *gateway)
{
	const char *const texts[] = { gateway->identity, gateway->arch, gateway->model,
				      gateway->versions };
	sqlite3_stmt *statement = use(s, RECORD_GATEWAY);
	int code, r;

	(void)pthread_mutex_lock(&s->lock);
	code = sql_bind_texts(statement, 1, texts, ELEMENTSOF(texts));
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 5, gateway->first_seen_sec);
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 6, gateway->last_seen_sec);
	r = sql_run(statement, code);
	(void)pthread_mutex_unlock(&s->lock);
	return r < 0 ? r : 0;
}

struct gateway_walk {
	int (*visit)(const struct store_gateway *gateway, void *userdata);
	void *userdata;
};

static int gateway_row(sqlite3_stmt *statement, void *userdata)
{
	const struct gateway_walk *walk = userdata;
	struct store_gateway gateway = {
		.identity = sql_text(statement, 0),
		.arch = sql_text(statement, 1),
		.model = sql_text(statement, 2),
		.versions = sql_text(statement, 3),
		.first_seen_sec = sqlite3_column_int64(statement, 4),
		.last_seen_sec = sqlite3_column_int64(statement, 5),
	};

	return walk->visit(&gateway, walk->userdata);
}

int store_each_gateway(struct store *s, const char *after, uint64_t limit,
		       int (*visit)(const struct store_gateway *gateway, void *userdata),
		       void *userdata)
{
	struct gateway_walk walk = { visit, userdata };
	sqlite3_stmt *statement = use(s, EACH_GATEWAY);
	int code, r;

	(void)pthread_mutex_lock(&s->lock);
	code = sql_bind_text(statement, 1, after);
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 2, sql_limit(limit));
	r = sql_each(statement, code, gateway_row, &walk);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* ---- results ---- */

static int insert_result(struct store *s, const struct store_result *result)
{
	const char *const texts[] = { result->txid, result->identity, result->program,
				      result->from, result->to,	      result->outcome,
				      result->step, result->reason };
	sqlite3_stmt *statement = use(s, ARCHIVE_RESULT);
	int code = sql_bind_texts(statement, 1, texts, ELEMENTSOF(texts));

	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 9, result->received_sec);
	if (code == SQLITE_OK)
		code = sql_bind_text(statement, 10, result->body);
	return sql_run(statement, code);
}

static int update_versions(struct store *s, const struct store_result *result)
{
	sqlite3_stmt *statement = use(s, UPDATE_VERSIONS);
	int code = sql_bind_text(statement, 1, result->identity);

	if (code == SQLITE_OK)
		code = sql_bind_text(statement, 2, result->versions);
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 3, result->received_sec);
	return sql_run(statement, code);
}

static int archive_locked(struct store *s, const struct store_result *result)
{
	int is_new, r;

	r = sql_run(use(s, BEGIN), SQLITE_OK);
	if (r < 0)
		return r;
	is_new = insert_result(s, result);
	r = is_new;
	if (is_new > 0 && result->versions)
		r = update_versions(s, result);
	if (r >= 0)
		r = sql_run(use(s, COMMIT), SQLITE_OK);
	if (r >= 0)
		return is_new > 0;
	/* Some errors have ended the transaction already, and then this one fails harmlessly. */
	(void)sql_run(use(s, ROLLBACK), SQLITE_OK);
	return r;
}

int store_archive_result(struct store *s, const struct store_result *result)
{
	int r;

	(void)pthread_mutex_lock(&s->lock);
	/* What is sent again, as it will be, costs no write and no id. */
	r = sql_has(use(s, HAS_RESULT), sql_bind_text(use(s, HAS_RESULT), 1, result->txid));
	if (r == 0)
		r = archive_locked(s, result);
	else if (r > 0)
		r = 0;
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

struct result_walk {
	int (*visit)(const struct store_result *result, void *userdata);
	void *userdata;
};

static int result_row(sqlite3_stmt *statement, void *userdata)
{
	const struct result_walk *walk = userdata;
	struct store_result result = {
		.id = (uint64_t)sqlite3_column_int64(statement, 0),
		.received_sec = sqlite3_column_int64(statement, 1),
		.body = sql_text(statement, 2),
	};

	return walk->visit(&result, walk->userdata);
}

int store_each_result(struct store *s, const struct store_result_filter *filter,
		      int (*visit)(const struct store_result *result, void *userdata),
		      void *userdata)
{
	struct result_walk walk = { visit, userdata };
	const char *const texts[] = { filter->identity, filter->program };
	sqlite3_stmt *statement = use(s, filter->newest ? RESULTS_NEWEST : RESULTS_OLDEST);
	int code, r;

	(void)pthread_mutex_lock(&s->lock);
	code = sqlite3_bind_int64(statement, 1, sql_id(filter->after));
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 2,
					  filter->before ? sql_id(filter->before) : INT64_MAX);
	if (code == SQLITE_OK)
		code = sql_bind_texts(statement, 3, texts, ELEMENTSOF(texts));
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(statement, 5, sql_limit(filter->limit));
	r = sql_each(statement, code, result_row, &walk);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* ---- blacklist ---- */

int store_is_blacklisted(struct store *s, const char *version, const char *identity)
{
	const char *const texts[] = { version, identity };
	sqlite3_stmt *statement = use(s, IS_BLACKLISTED);
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = sql_has(statement, sql_bind_texts(statement, 1, texts, ELEMENTSOF(texts)));
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

int store_blacklist_add(struct store *s, const struct store_blacklist_entry *entry)
{
	const char *const texts[] = { entry->version, entry->identity, entry->note };
	sqlite3_stmt *add = use(s, BLACKLIST_ADD), *note = use(s, BLACKLIST_NOTE);
	int code, added, r;

	(void)pthread_mutex_lock(&s->lock);
	code = sql_bind_texts(add, 1, texts, ELEMENTSOF(texts));
	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(add, 4, entry->added_sec);
	r = added = sql_run(add, code);
	if (added == 0 && *entry->note)
		r = sql_run(note, sql_bind_texts(note, 1, texts, ELEMENTSOF(texts)));
	(void)pthread_mutex_unlock(&s->lock);
	return r < 0 ? r : added;
}

int store_blacklist_remove(struct store *s, const char *version, const char *identity)
{
	const char *const texts[] = { version, identity };
	sqlite3_stmt *statement = use(s, BLACKLIST_REMOVE);
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = sql_run(statement, sql_bind_texts(statement, 1, texts, ELEMENTSOF(texts)));
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

struct blacklist_walk {
	int (*visit)(const struct store_blacklist_entry *entry, void *userdata);
	void *userdata;
};

static int blacklist_row(sqlite3_stmt *statement, void *userdata)
{
	const struct blacklist_walk *walk = userdata;
	struct store_blacklist_entry entry = {
		.version = sql_text(statement, 0),
		.identity = sql_text(statement, 1),
		.note = sql_text(statement, 2),
		.added_sec = sqlite3_column_int64(statement, 3),
	};

	return walk->visit(&entry, walk->userdata);
}

int store_each_blacklist(struct store *s, const char *version,
			 int (*visit)(const struct store_blacklist_entry *entry, void *userdata),
			 void *userdata)
{
	struct blacklist_walk walk = { visit, userdata };
	sqlite3_stmt *statement = use(s, EACH_BLACKLIST);
	int r;

	(void)pthread_mutex_lock(&s->lock);
	r = sql_each(statement, sql_bind_text(statement, 1, version), blacklist_row, &walk);
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}
