/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "common/log.h"
#include "common/manifest.h"
#include "common/reltar.h"
#include "common/xz.h"
#include "delta/make.h"
#include "updaterd/adopt.h"
#include "updaterd/recover.h"
#include "updaterd/swap.h"

#define ARCH "amd64"

static char *path_of(struct gateway *g, const char *name)
{
	char *path = g->paths[g->n_paths++];

	assert_true(g->n_paths <= ELEMENTSOF(g->paths));
	(void)snprintf(path, sizeof g->paths[0], "%s/%s", g->scratch->path, name);
	return path;
}

struct version gateway_version(const char *text)
{
	struct version version;

	assert_int_equal(version_parse(text, &version), 0);
	return version;
}

/* Nothing of it is released by conf_free(): the strings are literals or live in the gateway. */
static void fill_conf(struct gateway *g)
{
	static char arch[] = ARCH, model[] = "gw1", agent_user[] = "nobody", a[] = "updaterd",
		    b[] = "bmsd", unit[] = "bmsd.service", probe[] = "{release}/bin/bmsd --probe",
		    user[] = "nobody";
	struct conf *c = &g->conf;

	*c = (struct conf){
		.root_file = path_of(g, "root.json"),
		.agent_dir = path_of(g, "agent"),
		.installer_dir = path_of(g, "installer"),
		.max_program_bytes = 16u << 20,
		.n_programs = 2,
	};
	c->arch = arch;
	c->model = model;
	c->agent_user = agent_user;
	c->programs[0] = (struct conf_program){
		.letter = 'A',
		.name = a,
		.space = path_of(g, "a"),
	};
	c->programs[1] = (struct conf_program){
		.letter = 'B',
		.name = b,
		.space = path_of(g, "b"),
		.unit = unit,
		.probe = probe,
		.probe_user = user,
		.ready_timeout_sec = 10,
		.probe_timeout_sec = 20,
		.settle_sec = 5,
	};
}

const struct conf_program *gateway_program(struct gateway *g, char letter)
{
	return &g->conf.programs[letter == 'A' ? 0 : 1];
}

/* ---- releases ---- */

const char *gateway_make_tree(struct gateway *g, const char *version)
{
	static char path[256];
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_close_ int fd = FD_NONE;
	_cleanup_free_ char *json = NULL, *error = NULL;
	struct version v = gateway_version(version);
	char name[64], text[128];
	size_t size;

	(void)snprintf(name, sizeof name, "trees/%s", version);
	(void)snprintf(path, sizeof path, "%s/%s", g->scratch->path, name);
	fd = scratch_dir(g->scratch->dirfd, name);
	if (faccessat(fd, MANIFEST_NAME, F_OK, 0) == 0)
		return path;
	(void)snprintf(text, sizeof text, "#!/bin/sh\necho %s\n", version);
	scratch_text(fd, "bin/program", text, 0755);
	(void)snprintf(text, sizeof text, "this is %s\n", version);
	scratch_text(fd, "share/doc/readme", text, 0644);
	assert_int_equal(manifest_from_tree(fd, &v, ARCH, &manifest, &error), 0);
	assert_int_equal(manifest_format(manifest, &json, &size), 0);
	scratch_write(fd, MANIFEST_NAME, json, size, 0644);
	return path;
}

static struct reltar_view *open_view(struct gateway *g, const char *version)
{
	_cleanup_close_ int fd = FD_NONE;
	struct reltar_view *view = NULL;

	fd = open(gateway_make_tree(g, version), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(reltar_view_open(fd, &view), 0);
	return view;
}

struct buffer {
	char *bytes;
	size_t size;
};

static int append_bytes(void *userdata, const void *bytes, size_t size)
{
	struct buffer *b = userdata;

	b->bytes = realloc(b->bytes, b->size + size);
	assert_non_null(b->bytes);
	memcpy(b->bytes + b->size, bytes, size);
	b->size += size;
	return 0;
}

char *gateway_pack(struct gateway *g, const char *version, size_t *ret_size)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = open_view(g, version);
	struct reltar_reader reader = { .view = view };
	struct buffer b = { 0 };

	assert_int_equal(xz_compress(reltar_reader_read, &reader, append_bytes, &b, 0, 0), 0);
	*ret_size = b.size;
	return b.bytes;
}

