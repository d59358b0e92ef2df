/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/conf.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "common/config.h"
#include "common/fsutil.h"
#include "common/manifest.h"
#include "common/segments.h"
#include "common/version.h"
#include "updaterd/network.h"
#include "updaterd/release_version.h"

#define KIB	(UINT64_C(1) << 10)
#define MIB	(UINT64_C(1) << 20)
#define DAY_SEC 86400

#if defined(__x86_64__)
#define BUILT_FOR_ARCH "amd64"
#elif defined(__aarch64__)
#define BUILT_FOR_ARCH "arm64"
#elif defined(__arm__) && defined(__ARM_PCS_VFP)
#define BUILT_FOR_ARCH "armhf"
#elif defined(__arm__)
#define BUILT_FOR_ARCH "armel"
#elif defined(__i386__)
#define BUILT_FOR_ARCH "i386"
#elif defined(__riscv) && __riscv_xlen == 64
#define BUILT_FOR_ARCH "riscv64"
#elif defined(__mips64)
#define BUILT_FOR_ARCH "mips64el"
#else
#define BUILT_FOR_ARCH "unknown" /* no release fits: arch= has to say what this is */
#endif

static const char *const identity_types[] = { "imei", "machine-id", "name", NULL };
static const char *const backup_words[] = { "local", "server", "both", NULL };
static const char *const metered_words[] = { "yes", "no", "auto", NULL };

#define STRING(s, f)                                                                               \
	{                                                                                          \
		s, #f, CONFIG_STRING, offsetof(struct conf, f), 0, 0, NULL                         \
	}
#define PATH(s, f)                                                                                 \
	{                                                                                          \
		s, #f, CONFIG_PATH, offsetof(struct conf, f), 0, 0, NULL                           \
	}
#define NUMBER(s, f, l, h)                                                                         \
	{                                                                                          \
		s, #f, CONFIG_U64, offsetof(struct conf, f), l, h, NULL                            \
	}
#define CHOICE(s, f, c)                                                                            \
	{                                                                                          \
		s, #f, CONFIG_CHOICE, offsetof(struct conf, f), 0, 0, c                            \
	}

#define PROGRAM "program *"
#define PROGRAM_STRING(f)                                                                          \
	{                                                                                          \
		PROGRAM, #f, CONFIG_STRING, offsetof(struct conf_program, f), 0, 0, NULL           \
	}
#define PROGRAM_PATH(f)                                                                            \
	{                                                                                          \
		PROGRAM, #f, CONFIG_PATH, offsetof(struct conf_program, f), 0, 0, NULL             \
	}
#define PROGRAM_NUMBER(f, l, h)                                                                    \
	{                                                                                          \
		PROGRAM, #f, CONFIG_U64, offsetof(struct conf_program, f), l, h, NULL              \
	}

