/* SPDX-License-Identifier: Apache-2.0 */
/* The verb keygen: a key of its own, for a machine that has no repository. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "release/options.h"
#include "release/passphrase.h"
#include "release/signer.h"

struct keygen_plan {
	const char *name;
	const char *directory;
	const char *token; /* the key is there already */
	enum signer_type type;
	bool type_given, no_passphrase;
};

static int check_free(int dirfd, const struct keygen_plan *plan, struct problem *problem)
{
	static const char *const endings[] = { ".pem", ".uri", ".pub.pem" };

	for (size_t i = 0; i < ELEMENTSOF(endings); i++) {
		char file[SIGNER_NAME_MAX_LENGTH + sizeof ".pub.pem"];
		struct stat st;

		(void)snprintf(file, sizeof file, "%s%s", plan->name, endings[i]);
		if (fstatat(dirfd, file, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return problem_set(problem, -EEXIST,
					   "'%s/%s' is there already; a key is never overwritten",
					   plan->directory, file);
	}
	return 0;
}

static int make_key(const struct options *o, const struct keygen_plan *plan, int dirfd,
		    struct signer **ret, struct problem *problem)
{
	_cleanup_(signer_freep) struct signer *signer = NULL;
	_cleanup_(passphrase_freep) char *passphrase = NULL;
	char name[SIGNER_NAME_MAX_LENGTH + sizeof "the new key ''"];
	int r;

	if (!plan->no_passphrase) {
		(void)snprintf(name, sizeof name, "the new key '%s'", plan->name);
		r = passphrase_read(o->passphrase_file, name, true, &passphrase, problem);
		if (r < 0)
			return r;
	}
	r = signer_generate(plan->type, &signer);
	if (r < 0)
		return problem_set(problem, r, "cannot make a key: %s", strerror(-r));
	r = signer_save(signer, dirfd, plan->name, passphrase);
	if (r < 0)
		return problem_set(problem, r, "cannot write '%s/%s.pem': %s", plan->directory,
				   plan->name, strerror(-r));
	*ret = TAKE_PTR(signer);
	return 0;
}

/* NAME.uri of a key that was made in its token, once it could be opened. */
static int take_token(const struct options *o, const struct keygen_plan *plan, int dirfd,
		      struct signer **ret, struct problem *problem)
{
	_cleanup_(signer_secrets_done) struct signer_secrets secrets = { .pin_file = o->pin_file };
	_cleanup_(signer_freep) struct signer *signer = NULL;
	_cleanup_free_ char *line = NULL;
	char file[SIGNER_NAME_MAX_LENGTH + sizeof ".uri"];
	int r;

	r = signer_open_token(plan->token, &secrets, &signer, problem);
	if (r < 0)
		return r;
	(void)snprintf(file, sizeof file, "%s.uri", plan->name);
	if (asprintf(&line, "%s\n", plan->token) < 0)
		return problem_no_memory(problem);
	r = fs_write_file_atomic(dirfd, file, line, strlen(line), 0600);
	if (r < 0)
		return problem_set(problem, r, "cannot write '%s/%s': %s", plan->directory, file,
				   strerror(-r));
	*ret = TAKE_PTR(signer);
	return 0;
}

static int print(const struct options *o, const struct keygen_plan *plan,
		 const struct signer *signer)
{
	_cleanup_free_ char *public_file = NULL;
	cJSON *answer = NULL;
	int r = 0;

	if (asprintf(&public_file, "%s/%s.pub.pem", plan->directory, plan->name) < 0)
		return -ENOMEM;
	if (!o->json) {
		(void)printf("%s %s %s\nGive '%s' to who keeps the repository.\n", plan->name,
			     signer_type_name(signer_type(signer)), signer_id(signer), public_file);
		return 0;
	}
	answer = cJSON_CreateObject();
	if (cJSON_AddStringToObject(answer, "name", plan->name) &&
	    cJSON_AddStringToObject(answer, "type", signer_type_name(signer_type(signer))) &&
	    cJSON_AddStringToObject(answer, "keyid", signer_id(signer)) &&
	    cJSON_AddStringToObject(answer, "public", public_file))
		r = options_print_json(answer);
	else
		r = -ENOMEM;
	cJSON_Delete(answer);
	return r;
}

static int run(const struct options *o, const struct keygen_plan *plan, struct problem *problem)
{
	_cleanup_(signer_freep) struct signer *signer = NULL;
	_cleanup_close_ int dirfd = open(plan->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dirfd < 0)
		return problem_set(problem, -errno, "cannot open the directory '%s': %m",
				   plan->directory);
	r = check_free(dirfd, plan, problem);
	if (r < 0)
		return r;
	r = plan->token ? take_token(o, plan, dirfd, &signer, problem)
			: make_key(o, plan, dirfd, &signer, problem);
	if (r < 0)
		return r;
	r = signer_save_public(signer, dirfd, plan->name);
	if (r < 0)
		return problem_set(problem, r, "cannot write '%s/%s.pub.pem': %s", plan->directory,
				   plan->name, strerror(-r));
	r = print(o, plan, signer);
	return r < 0 ? problem_no_memory(problem) : 0;
}

/* ---- command line ---- */

enum {
	OPTION_TYPE = OPTION_OWN,
	OPTION_DIR,
	OPTION_NO_PASSPHRASE,
	OPTION_TOKEN,
};

static const struct option keygen_table[] = {
	{ "type", required_argument, NULL, OPTION_TYPE },
	{ "dir", required_argument, NULL, OPTION_DIR },
	{ "no-passphrase", no_argument, NULL, OPTION_NO_PASSPHRASE },
	{ "token", required_argument, NULL, OPTION_TOKEN },
	OPTIONS_COMMON,
	{ 0 },
};

static int parse_option(const struct options *o, int option, struct keygen_plan *plan)
{
	int type;

	switch (option) {
	case OPTION_DIR: plan->directory = optarg; return RELEASE_OK;
	case OPTION_NO_PASSPHRASE: plan->no_passphrase = true; return RELEASE_OK;
	case OPTION_TOKEN: plan->token = optarg; return RELEASE_OK;
	default: break;
	}
	type = signer_type_from_name(optarg);
	if (type < 0)
		return options_usage(o,
				     "--type: '%s' is none of ed25519, ecdsa-p256, ecdsa-p384 and "
				     "rsa",
				     optarg);
	plan->type = (enum signer_type)type;
	plan->type_given = true;
	return RELEASE_OK;
}

static int check_plan(const struct options *o, const struct keygen_plan *plan)
{
	if (!plan->name)
		return options_usage(o, "the name of the key is missing");
	if (!signer_name_is_valid(plan->name))
		return options_usage(o,
				     "'%s' is no name of a key: up to %d letters, digits, '-', "
				     "'_', '+' and '.'",
				     plan->name, SIGNER_NAME_MAX_LENGTH);
	if (plan->token && (plan->type_given || plan->no_passphrase))
		return options_usage(o, "--token names a key that is made already: neither --type "
					"nor --no-passphrase can be given");
	return RELEASE_OK;
}

static int parse(struct options *o, int argc, char **argv, struct keygen_plan *plan, bool *ret_stop)
{
	int option, exit_code = RELEASE_OK;

	*ret_stop = true;
	while ((option = options_next(o, argc, argv, ":", keygen_table, &exit_code)) >= 0) {
		exit_code = parse_option(o, option, plan);
		if (exit_code != RELEASE_OK)
			return exit_code;
	}
	if (option == OPTION_STOP)
		return exit_code;
	if (optind < argc)
		plan->name = argv[optind++];
	if (optind < argc)
		return options_usage(o, "'%s' is too much", argv[optind]);
	exit_code = check_plan(o, plan);
	*ret_stop = exit_code != RELEASE_OK;
	return exit_code;
}

int verb_keygen(struct options *o, int argc, char **argv)
{
	struct keygen_plan plan = { .directory = ".", .type = SIGNER_ED25519 };
	struct problem problem = { 0 };
	bool stop;
	int r = parse(o, argc, argv, &plan, &stop);

	if (stop)
		return r;
	r = run(o, &plan, &problem);
	if (r < 0)
		log_error("%s", problem.text);
	return r < 0 ? RELEASE_FAILED : RELEASE_OK;
}
