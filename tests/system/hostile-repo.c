/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes states of the catalogue of attacks (tests/lib/hostile_repo.h) as directories.
 * hostile-repo VARIANT|--all DIR [TARGETS.json]
 *
 *	DIR/list            a line for each variant, see list_variant()
 *	DIR/ID/metadata/    what the attacker's server has
 *	DIR/ID/trusted/     what the client has kept before, by plain name
 *	DIR/ID/faults       what the server does with which files
 *	DIR/ID/offer        what the query server answers, if it is the attacker's as well
 *	DIR/trusted, DIR/honest, DIR/honest-rotated
 *	                    the repository before, and as its owners publish it in the end: with the
 *	                    next release, and with other timestamp and snapshot keys as well
 *
 * TARGETS.json is the member "targets" of a role B that has a program file.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "hostile_repo.h"

#define TARGETS_MAX_BYTES (4u << 20)

static void write_text(int dirfd, const char *name, const void *bytes, size_t size)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
					0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
}

static int make_directory(int dirfd, const char *name)
{
	int fd;

	assert_true(mkdirat(dirfd, name, 0755) == 0 || errno == EEXIST);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* The earlier timestamps were there for builders only. */
static bool is_on_server(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	return digits == 0 || strcmp(name + digits, ".timestamp.json") != 0;
}

static void write_files(int dirfd, const char *name, const struct repo_files *files)
{
	_cleanup_close_ int fd = make_directory(dirfd, name);

	for (size_t i = 0; i < files->n; i++)
		if (is_on_server(files->list[i].name))
			write_text(fd, files->list[i].name, files->list[i].bytes,
				   files->list[i].size);
}

static void write_offer(int dirfd, const struct hostile_world *w, const struct hostile_variant *v)
{
	const char *version = v->offer.version ? v->offer.version : w->version;
	char text[1024];
	int n;

	n = snprintf(text, sizeof text,
		     "{\"new\":[{\"program\":\"%c\",\"version\":\"%s\",\"target\":\"%s\"}]}",
		     version[0], version, v->offer.target ? v->offer.target : w->target);
	assert_true(n > 0 && (size_t)n < sizeof text);
	write_text(dirfd, "offer", text, (size_t)n);
}

static void write_variant(int dirfd, const struct hostile_world *w, const struct hostile_variant *v)
{
	struct repo *r = hostile_state(w, v);
	_cleanup_close_ int fd = FD_NONE;
	char id[64];

	hostile_id(v, id, sizeof id);
	fd = make_directory(dirfd, id);
	write_files(fd, "metadata", &r->files);
	write_files(fd, "trusted", &r->local);
	write_text(fd, "faults", v->fault ? v->fault : "", v->fault ? strlen(v->fault) : 0);
	write_offer(fd, w, v);
	repo_free(r);
}

static void write_state(int dirfd, const char *name, struct repo *r)
{
	_cleanup_close_ int fd = make_directory(dirfd, name);

	write_files(fd, "metadata", &r->files);
	write_files(fd, "trusted", &r->local);
	write_text(fd, "faults", "", 0);
	repo_free(r);
}

/* ID|ATTACK|WHAT|REASON|AT THE INSTALLER|SAYS|KEPT|TARGET|FLAGS */
static void list_variant(FILE *f, const struct hostile_world *w, const struct hostile_variant *v)
{
	enum reason installer = v->installer_reason ? v->installer_reason : v->reason;
	char id[64];

	hostile_id(v, id, sizeof id);
	(void)fprintf(f, "%s|%s|%s|%s|%s|%s|%s|%s|%s%s%s\n", id, v->attack, v->what,
		      reason_name(v->reason), v->is_agents_only ? "" : reason_name(installer),
		      v->says ? v->says : "", v->kept ? v->kept : "",
		      v->offer.target ? v->offer.target : w->target, v->is_slow ? "slow " : "",
		      v->offer.target ? "query " : "",
		      v->layer == HOSTILE_SOFTWARE ? "software " : "");
}

static void write_all(int dirfd, const struct hostile_world *w, const char *wanted)
{
	int fd = openat(dirfd, "list", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	FILE *f = fdopen(fd, "w");
	unsigned n = 0;
	char id[64];

	assert_non_null(f);
	for (size_t i = 0; i < hostile_n_variants; i++) {
		const struct hostile_variant *v = &hostile_variants[i];

		hostile_id(v, id, sizeof id);
		if (strcmp(wanted, "--all") != 0 && strcmp(wanted, id) != 0)
			continue;
		write_variant(dirfd, w, v);
		list_variant(f, w, v);
		n++;
	}
	assert_int_equal(fclose(f), 0);
	if (n == 0)
		fail_msg("there is no variant '%s'", wanted);
	write_state(dirfd, "trusted", hostile_trusted(w, NULL));
	write_state(dirfd, "honest", hostile_recovered(w, false));
	write_state(dirfd, "honest-rotated", hostile_recovered(w, true));
}

int main(int argc, char **argv)
{
	_cleanup_json_ cJSON *targets = NULL;
	_cleanup_free_ char *bytes = NULL;
	_cleanup_close_ int dirfd = FD_NONE;
	struct json_error error = { 0 };
	struct hostile_world w;
	size_t size;

	if (argc < 3 || argc > 4) {
		(void)fprintf(stderr, "usage: hostile-repo VARIANT|--all DIR [TARGETS.json]\n");
		return 2;
	}
	if (argc == 4 && (fs_read_file(AT_FDCWD, argv[3], TARGETS_MAX_BYTES, &bytes, &size) < 0 ||
			  json_parse(bytes, size, NULL, &targets, &error) < 0)) {
		(void)fprintf(stderr, "hostile-repo: '%s' cannot be read: %s\n", argv[3],
			      error.text);
		return 1;
	}
	hostile_world_init(&w, (int64_t)time(NULL), targets);
	dirfd = make_directory(AT_FDCWD, argv[2]);
	write_all(dirfd, &w, argv[1]);
	hostile_world_done(&w);
	return 0;
}