static const struct config_key keys[] = {
	STRING("server", url),
	PATH("server", ca_file),
	PATH("server", client_cert),
	PATH("server", client_key),
	STRING("server", allowed_hosts),
	CHOICE("gateway", identity_type, identity_types),
	STRING("gateway", identity_value),
	PATH("gateway", identity_file),
	STRING("gateway", identity_command),
	STRING("gateway", model),
	STRING("gateway", arch),
	CHOICE("network", network_type, network_types),
	NUMBER("network", segment_bytes, 0, SEGMENT_MAX_BYTES),
	NUMBER("network", in_flight, 1, 8),
	NUMBER("network", connect_timeout_sec, 1, 600),
	NUMBER("network", request_timeout_sec, 5, 86400),
	NUMBER("network", low_speed_bytes_per_sec, 1, MIB),
	NUMBER("network", low_speed_sec, 5, 3600),
	NUMBER("network", rate_limit_bytes_per_sec, 0, 1024 * MIB),
	NUMBER("network", attempts, 1, 100),
	NUMBER("network", query_timeout_sec, 5, 86400),
	NUMBER("network", metadata_timeout_sec, 5, 86400),
	NUMBER("network", fetch_timeout_sec, 60, 604800),
	NUMBER("network", result_timeout_sec, 5, 86400),
	STRING("network", proxy),
	STRING("network", interface),
	CHOICE("network", metered, metered_words),
	STRING("network", metered_command),
	NUMBER("network", metered_max_bytes, 0, 4096 * MIB),
	{ "backup", "where", CONFIG_CHOICE, offsetof(struct conf, backup_where), 0, 0,
	  backup_words },
	{ "backup", "upload_timeout_sec", CONFIG_U64, offsetof(struct conf, upload_timeout_sec), 60,
	  86400, NULL },
	PATH("trust", root_file),
	NUMBER("trust", max_root_bytes, 4 * KIB, 4 * MIB),
	NUMBER("trust", max_timestamp_bytes, 2 * KIB, MIB),
	NUMBER("trust", max_snapshot_bytes, 4 * KIB, 8 * MIB),
	NUMBER("trust", max_targets_bytes, 4 * KIB, 8 * MIB),
	NUMBER("limits", max_program_bytes, MIB, 4096 * MIB),
	PATH("paths", agent_dir),
	PATH("paths", installer_dir),
	STRING("paths", agent_user),
	PROGRAM_STRING(name),
	PROGRAM_PATH(space),
	PROGRAM_PATH(factory),
	PROGRAM_STRING(unit),
	PROGRAM_STRING(probe),
	PROGRAM_STRING(probe_user),
	PROGRAM_STRING(trial_unit),
	PROGRAM_NUMBER(trial_retry_sec, 1, 3600),
	PROGRAM_NUMBER(trial_extend_max_sec, 0, 604800),
	PROGRAM_NUMBER(ready_timeout_sec, 1, 600),
	PROGRAM_NUMBER(probe_timeout_sec, 1, 3600),
	PROGRAM_NUMBER(settle_sec, 0, 3600),
	PROGRAM_NUMBER(postpone_max_sec, 0, 31536000),
};

static const struct {
	size_t offset;
	const char *value;
} string_defaults[] = {
	{ offsetof(struct conf, identity_type), "machine-id" },
	{ offsetof(struct conf, arch), BUILT_FOR_ARCH },
	{ offsetof(struct conf, network_type), "4g" },
	{ offsetof(struct conf, metered), "no" },
	{ offsetof(struct conf, backup_where), "both" },
	{ offsetof(struct conf, root_file), "/etc/updaterd/root.json" },
	{ offsetof(struct conf, agent_dir), "/var/lib/updaterd/agent" },
	{ offsetof(struct conf, installer_dir), "/var/lib/updaterd/installer" },
	{ offsetof(struct conf, agent_user), "updaterd" },
};

static char **string_at(struct conf *c, size_t offset)
{
	return (char **)(void *)((char *)c + offset);
}

static int set_defaults(struct conf *c)
{
	for (size_t i = 0; i < ELEMENTSOF(string_defaults); i++) {
		char **field = string_at(c, string_defaults[i].offset);

		*field = strdup(string_defaults[i].value);
		if (!*field)
			return -ENOMEM;
	}
	c->query_timeout_sec = 600;
	c->metadata_timeout_sec = 3600;
	c->fetch_timeout_sec = UINT64_C(6) * 3600;
	c->result_timeout_sec = 600;
	c->upload_timeout_sec = 3600;
	c->attempts = 12;
	c->max_program_bytes = 256 * MIB;
	return 0;
}

static int program_set_defaults(struct conf_program *p, char letter)
{
	p->letter = letter;
	p->ready_timeout_sec = 10;
	p->probe_timeout_sec = 60;
	p->settle_sec = 10;
	p->postpone_max_sec = UINT64_C(7) * DAY_SEC;
	p->trial_retry_sec = 60;
	p->trial_extend_max_sec = DAY_SEC;
	if (letter != CONF_OWN_LETTER)
		return 0;
	p->probe_timeout_sec = 600;
	p->trial_unit = strdup("updaterd-trial.service");
	return p->trial_unit ? 0 : -ENOMEM;
}

