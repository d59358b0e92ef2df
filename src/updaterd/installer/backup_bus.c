/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/backup_bus.h"

#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "updaterd/backup.h"
#include "updaterd/caller.h"
#include "updaterd/state.h"
#include "updaterd/verify.h"

#define ERROR_BUSY    UPDATER_BUS_IFACE ".Error.Busy"
#define ERROR_REFUSED UPDATER_BUS_IFACE ".Error.Refused"

static void unref_message(sd_bus_message **m)
{
	(void)sd_bus_message_unref(*m);
}

static const struct conf *conf_of(const void *userdata)
{
	return *(const struct conf *const *)userdata;
}

static int parse_version(const char *text, struct version *ret, sd_bus_error *error)
{
	if (version_parse(text, ret) == 0)
		return 0;
	return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "not a version");
}

/* The space of a version's program. */
static int open_store(const struct conf *conf, const struct version *version, struct store **ret,
		      sd_bus_error *error)
{
	const struct conf_program *program = conf_program(conf, version->program);
	int r = program ? store_open(program->space, ret) : -ENOENT;

	return r < 0 ? sd_bus_error_set_errno(error, r) : 0;
}

static int hold_state(const struct conf *conf, struct state **ret, sd_bus_error *error)
{
	int r = state_open(conf, STATE_TRY, ret);

	if (r == -EBUSY)
		return sd_bus_error_setf(error, ERROR_BUSY, "an attempt is under way");
	return r < 0 ? sd_bus_error_set_errno(error, r) : 0;
}

/* ---- which there are ---- */

static int append_backup(sd_bus_message *reply, const struct store *store,
			 const struct version *version)
{
	const char *where = backup_where(store, version);
	char hex[SHA256_HEX_LENGTH + 1];
	uint8_t sha256[SHA256_BYTES];

	if (!where || store_backup_noted(store, version, sha256) < 0)
		return 0;
	hex_encode(sha256, sizeof sha256, hex);
	return sd_bus_message_append(reply, "(sssx)", version->text, where, hex,
				     store_backup_told(store, version));
}

/* A space that is not whole has none to tell of. */
static int append_space(sd_bus_message *reply, const struct conf_program *program)
{
	_cleanup_(store_closep) struct store *store = NULL;
	_cleanup_free_ struct version *versions = NULL;
	size_t n = 0;
	int r = 0;

	if (store_open(program->space, &store) < 0 || store_backup_list(store, &versions, &n) < 0)
		return 0;
	for (size_t i = 0; i < n && r >= 0; i++)
		if (versions[i].program == program->letter)
			r = append_backup(reply, store, &versions[i]);
	return r;
}

int backup_bus_backups(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(unref_message) sd_bus_message *reply = NULL;
	const struct conf *conf = conf_of(userdata);
	int r;

	r = caller_check_agent(conf, m, error);
	if (r >= 0)
		r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(sssx)");
	for (size_t i = 0; r >= 0 && i < conf->n_programs; i++)
		r = append_space(reply, &conf->programs[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

int backup_bus_backup(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(store_closep) struct store *store = NULL;
	const struct conf *conf = conf_of(userdata);
	_cleanup_close_ int fd = FD_NONE;
	struct version version;
	const char *text;
	int r;

	r = caller_check_agent(conf, m, error);
	if (r >= 0)
		r = sd_bus_message_read(m, "s", &text);
	if (r >= 0)
		r = parse_version(text, &version, error);
	if (r >= 0)
		r = open_store(conf, &version, &store, error);
	if (r < 0)
		return r;
	fd = store_backup_open(store, &version);
	if (fd < 0)
		return sd_bus_error_set_errno(error, fd);
	return sd_bus_reply_method_return(m, "h", fd);
}

/* ---- the query server holds one ---- */

static bool is_note(const struct store *store, const struct version *version, const char *hex)
{
	uint8_t noted[SHA256_BYTES], told[SHA256_BYTES];

	return hex_decode(hex, told, sizeof told) == 0 &&
	       store_backup_noted(store, version, noted) == 0 &&
	       memcmp(noted, told, sizeof told) == 0;
}

static int note_held(const struct conf *conf, const struct state *s, struct store *store,
		     const struct version *version)
{
	int r = store_backup_tell(store, version, verify_time(s).now_sec);

	if (r < 0 || strcmp(conf->backup_where, BACKUP_WHERE_SERVER) != 0)
		return r;
	return store_backup_drop(store, version);
}

int backup_bus_held(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(store_closep) struct store *store = NULL;
	_cleanup_(state_closep) struct state *s = NULL;
	const struct conf *conf = conf_of(userdata);
	const char *text, *tar_sha256;
	struct version version;
	int r;

	r = caller_check_agent(conf, m, error);
	if (r >= 0)
		r = sd_bus_message_read(m, "ss", &text, &tar_sha256);
	if (r >= 0)
		r = parse_version(text, &version, error);
	if (r >= 0)
		r = hold_state(conf, &s, error);
	if (r >= 0)
		r = open_store(conf, &version, &store, error);
	if (r < 0)
		return r;
	if (!is_note(store, &version, tar_sha256))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
					 "that is not the backup of %s", version.text);
	r = note_held(conf, s, store, &version);
	return r < 0 ? sd_bus_error_set_errno(error, r) : sd_bus_reply_method_return(m, NULL);
}

/* ---- one comes back ---- */

int backup_bus_put_back(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_(store_closep) struct store *store = NULL;
	_cleanup_(state_closep) struct state *s = NULL;
	const struct conf *conf = conf_of(userdata);
	struct failure failure = { 0 };
	struct version version;
	struct stat st;
	const char *text;
	int fd, r;

	r = caller_check_root(m, error);
	if (r >= 0)
		r = sd_bus_message_read(m, "sh", &text, &fd);
	if (r >= 0)
		r = parse_version(text, &version, error);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
					 "the backup is no regular file");
	r = hold_state(conf, &s, error);
	if (r >= 0)
		r = open_store(conf, &version, &store, error);
	if (r < 0)
		return r;
	if (backup_put_back(store, &version, fd, conf->max_program_bytes, &failure) < 0)
		return sd_bus_error_setf(error, ERROR_REFUSED, "%s: %s",
					 reason_name(failure.reason), failure.text);
	log_notice("the backup of '%s' is back", version.text);
	return sd_bus_reply_method_return(m, NULL);
}
