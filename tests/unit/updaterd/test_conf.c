/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/segments.h"
#include "scratch.h"
#include "updaterd/conf.h"
#include "updaterd/network.h"

static int load(struct scratch *s, const char *text, struct conf **ret, char **ret_error)
{
	char path[128];

	scratch_text(s->dirfd, "updaterd.conf", text, 0644);
	(void)snprintf(path, sizeof path, "%s/updaterd.conf", s->path);
	return conf_load(path, ret, ret_error);
}

static struct conf *load_good(struct scratch *s, const char *text)
{
	struct conf *c = NULL;
	char *error = NULL;

	if (load(s, text, &c, &error) < 0)
		fail_msg("%s", error);
	return c;
}

/* The sentence names what is wrong. */
static void assert_refused(struct scratch *s, const char *text, const char *names)
{
	_cleanup_free_ char *error = NULL;
	struct conf *c = NULL;

	assert_int_equal(load(s, text, &c, &error), -EINVAL);
	assert_null(c);
	assert_non_null(error);
	if (!strstr(error, names))
		fail_msg("'%s' does not name '%s'", error, names);
}

static void test_defaults(void **state)
{
	_cleanup_(conf_freep) struct conf *c = load_good(*state, "");

	assert_null(c->url);
	assert_string_equal(c->identity_type, "machine-id");
	assert_string_equal(c->network_type, "4g");
	assert_int_equal(c->segment_bytes, 10240);
	assert_string_equal(c->metered, "no");
	assert_string_equal(c->backup_where, "both");
	assert_int_equal(c->upload_timeout_sec, 3600);
	assert_string_equal(c->root_file, "/etc/updaterd/root.json");
	assert_string_equal(c->agent_dir, "/var/lib/updaterd/agent");
	assert_string_equal(c->installer_dir, "/var/lib/updaterd/installer");
	assert_string_equal(c->agent_user, "updaterd");
	assert_true(c->query_timeout_sec > 0 && c->metadata_timeout_sec > 0 &&
		    c->result_timeout_sec > 0 && c->fetch_timeout_sec > 0 &&
		    c->max_program_bytes > 0);
	assert_int_equal(c->n_programs, 2);
	assert_string_equal(conf_program(c, 'A')->space, "/opt/updaterd");
	assert_null(conf_program(c, 'A')->unit);
	assert_string_equal(conf_program(c, 'A')->trial_unit, "updaterd-trial.service");
	assert_int_equal(conf_program(c, 'B')->probe_timeout_sec, 60);
	assert_int_equal(conf_program(c, 'B')->postpone_max_sec, 604800);
	assert_null(conf_program(c, 'B')->trial_unit);
	assert_string_equal(conf_program(c, 'B')->space, "/opt/bmsd");
	assert_string_equal(conf_program(c, 'B')->unit, "bmsd.service");
	assert_null(conf_program(c, 'C'));
}

static void test_shipped_file(void **state)
{
	_cleanup_(conf_freep) struct conf *shipped = NULL, *defaults = load_good(*state, "");
	_cleanup_free_ char *error = NULL;

	if (conf_load("etc/updaterd.conf", &shipped, &error) < 0)
		fail_msg("%s", error);
	/* It shows the defaults, and says so. */
	assert_int_equal(shipped->n_programs, defaults->n_programs);
	for (size_t i = 0; i < shipped->n_programs; i++) {
		assert_string_equal(shipped->programs[i].name, defaults->programs[i].name);
		assert_string_equal(shipped->programs[i].space, defaults->programs[i].space);
		assert_string_equal(shipped->programs[i].factory, defaults->programs[i].factory);
	}
	assert_string_equal(shipped->programs[1].unit, defaults->programs[1].unit);
	assert_string_equal(shipped->programs[1].probe, defaults->programs[1].probe);
	assert_string_equal(shipped->programs[1].probe_user, defaults->programs[1].probe_user);
}