static struct conf_program *find_program(struct conf *c, char letter)
{
	for (size_t i = 0; i < c->n_programs; i++)
		if (c->programs[i].letter == letter)
			return &c->programs[i];
	return NULL;
}

static void *resolve_program(const char *section, void *userdata)
{
	static const char prefix[] = "program ";
	struct conf *c = userdata;
	struct conf_program *p;
	const char *letter;

	if (strncmp(section, prefix, sizeof prefix - 1) != 0)
		return NULL;
	letter = section + sizeof prefix - 1;
	if (letter[0] < 'A' || letter[0] > 'Z' || letter[1] != '\0')
		return NULL;
	p = find_program(c, letter[0]);
	if (p)
		return p;
	if (c->n_programs == CONF_MAX_PROGRAMS)
		return NULL;
	p = &c->programs[c->n_programs++];
	return program_set_defaults(p, letter[0]) < 0 ? NULL : p;
}

/* A file without any [program] section means the two programs that the project ships. */
static int add_default_programs(struct conf *c)
{
	struct conf_program *a = &c->programs[0], *b = &c->programs[1];

	if (c->n_programs > 0)
		return 0;
	c->n_programs = 2;
	if (program_set_defaults(a, 'A') < 0 || program_set_defaults(b, 'B') < 0)
		return -ENOMEM;
	a->name = strdup("updaterd");
	a->factory = strdup("/usr/lib/updaterd/factory");
	b->name = strdup("bmsd");
	b->factory = strdup("/usr/lib/bmsd/factory");
	b->unit = strdup("bmsd.service");
	b->probe = strdup("{release}/bin/bmsd --probe");
	b->probe_user = strdup("bmsd");
	if (!a->name || !a->factory || !b->name || !b->factory || !b->unit || !b->probe ||
	    !b->probe_user)
		return -ENOMEM;
	return 0;
}

static int check_strings(const struct conf *c, char **ret_error)
{
	for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
		for (size_t j = 0; j < ELEMENTSOF(string_defaults); j++) {
			if (strcmp(keys[i].section, PROGRAM) == 0 ||
			    keys[i].offset != string_defaults[j].offset)
				continue;
			if (!*(const char *const *)(const void *)((const char *)c + keys[i].offset))
				return config_invalid(ret_error, "[%s] %s must not be empty",
						      keys[i].section, keys[i].key);
		}
	}
	if (strlen(c->arch) > ARCH_MAX_LENGTH || !fs_is_safe_name(c->arch))
		return config_invalid(ret_error, "[gateway] arch: '%s' is no architecture's name",
				      c->arch);
	if (c->model && (strlen(c->model) > 64 || !fs_is_safe_name(c->model)))
		return config_invalid(ret_error,
				      "[gateway] model: at most 64 letters, digits and '._+-'");
	return 0;
}

static int check_server(const struct conf *c, char **ret_error)
{
	if (c->url && strncmp(c->url, "https://", 8) != 0)
		return config_invalid(ret_error, "[server] url: '%s' does not start with https://",
				      c->url);
	if (!c->client_cert != !c->client_key)
		return config_invalid(
			ret_error,
			"[server] client_cert and client_key go together: set both or none");
	if (c->segment_bytes > 0 && c->segment_bytes < SEGMENT_MIN_BYTES)
		return config_invalid(ret_error, "[network] segment_bytes: 0, or %u to %u",
				      SEGMENT_MIN_BYTES, SEGMENT_MAX_BYTES);
	return 0;
}

static void fill(uint64_t *value, uint64_t preset)
{
	if (*value == 0)
		*value = preset;
}