static uint8_t *read_tar(struct gateway *g, const char *version, struct bytes_view *ret)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = open_view(g, version);
	size_t size = (size_t)reltar_view_size(view);
	uint8_t *bytes = malloc(size);

	assert_non_null(bytes);
	assert_int_equal(reltar_view_pread(view, bytes, size, 0), size);
	*ret = (struct bytes_view){ .bytes = bytes, .size = size };
	return bytes;
}

char *gateway_make_patch(struct gateway *g, const char *from, const char *to, size_t *ret_size)
{
	struct bytes_view old_tar, new_tar;
	uint8_t *old_bytes = read_tar(g, from, &old_tar), *new_bytes = read_tar(g, to, &new_tar);
	struct buffer b = { 0 };

	assert_int_equal(patch_make(&old_tar, &new_tar, append_bytes, &b), 0);
	free(old_bytes);
	free(new_bytes);
	*ret_size = b.size;
	return b.bytes;
}

cJSON *gateway_patch_custom(struct gateway *g, const char *from, const char *to)
{
	cJSON *custom = gateway_custom(g, to), *base = gateway_custom(g, from);

	cJSON_ReplaceItemInObject(custom, "kind", cJSON_CreateString("patch"));
	cJSON_AddStringToObject(custom, "from", from);
	cJSON_AddItemToObject(custom, "base", cJSON_DetachItemFromObject(base, "tar"));
	cJSON_Delete(base);
	return custom;
}