/* Every key that the shipped file shows as a comment exists, and is shown with its default. */
static void test_shipped_comments(void **state)
{
	_cleanup_(conf_freep) struct conf *c = NULL, *defaults = load_good(*state, "");
	_cleanup_free_ char *text = NULL;
	size_t size;

	assert_int_equal(fs_read_file(AT_FDCWD, "etc/updaterd.conf", 65536, &text, &size), 0);
	for (char *p = text; (p = strstr(p, "\n#")); p++) {
		size_t key = strspn(p + 2, "abcdefghijklmnopqrstuvwxyz_");

		if (key == 0 || p[2 + key] != '=')
			continue;
		p[1] = ' ';
		/* These three exclude each other. */
		if (strncmp(p + 2, "identity_file", key) == 0 ||
		    strncmp(p + 2, "identity_command", key) == 0 ||
		    strncmp(p + 2, "identity_value", key) == 0)
			p[1] = '#';
		if (p[1] == ' ')
			memmove(p + 1, p + 2, strlen(p + 1));
	}
	c = load_good(*state, text);
	assert_non_null(c->url);
	assert_non_null(c->client_key);
	assert_string_equal(c->network_type, defaults->network_type);
	assert_int_equal(c->segment_bytes, defaults->segment_bytes);
	assert_int_equal(c->in_flight, defaults->in_flight);
	assert_int_equal(c->connect_timeout_sec, defaults->connect_timeout_sec);
	assert_int_equal(c->request_timeout_sec, defaults->request_timeout_sec);
	assert_int_equal(c->low_speed_bytes_per_sec, defaults->low_speed_bytes_per_sec);
	assert_int_equal(c->low_speed_sec, defaults->low_speed_sec);
	assert_int_equal(c->rate_limit_bytes_per_sec, defaults->rate_limit_bytes_per_sec);
	assert_int_equal(c->query_timeout_sec, defaults->query_timeout_sec);
	assert_int_equal(c->metadata_timeout_sec, defaults->metadata_timeout_sec);
	assert_int_equal(c->fetch_timeout_sec, defaults->fetch_timeout_sec);
	assert_int_equal(c->result_timeout_sec, defaults->result_timeout_sec);
	assert_int_equal(c->attempts, defaults->attempts);
	assert_string_equal(c->metered, defaults->metered);
	assert_int_equal(c->max_program_bytes, defaults->max_program_bytes);
	assert_string_equal(c->root_file, defaults->root_file);
	assert_int_equal(c->max_root_bytes, TUF_ROOT_MAX_BYTES);
	assert_int_equal(c->max_timestamp_bytes, TUF_TIMESTAMP_MAX_BYTES);
	assert_int_equal(c->max_snapshot_bytes, TUF_SNAPSHOT_MAX_BYTES);
	assert_int_equal(c->max_targets_bytes, TUF_TARGETS_MAX_BYTES);
	assert_string_equal(c->agent_dir, defaults->agent_dir);
	assert_string_equal(c->installer_dir, defaults->installer_dir);
	assert_string_equal(c->agent_user, defaults->agent_user);
}

static void test_tuf_limits(void **state)
{
	_cleanup_(conf_freep) struct conf *none = load_good(*state, "");
	_cleanup_(conf_freep) struct conf *some = load_good(
		*state, "[trust]\nmax_root_bytes=4096\nmax_timestamp_bytes=1048576\n"
			"max_snapshot_bytes=8388608\nmax_targets_bytes=5000\n");
	const struct tuf_limits standard = TUF_LIMITS_DEFAULT;
	struct tuf_limits limits = conf_tuf_limits(none);

	assert_memory_equal(&limits, &standard, sizeof limits);
	limits = conf_tuf_limits(some);
	assert_int_equal(limits.root_bytes, 4096);
	assert_int_equal(limits.timestamp_bytes, 1048576);
	assert_int_equal(limits.snapshot_bytes, 8388608);
	assert_int_equal(limits.targets_bytes, 5000);
	assert_int_equal(limits.roles, standard.roles);
	assert_int_equal(limits.root_rotations, standard.root_rotations);
	assert_refused(*state, "[trust]\nmax_root_bytes=0\n", "max_root_bytes");
	assert_refused(*state, "[trust]\nmax_root_bytes=4194305\n", "max_root_bytes");
	assert_refused(*state, "[trust]\nmax_timestamp_bytes=2047\n", "max_timestamp_bytes");
	assert_refused(*state, "[trust]\nmax_snapshot_bytes=8388609\n", "max_snapshot_bytes");
	assert_refused(*state, "[trust]\nmax_targets_bytes=-1\n", "max_targets_bytes");
}

