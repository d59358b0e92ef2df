/* SPDX-License-Identifier: Apache-2.0 */
#include "commands_parts.h"

#include <fcntl.h>
#include <string.h>

#include "bmsd/conf.h"
#include "bmsd/records.h"
#include "common/json.h"

static int explain(char **ret_error, const char *what, int error)
{
	if (asprintf(ret_error, "%s: %s", what, strerror(-error)) < 0)
		*ret_error = NULL;
	return error;
}

static int parse(const char *text, cJSON **ret, char **ret_error)
{
	static const struct json_limits limits = { .max_bytes = CLIENT_ANSWER_MAX_BYTES };
	int r = json_parse(text, strlen(text), &limits, ret, NULL);

	return r < 0 ? explain(ret_error, "what is on disk", r) : 0;
}

/* As the daemon reads it; but where there is no file, nobody knows where it would have left anything. */
static int load_conf(const char *path, struct bmsd_conf **ret, char **ret_error)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *conf = NULL;
	int r = bmsd_conf_load_tolerant(path, &conf);

	if (r == 0)
		r = conf->read_error;
	if (r < 0)
		return explain(ret_error, path, r);
	*ret = TAKE_PTR(conf);
	return 0;
}

static int open_dir(const char *path, char **ret_error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? explain(ret_error, path, -errno) : fd;
}

int commands_events_files(const char *config, uint64_t after, cJSON **ret, char **ret_error)
{
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *conf = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = FD_NONE;
	int r;

	r = load_conf(config, &conf, ret_error);
	if (r < 0)
		return r;
	fd = open_dir(conf->state_dir, ret_error);
	if (fd < 0)
		return fd;
	r = records_events_files(fd, after, 0, &text);
	return r < 0 ? explain(ret_error, conf->state_dir, r) : parse(text, ret, ret_error);
}

static const struct bmsd_conf_pack *find_pack(const struct bmsd_conf *conf, unsigned number)
{
	for (size_t i = 0; i < conf->n_packs; i++)
		if (conf->packs[i].number == number)
			return &conf->packs[i];
	return NULL;
}

static int pack_path(const struct bmsd_conf *conf, unsigned number, char **ret, char **ret_error)
{
	const struct bmsd_conf_pack *pack = find_pack(conf, number);

	if (!pack)
		return explain(ret_error, "no such pack is configured", -ENOENT);
	if (asprintf(ret, "%s/packs/%s", conf->state_dir, pack->name) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

int commands_history_files(const char *config, const struct client_range *range, cJSON **ret,
			   char **ret_error)
{
	const struct records_range minutes = { .minutes = range->minutes,
					       .from_sec = range->from_sec,
					       .to_sec = range->to_sec };
	_cleanup_(bmsd_conf_freep) struct bmsd_conf *conf = NULL;
	_cleanup_free_ char *text = NULL, *path = NULL;
	_cleanup_close_ int fd = FD_NONE;
	int r;

	r = load_conf(config, &conf, ret_error);
	if (r >= 0)
		r = pack_path(conf, range->pack, &path, ret_error);
	if (r < 0)
		return r;
	fd = open_dir(path, ret_error);
	if (fd < 0)
		return fd;
	r = records_history_file(fd, &minutes, &text);
	if (r == -EOPNOTSUPP)
		return explain(ret_error, "the seconds are in memory alone", r);
	return r < 0 ? explain(ret_error, path, r) : parse(text, ret, ret_error);
}