cJSON *gateway_custom(struct gateway *g, const char *version)
{
	_cleanup_(reltar_view_closep) struct reltar_view *view = open_view(g, version);
	const char letter[2] = { version[0], '\0' };
	cJSON *custom = cJSON_CreateObject(), *tar;
	char hex[SHA256_HEX_LENGTH + 1];
	uint8_t sha256[SHA256_BYTES];

	assert_int_equal(reltar_view_sha256(view, sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	cJSON_AddStringToObject(custom, "program", letter);
	cJSON_AddStringToObject(custom, "version", version);
	cJSON_AddStringToObject(custom, "arch", ARCH);
	cJSON_AddStringToObject(custom, "kind", "full");
	tar = cJSON_AddObjectToObject(custom, "tar");
	cJSON_AddNumberToObject(tar, "length", (double)reltar_view_size(view));
	cJSON_AddStringToObject(tar, "sha256", hex);
	return custom;
}

/* ---- the repository ---- */

const char *gateway_target(const char *version)
{
	static char path[64];

	(void)snprintf(path, sizeof path, "%c/%s-" ARCH ".tar.xz", version[0], version);
	return path;
}

static const char *patch_target(const char *from, const char *to)
{
	static char path[96];

	(void)snprintf(path, sizeof path, "%c/%s-" ARCH ".from-%s.patch", to[0], to, from);
	return path;
}

void gateway_write_metadata(struct gateway *g)
{
	_cleanup_close_ int fd = FD_NONE;

	assert_int_equal(fs_remove_tree(g->scratch->dirfd, "metadata"), 0);
	fd = scratch_dir(g->scratch->dirfd, "metadata");
	for (size_t i = 0; i < g->repo->files.n; i++) {
		const struct repo_file *f = &g->repo->files.list[i];
		const char *name = f->name + strspn(f->name, "0123456789");

		if (strcmp(name, ".root.json") == 0 || name == f->name)
			name = f->name;
		else
			name++;
		scratch_write(fd, name, f->bytes, f->size, 0644);
	}
}

static void add_target(struct gateway *g, const char *path, const void *bytes, size_t size,
		       cJSON *custom)
{
	const char letter[2] = { path[0], '\0' };
	cJSON *targets, *target = cJSON_CreateObject();
	char hex[SHA256_HEX_LENGTH + 1];
	uint8_t sha256[SHA256_BYTES];

	assert_int_equal(digest_sha256(bytes, size, sha256), 0);
	hex_encode(sha256, sizeof sha256, hex);
	cJSON_AddNumberToObject(target, "length", (double)size);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(target, "hashes"), "sha256", hex);
	cJSON_AddItemToObject(target, "custom", custom);
	targets = cJSON_GetObjectItemCaseSensitive(repo_role(g->repo, letter)->body, "targets");
	cJSON_DeleteItemFromObjectCaseSensitive(targets, path);
	cJSON_AddItemToObject(targets, path, target);
}

void gateway_publish(struct gateway *g, const char *version, cJSON *custom)
{
	_cleanup_free_ char *bytes = NULL;
	char name[64];
	size_t size;

	bytes = gateway_pack(g, version, &size);
	(void)snprintf(name, sizeof name, "files/%s", version);
	scratch_write(g->scratch->dirfd, name, bytes, size, 0644);
	add_target(g, gateway_target(version), bytes, size,
		   custom ? custom : gateway_custom(g, version));
	repo_next(g->repo);
	gateway_write_metadata(g);
}

void gateway_publish_patch(struct gateway *g, const char *from, const char *to, const void *bytes,
			   size_t size, cJSON *custom)
{
	_cleanup_free_ char *made = NULL;
	char name[64];

	if (!bytes)
		bytes = made = gateway_make_patch(g, from, to, &size);
	(void)snprintf(name, sizeof name, "files/%s.from-%s", to, from);
	scratch_write(g->scratch->dirfd, name, bytes, size, 0644);
	add_target(g, patch_target(from, to), bytes, size,
		   custom ? custom : gateway_patch_custom(g, from, to));
	repo_next(g->repo);
	gateway_write_metadata(g);
}

/* ---- the play ---- */

static bool is_odd(const struct gateway *g)
{
	return g->all_are_odd || (g->odd_version && strcmp(g->odd_version, g->last_started) == 0);
}

static int play_restart(void *userdata, const char *unit, uint64_t ready_timeout_sec,
			struct service_start *ret_start, struct failure *failure)
{
	struct gateway *g = userdata;
	struct version current = { 0 };

	assert_string_equal(unit, "bmsd.service");
	assert_int_equal(state_current(&g->conf, 'B', &current), 0);
	(void)strcpy(g->last_started, current.text);
	g->n_restarts++;
	*ret_start = (struct service_start){ .down_at_msec = g->clock_msec, .main_pid = 7 };
	if (is_odd(g) && g->odd == NEVER_READY) {
		g->clock_msec += ready_timeout_sec * 1000;
		return failure_set(failure, -EIO, REASON_NOT_READY, "never ready");
	}
	g->clock_msec += 100;
	if (is_odd(g) && g->odd == EXITS_AT_ONCE)
		return failure_set(failure, -EIO, REASON_EXITED, "ended");
	ret_start->ready_at_msec = g->clock_msec;
	return 0;
}

static int play_check(void *userdata, const char *unit, const struct service_start *start,
		      struct failure *failure)
{
	struct gateway *g = userdata;

	(void)unit;
	if (is_odd(g) && g->odd == CRASHES_AFTER_READY &&
	    g->clock_msec >= start->ready_at_msec + 2000)
		return failure_set(failure, -EIO, REASON_CRASHED, "crashed");
	return 0;
}

static int play_is_alive(void *userdata, const char *unit)
{
	(void)userdata;
	(void)unit;
	return 0;
}

static bool play_is_going_down(void *userdata)
{
	const struct gateway *g = userdata;

	return g->is_going_down;
}

static enum probe_verdict verdict_after(const struct gateway *g)
{
	if (!is_odd(g))
		return PROBE_GOOD;
	if (g->odd == PROBED_BAD)
		return PROBE_BAD;
	if (g->odd == PROBED_NEVER_YES)
		return PROBE_NOT_YET;
	return g->odd == PROBED_WRONG_VERSION ? PROBE_WRONG_VERSION : PROBE_GOOD;
}

static int play_probe(void *userdata, const struct probe_request *request,
		      struct probe_answer *ret_answer, struct failure *failure)
{
	struct gateway *g = userdata;
	const char *output = "{\"reasons\":[\"cell 3 is gone\"]}";

	g->n_probes++;
	g->clock_msec += 50;
	(void)snprintf(g->last_probe_release, sizeof g->last_probe_release, "%s", request->release);
	(void)snprintf(g->last_baseline, sizeof g->last_baseline, "%s",
		       request->baseline ? request->baseline : "");
	if (request->phase == PROBE_AFTER && is_odd(g) && g->odd == PROBE_DOES_NOT_RUN)
		return failure_set(failure, -EIO, REASON_PROBE_FAILED, "no such command");
	if (request->phase == PROBE_BEFORE && g->before_output)
		output = g->before_output;
	ret_answer->verdict = request->phase == PROBE_BEFORE ? g->before : verdict_after(g);
	ret_answer->output_size = strlen(output);
	(void)strcpy(ret_answer->output, output);
	return 0;
}

static int play_run(void *userdata, const struct service_job *job, struct service_end *ret,
		    struct failure *failure)
{
	struct gateway *g = userdata;

	(void)failure;
	*ret = (struct service_end){ .is_exited = true };
	if (g->run_unit)
		g->run_unit(g, job->unit, ret);
	return 0;
}

static int play_stop(void *userdata, const char *unit)
{
	(void)userdata, (void)unit;
	return 0;
}

static uint64_t play_now_msec(void *userdata)
{
	const struct gateway *g = userdata;

	return g->clock_msec;
}

static void play_pause(void *userdata, uint64_t msec)
{
	struct gateway *g = userdata;

	g->clock_msec += msec;
	if (g->is_real_time)
		(void)usleep((useconds_t)msec * 1000);
}

struct service gateway_service(struct gateway *g)
{
	static const struct service_ops ops = {
		.restart = play_restart,
		.check = play_check,
		.is_alive = play_is_alive,
		.is_going_down = play_is_going_down,
		.probe = play_probe,
		.run = play_run,
		.stop = play_stop,
		.now_msec = play_now_msec,
		.pause = play_pause,
	};

	return (struct service){ .ops = &ops, .userdata = g };
}

/* ---- the gateway ---- */

static void adopt(struct gateway *g, struct conf_program *program, const char *version)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct failure failure;
	struct version adopted;

	program->factory = g->paths[g->n_paths++];
	(void)snprintf(program->factory, sizeof g->paths[0], "%s", gateway_make_tree(g, version));
	assert_int_equal(store_create(program->space, &store), 0);
	assert_int_equal(adopt_factory(program, store, &adopted, &failure), 0);
	assert_int_equal(recover_current(program, store, false), 1);
}