static void test_programs(void **state)
{
	_cleanup_(conf_freep) struct conf *c = load_good(
		*state, "[program M]\nname=mosquitto\nunit=mosquitto.service\n"
			"ready_timeout_sec=33\n"
			"[program B]\nname=bmsd\nspace=/srv/bmsd\nprobe=/bin/true\n");

	assert_int_equal(c->n_programs, 2);
	assert_int_equal(c->programs[0].letter, 'B');
	assert_int_equal(c->programs[1].letter, 'M');
	assert_string_equal(c->programs[0].space, "/srv/bmsd");
	assert_string_equal(c->programs[0].probe_user, "nobody");
	assert_null(c->programs[0].unit);
	assert_string_equal(c->programs[1].space, "/opt/mosquitto");
	assert_int_equal(c->programs[1].ready_timeout_sec, 33);
	assert_null(conf_program(c, 'A'));
}

static void test_programs_refused(void **state)
{
	assert_refused(*state, "[program b]\nname=x\n", "program b");
	assert_refused(*state, "[program BB]\nname=x\n", "program BB");
	assert_refused(*state, "[program B]\nspace=/opt/x\n", "name");
	assert_refused(*state, "[program B]\nname=../x\n", "name");
	assert_refused(*state, "[program B]\nname=x\nspace=opt/x\n", "space");
	assert_refused(*state, "[program B]\nname=x\nunit=x\n", "unit");
	assert_refused(*state, "[program B]\nname=x\nunit=x y.service\n", "unit");
	assert_refused(*state, "[program B]\nname=x\nunit=.service\n", "unit");
	assert_refused(*state, "[program B]\nname=x\nready_timeout_sec=0\n", "ready_timeout_sec");
	assert_refused(*state, "[program A]\nname=x\n[program B]\nname=x\n", "space");
	assert_refused(*state, "[program B]\nname=x\nspace=/\n", "space");
	assert_refused(*state, "[program B]\nname=x\nspace=/opt/x/\n", "space");
	assert_refused(*state, "[program B]\nname=x\nspace=/opt/../etc\n", "space");
	assert_refused(*state, "[program A]\nname=x\nspace=/opt\n[program B]\nname=y\n", "space");
	assert_refused(*state, "[program A]\nname=x\n[program B]\nname=y\nspace=/opt/x/y\n",
		       "space");
	assert_refused(*state, "[program B]\nname=x\nspace=/var\n", "overlap");
	assert_refused(*state, "[program B]\nname=x\nspace=/var/lib/updaterd/agent/inbox\n",
		       "overlap");
	assert_refused(*state,
		       "[program A]\nname=a\n[program B]\nname=b\n[program C]\nname=c\n"
		       "[program D]\nname=d\n[program E]\nname=e\n",
		       "program E");
}