/* What stands in the file may not be 0 there, but for segment_bytes, where it means the same. */
static int complete_network(struct conf *c, char **ret_error)
{
	const struct network_preset *p = network_preset(c->network_type);

	if (strcmp(c->metered, "auto") == 0 && !c->metered_command)
		return config_invalid(ret_error, "[network] metered=auto needs metered_command");
	if (!p)
		return -EINVAL;
	fill(&c->segment_bytes, p->segment_bytes);
	fill(&c->in_flight, p->in_flight);
	fill(&c->connect_timeout_sec, p->connect_timeout_sec);
	fill(&c->request_timeout_sec, p->request_timeout_sec);
	fill(&c->low_speed_bytes_per_sec, p->low_speed_bytes_per_sec);
	fill(&c->low_speed_sec, p->low_speed_sec);
	if (c->rate_limit_bytes_per_sec > 0 &&
	    c->rate_limit_bytes_per_sec < c->low_speed_bytes_per_sec)
		return config_invalid(ret_error,
				      "[network] rate_limit_bytes_per_sec is less than "
				      "low_speed_bytes_per_sec: nothing would be fast enough");
	return 0;
}

static int check_identity(const struct conf *c, char **ret_error)
{
	int sources = !!c->identity_value + !!c->identity_file + !!c->identity_command;

	if (sources > 1)
		return config_invalid(ret_error,
				      "[gateway] set one of identity_value, identity_file and "
				      "identity_command");
	if (sources == 0 && strcmp(c->identity_type, "machine-id") != 0)
		return config_invalid(
			ret_error,
			"[gateway] identity_type %s needs identity_value, identity_file or "
			"identity_command",
			c->identity_type);
	return 0;
}

static bool is_unit_name(const char *unit)
{
	size_t length = strlen(unit);

	for (const char *p = unit; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr(":-_.\\@", *p))
			return false;
	return length > 8 && length < 256 && strcmp(unit + length - 8, ".service") == 0;
}

static int complete_program(struct conf_program *p, char **ret_error)
{
	if (!p->name)
		return config_invalid(ret_error, "[program %c] name must be set", p->letter);
	if (!fs_is_safe_name(p->name))
		return config_invalid(ret_error, "[program %c] name: '%s' is no file name",
				      p->letter, p->name);
	if (p->unit && !is_unit_name(p->unit))
		return config_invalid(ret_error,
				      "[program %c] unit: '%s' is no service unit's name",
				      p->letter, p->unit);
	if (p->trial_unit && !is_unit_name(p->trial_unit))
		return config_invalid(ret_error,
				      "[program %c] trial_unit: '%s' is no service unit's name",
				      p->letter, p->trial_unit);
	if (!p->space && asprintf(&p->space, "/opt/%s", p->name) < 0) {
		p->space = NULL;
		return -ENOMEM;
	}
	if (!p->probe_user)
		p->probe_user = strdup("nobody");
	return p->probe_user ? 0 : -ENOMEM;
}

static int by_letter(const void *a, const void *b)
{
	const struct conf_program *x = a, *y = b;

	return x->letter - y->letter;
}

static int complete_programs(struct conf *c, char **ret_error)
{
	int r = add_default_programs(c);

	for (size_t i = 0; r >= 0 && i < c->n_programs; i++)
		r = complete_program(&c->programs[i], ret_error);
	if (r < 0)
		return r;
	qsort(c->programs, c->n_programs, sizeof c->programs[0], by_letter);
	return 0;
}