/* In memory where that can be, unless the test says where: the sweeps make much of it. */
static struct scratch *make_scratch(void)
{
	const char *base = getenv("GATEWAY_DIR");
	struct scratch *s = calloc(1, sizeof *s);

	assert_non_null(s);
	(void)snprintf(s->path, sizeof s->path, "%s/unit-XXXXXX", base ? base : "/dev/shm");
	if (!mkdtemp(s->path)) {
		free(s);
		assert_int_equal(scratch_setup((void **)&s), 0);
		return s;
	}
	s->dirfd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->dirfd >= 0);
	return s;
}

struct gateway *gateway_new(void)
{
	struct gateway *g = calloc(1, sizeof *g);
	const struct repo_file *root;

	assert_non_null(g);
	log_set_level(LOG_CRIT);
	g->scratch = make_scratch();
	fill_conf(g);
	g->clock_msec = 1000000;
	g->before = PROBE_GOOD;
	g->repo = repo_new();
	root = files_get(&g->repo->files, "1.root.json");
	assert_non_null(root);
	scratch_write(g->scratch->dirfd, "root.json", root->bytes, root->size, 0644);
	adopt(g, &g->conf.programs[0], OLD_A);
	adopt(g, &g->conf.programs[1], OLD_B);
	return g;
}

void gateway_free(struct gateway *g)
{
	repo_free(g->repo);
	assert_int_equal(scratch_teardown((void **)&g->scratch), 0);
	free(g);
}

int gateway_setup(void **state)
{
	*state = gateway_new();
	return 0;
}

int gateway_teardown(void **state)
{
	gateway_free(*state);
	return 0;
}