/* The trial of updaterd itself, which only it has by itself. */
static void test_trial(void **state)
{
	_cleanup_(conf_freep) struct conf *c = load_good(
		*state, "[program A]\nname=updaterd\n[program B]\nname=bmsd\n");
	_cleanup_(conf_freep) struct conf *given = load_good(
		*state, "[program A]\nname=updaterd\ntrial_unit=\n[program B]\nname=bmsd\n"
			"trial_unit=try.service\ntrial_retry_sec=1\ntrial_extend_max_sec=0\n");

	assert_string_equal(conf_program(c, 'A')->trial_unit, "updaterd-trial.service");
	assert_int_equal(conf_program(c, 'A')->probe_timeout_sec, 600);
	assert_int_equal(conf_program(c, 'A')->trial_retry_sec, 60);
	assert_int_equal(conf_program(c, 'A')->trial_extend_max_sec, 86400);
	assert_null(conf_program(c, 'B')->trial_unit);
	assert_null(conf_program(given, 'A')->trial_unit);
	assert_string_equal(conf_program(given, 'B')->trial_unit, "try.service");
	assert_int_equal(conf_program(given, 'B')->trial_retry_sec, 1);
	assert_int_equal(conf_program(given, 'B')->trial_extend_max_sec, 0);
	assert_refused(*state, "[program A]\nname=updaterd\ntrial_unit=../x.service\n",
		       "trial_unit");
	assert_refused(*state, "[program A]\nname=updaterd\ntrial_retry_sec=0\n",
		       "trial_retry_sec");
	assert_refused(*state, "[program A]\nname=updaterd\ntrial_extend_max_sec=604801\n",
		       "trial_extend_max_sec");
}

static void test_network_types(void **state)
{
	for (size_t i = 0; network_types[i]; i++) {
		const struct network_preset *preset = network_preset(network_types[i]);
		_cleanup_(conf_freep) struct conf *c = NULL;
		char text[128];

		assert_non_null(preset);
		(void)snprintf(text, sizeof text, "[network]\nnetwork_type=%s\nlow_speed_sec=7\n",
			       network_types[i]);
		c = load_good(*state, text);
		assert_int_equal(c->segment_bytes, preset->segment_bytes);
		assert_int_equal(c->in_flight, preset->in_flight);
		assert_int_equal(c->connect_timeout_sec, preset->connect_timeout_sec);
		assert_int_equal(c->request_timeout_sec, preset->request_timeout_sec);
		assert_int_equal(c->low_speed_bytes_per_sec, preset->low_speed_bytes_per_sec);
		/* What the file says goes before it. */
		assert_int_equal(c->low_speed_sec, 7);
		assert_true(c->segment_bytes >= SEGMENT_MIN_BYTES && c->in_flight >= 1 &&
			    c->connect_timeout_sec > 0 && c->request_timeout_sec > 0 &&
			    c->low_speed_bytes_per_sec > 0 && preset->low_speed_sec > 0);
	}
	assert_null(network_preset("5g"));
}

/* Whether 1000 and 1001 bytes are let through when 1000 are the most. */
static void assert_metered(struct scratch *s, const char *network, bool metered)
{
	_cleanup_(conf_freep) struct conf *c = load_good(s, network);
	struct failure failure = { 0 };

	assert_int_equal(network_admit(c, UINT64_MAX, &failure), 0);
	c->metered_max_bytes = 1000;
	assert_int_equal(network_admit(c, 1000, &failure), 0);
	assert_int_equal(network_admit(c, 1001, &failure), metered ? -EAGAIN : 0);
	assert_int_equal(failure.reason, metered ? REASON_NOT_NOW : REASON_NONE);
}

#define AUTO "[network]\nmetered=auto\nmetered_command="

static void test_metered(void **state)
{
	assert_metered(*state, "", false);
	assert_metered(*state, "[network]\nmetered=yes\n", true);
	assert_metered(*state, AUTO "/bin/echo yes\n", true);
	assert_metered(*state, AUTO "/bin/echo yes (guessed)\n", true);
	assert_metered(*state, AUTO "/bin/echo no (guessed)\n", false);
	assert_metered(*state, AUTO "/bin/echo no\n", false);
	/* Who does not know pays. */
	assert_metered(*state, AUTO "/bin/echo nowhere\n", true);
	assert_metered(*state, AUTO "/bin/echo\n", true);
	assert_metered(*state, AUTO "/bin/false\n", true);
	assert_refused(*state, "[network]\nmetered=auto\n", "metered_command");
	assert_refused(*state, "[network]\nmetered=maybe\n", "metered");
	assert_refused(*state, "[backup]\nwhere=nowhere\n", "where");
	assert_refused(*state, "[backup]\nwhere=\n", "where");
	assert_refused(*state, "[backup]\nupload_timeout_sec=59\n", "upload_timeout_sec");
}

