/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent on trial: one whole cycle that changes nothing, in a directory of its own, of which the new
 * installer is the last word (updaterd/prove.h). What went wrong is said to systemd, for the old
 * installer that looks on.
 */
#include "updaterd/agent.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "common/log.h"
#include "updaterd/client.h"
#include "updaterd/context.h"
#include "updaterd/copy_files.h"
#include "updaterd/exit_codes.h"
#include "updaterd/query.h"
#include "updaterd/release_version.h"
#include "updaterd/trust.h"

#define METADATA_MAX_BYTES (8u << 20)
#define METADATA_NAME	   "metadata"

static int tell(const char *step, const struct failure *failure)
{
	log_error("trial: %s: %s (%s)", step, failure->text, reason_name(failure->reason));
	(void)sd_notifyf(0, "STATUS=%s: %s (%s)", step, failure->text,
			 reason_name(failure->reason));
	return failure->reason == REASON_NETWORK || failure->reason == REASON_SERVER_ERROR
		       ? EXIT_TEMPORARY
		       : EXIT_FAILED;
}

/* ---- the old agent's state ---- */

static int open_metadata(const char *agent_dir, int *ret)
{
	_cleanup_close_ int fd = open(agent_dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	*ret = openat(fd, METADATA_NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *ret < 0 ? -errno : 0;
}

static int copy_state(const char *from, const char *to)
{
	_cleanup_close_ int from_fd = FD_NONE, to_fd = FD_NONE;
	_cleanup_free_ char *path = NULL;
	int r;

	r = open_metadata(from, &from_fd);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/" METADATA_NAME, to) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	r = open_metadata(to, &to_fd);
	return r < 0 ? r : copy_files(from_fd, to_fd, METADATA_MAX_BYTES);
}

/* ---- what every cycle begins with ---- */

/* What the installer is given has to fit together, also where something was published since the old agent
 * fetched it. A release that came with the package nobody has signed. */
static int refresh_own_role(struct trust *trust, const struct conf *conf, struct failure *failure)
{
	_cleanup_free_ char *path = NULL;
	struct tuf_target target;
	int r;

	if (asprintf(&path, "%c/%s-%s.tar.xz", CONF_OWN_LETTER, updaterd_release_version,
		     conf->arch) < 0) {
		path = NULL;
		return failure_set_errno(failure, -ENOMEM, "trust");
	}
	r = trust_find_target(trust, path, &target, failure);
	return r == -ENOENT ? 0 : r;
}

/* Without a server there is nothing to reach: such a gateway lives of what people bring. */
static int reach(struct context *c)
{
	_cleanup_(trust_freep) struct trust *trust = NULL;
	_cleanup_(answer_done) struct answer answer = { 0 };
	struct failure failure = { 0 };
	int r;

	if (!c->http)
		return EXIT_OK;
	r = query_ask(c->http, c->conf, &c->identity, c->versions, c->n_versions, &answer,
		      &failure);
	if (r < 0)
		return tell("query", &failure);
	r = trust_refresh(c->conf, c->metadata_fd, &c->time, c->http,
			  answer.file_server ? answer.file_server : c->conf->url, NULL, &trust,
			  &failure);
	if (r >= 0)
		r = refresh_own_role(trust, c->conf, &failure);
	return r < 0 ? tell("trust", &failure) : EXIT_OK;
}

/* In $RUNTIME_DIRECTORY, with a copy of what the agent trusts. *own is the configuration with that. */
static int begin(const struct conf *conf, struct conf *own, struct context **ret)
{
	enum context_needs needs = CONTEXT_DIRECTORIES;
	struct failure failure = { 0 };
	int r;

	*own = *conf;
	own->agent_dir = getenv("RUNTIME_DIRECTORY");
	if (!own->agent_dir) {
		log_error("this is for updaterd's own units: there is no $RUNTIME_DIRECTORY");
		return EXIT_USAGE;
	}
	r = copy_state(conf->agent_dir, own->agent_dir);
	if (r < 0) {
		(void)failure_set_errno(&failure, r, "reading '%s'", conf->agent_dir);
		return tell("state", &failure);
	}
	if (conf->url)
		needs |= CONTEXT_SERVER;
	return context_open(own, needs, NULL, ret);
}

int agent_reach(const struct conf *conf)
{
	_cleanup_(context_closep) struct context *c = NULL;
	struct conf own;
	int code = begin(conf, &own, &c);

	return code == EXIT_OK ? reach(c) : code;
}

/* ---- the new installer ---- */

static int check_status(const char *text, struct failure *failure)
{
	_cleanup_json_ cJSON *status = NULL;
	struct version current;

	if (json_parse(text, strlen(text), NULL, &status, NULL) < 0 ||
	    client_status_current(status, CONF_OWN_LETTER, &current) < 0)
		return failure_set(failure, -EPROTO, REASON_BAD_ANSWER,
				   "the new installer's Status is malformed");
	if (strcmp(current.text, updaterd_release_version) != 0)
		return failure_set(failure, -EPROTO, REASON_WRONG_VERSION,
				   "the new installer says that %s runs, and this is %s",
				   current.text, updaterd_release_version);
	return 0;
}

static int ask_installer(const struct context *c)
{
	_cleanup_free_ char *status = NULL;
	struct failure failure = { 0 };
	int r;

	r = client_prove(c->metadata_fd, &status, &failure);
	if (r >= 0)
		r = check_status(status, &failure);
	return r < 0 ? tell("prove", &failure) : EXIT_OK;
}

/* The installer is asked in any case: where nobody reaches the server that may be all there is. */
int agent_trial(const struct conf *conf)
{
	_cleanup_(context_closep) struct context *c = NULL;
	struct conf own;
	int code, proved;

	code = begin(conf, &own, &c);
	if (code != EXIT_OK)
		return code;
	code = reach(c);
	if (code != EXIT_OK && code != EXIT_TEMPORARY)
		return code;
	proved = ask_installer(c);
	return proved == EXIT_OK ? code : proved;
}