int gateway_open(struct gateway *g, const char *path, int flags)
{
	int fd = openat(g->scratch->dirfd, path, flags | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* ---- attempts ---- */

static int run(struct gateway *g, struct transaction_request *request, struct result *ret)
{
	const struct transaction_hooks hooks = { .called_off = g->called_off, .userdata = g };
	_cleanup_(state_closep) struct state *s = NULL;
	struct service service = gateway_service(g);

	if (*g->txid)
		(void)strcpy(request->txid, g->txid);
	else
		assert_int_equal(txid_new(request->txid), 0);
	request->share.started_sec = 1790000000;
	assert_int_equal(state_open(&g->conf, STATE_TRY, &s), 0);
	assert_int_equal(recover(s, service, false), 0);
	return transaction_run(s, service, request, &hooks, ret);
}

static int hand_over(struct gateway *g, const char *name, const char *target, bool is_rollback,
		     struct result *ret)
{
	_cleanup_close_ int metadata_fd = FD_NONE, program_fd = FD_NONE;
	struct transaction_request request = { .program = target[0],
					       .target = target,
					       .is_rollback = is_rollback };

	request.metadata_fd = metadata_fd = gateway_open(g, "metadata", O_RDONLY | O_DIRECTORY);
	request.program_fd = program_fd = gateway_open(g, name, O_RDONLY);
	return run(g, &request, ret);
}

int gateway_upgrade(struct gateway *g, const char *version, struct result *ret)
{
	char name[64];

	(void)snprintf(name, sizeof name, "files/%s", version);
	return hand_over(g, name, gateway_target(version), false, ret);
}

int gateway_rollback_with(struct gateway *g, const char *version, struct result *ret)
{
	char name[64];

	(void)snprintf(name, sizeof name, "files/%s", version);
	return hand_over(g, name, gateway_target(version), true, ret);
}

int gateway_upgrade_by_patch(struct gateway *g, const char *from, const char *to,
			     struct result *ret)
{
	char name[64];

	(void)snprintf(name, sizeof name, "files/%s.from-%s", to, from);
	return hand_over(g, name, patch_target(from, to), false, ret);
}

int gateway_rollback(struct gateway *g, char letter, struct result *ret)
{
	struct transaction_request request = {
		.program = letter, .is_rollback = true, .metadata_fd = -1, .program_fd = -1
	};

	return run(g, &request, ret);
}

/* ---- expectations ---- */

static void expect_link(struct gateway *g, char letter, const char *link, const char *version)
{
	_cleanup_(store_closep) struct store *store = NULL;
	struct version found = { 0 };
	int r;

	if (!version)
		return;
	assert_int_equal(store_open(gateway_program(g, letter)->space, &store), 0);
	r = swap_read(store_dirfd(store), link, &found);
	assert_int_equal(r, *version ? 0 : -ENOENT);
	assert_string_equal(found.text, version);
}

void gateway_expect_links(struct gateway *g, char letter, const char *current, const char *previous)
{
	expect_link(g, letter, SWAP_CURRENT, current);
	expect_link(g, letter, SWAP_PREVIOUS, previous);
}

size_t gateway_count(struct gateway *g, const char *path)
{
	int fd = openat(g->scratch->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	size_t n = 0;
	DIR *d;

	if (fd < 0)
		return 0;
	d = fdopendir(fd);
	assert_non_null(d);
	while ((entry = readdir(d)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	(void)closedir(d);
	return n;
}

static void expect_space_in_order(struct gateway *g, const struct conf_program *program)
{
	_cleanup_(store_closep) struct store *store = NULL;
	const char *base = strrchr(program->space, '/') + 1;
	struct version current, previous;
	size_t n_kept = 1;
	char name[32];
	bool has_previous;

	assert_int_equal(store_open(program->space, &store), 0);
	assert_int_equal(swap_read(store_dirfd(store), SWAP_CURRENT, &current), 0);
	assert_int_equal(store_check_release(store, &current, NULL), 0);
	has_previous = swap_read(store_dirfd(store), SWAP_PREVIOUS, &previous) == 0;
	if (has_previous) {
		assert_int_equal(store_check_release(store, &previous, NULL), 0);
		n_kept += strcmp(previous.text, current.text) != 0;
	}
	(void)snprintf(name, sizeof name, "%s/releases", base);
	assert_int_equal(gateway_count(g, name), n_kept);
	(void)snprintf(name, sizeof name, "%s/backups", base);
	assert_true(gateway_count(g, name) <= 2 * n_kept);
	/* releases, backups, current, previous */
	assert_int_equal(gateway_count(g, base), has_previous ? 4 : 3);
}

void gateway_expect_order(struct gateway *g)
{
	_cleanup_(state_closep) struct state *s = NULL;

	if (state_open(&g->conf, STATE_READ, &s) == 0) {
		assert_int_equal(journal_state(s->journal), JOURNAL_IDLE);
		assert_null(journal_get(s->journal, "txid"));
	}
	for (size_t i = 0; i < g->conf.n_programs; i++)
		expect_space_in_order(g, &g->conf.programs[i]);
}