static void test_values_refused(void **state)
{
	assert_refused(*state, "[server]\nurl=http://example.com\n", "url");
	assert_refused(*state, "[server]\nclient_cert=/a\n", "client_key");
	assert_refused(*state, "[server]\nca_file=ca.pem\n", "ca_file");
	assert_refused(*state, "[server]\nurll=https://example.com\n", "urll");
	assert_refused(*state, "[sever]\nurl=https://example.com\n", "sever");
	assert_refused(*state, "[network]\nnetwork_type=5g\n", "network_type");
	assert_refused(*state, "[network]\nsegment_bytes=511\n", "segment_bytes");
	assert_refused(*state, "[network]\nsegment_bytes=1048577\n", "segment_bytes");
	assert_refused(*state, "[network]\nsegment_bytes=1k\n", "segment_bytes");
	assert_refused(*state, "[network]\nin_flight=0\n", "in_flight");
	assert_refused(*state, "[network]\nin_flight=9\n", "in_flight");
	assert_refused(*state, "[network]\nconnect_timeout_sec=0\n", "connect_timeout_sec");
	assert_refused(*state, "[network]\nrate_limit_bytes_per_sec=99\n", "low_speed");
	assert_refused(*state, "[limits]\nmax_program_bytes=1\n", "max_program_bytes");
	assert_refused(*state, "[paths]\nagent_dir=\n", "agent_dir");
	assert_refused(*state, "[gateway]\narch=amd/64\n", "arch");
	assert_refused(*state, "[gateway]\nmodel=a b\n", "model");
}

static void test_identity_sources(void **state)
{
	_cleanup_(conf_freep) struct conf *c = load_good(
		*state, "[gateway]\nidentity_type=imei\nidentity_file=/run/imei\n");

	assert_string_equal(c->identity_file, "/run/imei");
	assert_refused(*state, "[gateway]\nidentity_type=imei\n", "identity_value");
	assert_refused(*state, "[gateway]\nidentity_type=name\n", "identity_value");
	assert_refused(*state, "[gateway]\nidentity_type=mac\n", "identity_type");
	assert_refused(*state,
		       "[gateway]\nidentity_type=name\nidentity_value=a\nidentity_file=/b\n",
		       "one of");
}

static void test_missing_file(void **state)
{
	struct scratch *s = *state;
	struct conf *c = NULL;
	char path[128];

	(void)snprintf(path, sizeof path, "%s/none", s->path);
	assert_int_equal(conf_load(path, &c, NULL), -ENOENT);
	assert_null(c);
}

time_t __wrap_time(time_t *t);
static time_t system_clock;

time_t __wrap_time(time_t *t)
{
	if (t)
		*t = system_clock;
	return system_clock;
}

/* The latest of three: the clock, the day of the release, what was trusted last. */
static void test_effective_time(void **state)
{
	const int64_t built = 1627776000 - 86400; /* A202108010001, the day before */

	(void)state;
	assert_int_equal(conf_build_time_sec(), built);
	system_clock = 0;
	assert_int_equal(conf_effective_time_sec(0), built);
	assert_int_equal(conf_effective_time_sec(built + 5), built + 5);
	system_clock = built + 10;
	assert_int_equal(conf_effective_time_sec(0), built + 10);
	assert_int_equal(conf_effective_time_sec(built + 5), built + 10);
	assert_int_equal(conf_effective_time_sec(built + 15), built + 15);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SCRATCH(test_defaults),
		WITH_SCRATCH(test_shipped_file),
		WITH_SCRATCH(test_shipped_comments),
		WITH_SCRATCH(test_tuf_limits),
		WITH_SCRATCH(test_trial),
		WITH_SCRATCH(test_programs),
		WITH_SCRATCH(test_programs_refused),
		WITH_SCRATCH(test_values_refused),
		WITH_SCRATCH(test_identity_sources),
		WITH_SCRATCH(test_network_types),
		WITH_SCRATCH(test_metered),
		WITH_SCRATCH(test_missing_file),
		cmocka_unit_test(test_effective_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