static bool is_within(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

/* What is pruned, swept and purged in one space must not be anything else's. */
static int check_space(const struct conf *c, size_t i, char **ret_error)
{
	const struct conf_program *p = &c->programs[i];
	const char *const dirs[] = { c->agent_dir, c->installer_dir };

	if (p->space[0] != '/' || !fs_is_safe_path(p->space + 1))
		return config_invalid(ret_error,
				      "[program %c] space: '%s' is no plain absolute path",
				      p->letter, p->space);
	for (size_t j = i + 1; j < c->n_programs; j++)
		if (is_within(p->space, c->programs[j].space) ||
		    is_within(c->programs[j].space, p->space))
			return config_invalid(
				ret_error,
				"[program %c] and [program %c] need a space each, not '%s' "
				"and '%s'",
				p->letter, c->programs[j].letter, p->space, c->programs[j].space);
	for (size_t j = 0; j < ELEMENTSOF(dirs); j++)
		if (is_within(p->space, dirs[j]) || is_within(dirs[j], p->space))
			return config_invalid(ret_error,
					      "[program %c] space: '%s' and '%s' overlap",
					      p->letter, p->space, dirs[j]);
	return 0;
}

static int check_spaces(const struct conf *c, char **ret_error)
{
	int r = 0;

	for (size_t i = 0; i < c->n_programs && r == 0; i++)
		r = check_space(c, i, ret_error);
	return r;
}

int conf_load(const char *path, struct conf **ret, char **ret_error)
{
	_cleanup_(conf_freep) struct conf *c = calloc(1, sizeof *c);
	int r;

	if (!c)
		return -ENOMEM;
	r = set_defaults(c);
	if (r < 0)
		return r;
	r = config_load(path, keys, ELEMENTSOF(keys), c, resolve_program, c, ret_error);
	if (r < 0)
		return r;
	r = complete_programs(c, ret_error);
	if (r >= 0)
		r = check_strings(c, ret_error);
	if (r >= 0)
		r = check_spaces(c, ret_error);
	if (r >= 0)
		r = check_server(c, ret_error);
	if (r >= 0)
		r = complete_network(c, ret_error);
	if (r >= 0)
		r = check_identity(c, ret_error);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

struct conf *conf_free(struct conf *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
		bool is_text = keys[i].type == CONFIG_STRING || keys[i].type == CONFIG_PATH ||
			       keys[i].type == CONFIG_CHOICE;

		if (is_text && strcmp(keys[i].section, PROGRAM) != 0)
			free(*string_at(c, keys[i].offset));
	}
	for (size_t i = 0; i < c->n_programs; i++) {
		free(c->programs[i].name);
		free(c->programs[i].space);
		free(c->programs[i].factory);
		free(c->programs[i].unit);
		free(c->programs[i].probe);
		free(c->programs[i].probe_user);
		free(c->programs[i].trial_unit);
	}
	free(c);
	return NULL;
}

const struct conf_program *conf_program(const struct conf *c, char letter)
{
	for (size_t i = 0; i < c->n_programs; i++)
		if (c->programs[i].letter == letter)
			return &c->programs[i];
	return NULL;
}

static void take_limit(size_t *limit, uint64_t bytes)
{
	if (bytes > 0)
		*limit = (size_t)bytes;
}

struct tuf_limits conf_tuf_limits(const struct conf *c)
{
	struct tuf_limits limits = TUF_LIMITS_DEFAULT;

	take_limit(&limits.root_bytes, c->max_root_bytes);
	take_limit(&limits.timestamp_bytes, c->max_timestamp_bytes);
	take_limit(&limits.snapshot_bytes, c->max_snapshot_bytes);
	take_limit(&limits.targets_bytes, c->max_targets_bytes);
	return limits;
}

/* ---- time ---- */

/* The date in the release's own number stands for the time of the build: it is true to the day and
 * the same for everybody who builds the release again. That day begins in the east before it does in
 * UTC, and a time that has not come yet would make what is signed look expired: hence the day before. */
int64_t conf_build_time_sec(void)
{
	struct version v;
	struct tm tm = { 0 };

	if (version_parse(updaterd_release_version, &v) < 0)
		return 0;
	tm.tm_year = (int)(v.date / 10000) - 1900;
	tm.tm_mon = (int)(v.date / 100 % 100) - 1;
	tm.tm_mday = (int)(v.date % 100);
	return timegm(&tm) - DAY_SEC;
}

int64_t conf_effective_time_sec(int64_t last_trusted_sec)
{
	int64_t now = time(NULL), build = conf_build_time_sec();

	if (build > now)
		now = build;
	return last_trusted_sec > now ? last_trusted_sec : now;
}
