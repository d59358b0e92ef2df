/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence of repository states, served to clients that keep what they trust. The input is a list
 * of steps: publish, rotate, roll back, mix states, damage files here and there, fail, refresh. What
 * must hold is judged by records of our own, not by the code that is tested:
 *
 *  - nothing is kept that was not signed, byte by byte, by enough of the keys that count for it;
 *  - versions never go down, but for what a root that rotates the keys of timestamp or snapshot makes
 *    void, and where the local copy was damaged;
 *  - after a refresh that succeeded, what is kept belongs together and has not expired;
 *  - however the sequence was, a refresh of an honest repository works in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz.h"
#include "tuf_repo.h"

#define MAX_STEPS   48
#define MAX_RECORDS 512
#define MAX_STATES  8

enum { ROOT, TIMESTAMP, SNAPSHOT, TARGETS, A, B, N_ROLES };
static const char *const names[N_ROLES] = { "root", "timestamp", "snapshot", "targets", "A", "B" };

/* Who counts for a role. */
struct says {
	unsigned threshold;
	const struct repo_key *keys[3];
	size_t n;
};

/* A file as it was signed. */
struct record {
	unsigned role, version;
	bool is_expired;
	char *bytes;
	size_t size;
	const struct repo_key *signers[4];
	size_t n_signers;
	struct says says[N_ROLES]; /* of a root: the top-level roles; of targets: A and B */
};

struct world {
	struct repo *repo;
	struct tuf_source through; /* the repository's source, watched */
	struct says says[N_ROLES]; /* what the next root and targets say */
	struct record records[MAX_RECORDS];
	size_t n_records;
	struct repo_files states[MAX_STATES]; /* what the server had at times */
	size_t n_states;
	unsigned highest[N_ROLES]; /* any version that was ever signed */

	const struct record *root; /* what the client starts from */
	unsigned floors[N_ROLES];  /* versions that the client may not go below; 0: any */
};

/* ---- records ---- */

static unsigned role_of_file(const char *name)
{
	const char *dot = name + strspn(name, "0123456789");

	if (dot > name && *dot == '.')
		name = dot + 1;
	for (unsigned i = 0; i < N_ROLES; i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0 &&
		    strcmp(name + strlen(names[i]), ".json") == 0)
			return i;
	return N_ROLES;
}

static const struct record *find_record(const struct world *w, const void *bytes, size_t size)
{
	for (size_t i = 0; i < w->n_records; i++)
		if (w->records[i].size == size && memcmp(w->records[i].bytes, bytes, size) == 0)
			return &w->records[i];
	return NULL;
}

static void record(struct world *w, unsigned role, const struct repo_file *f)
{
	const struct repo_role *from = repo_role(w->repo, names[role]);
	struct record *r = &w->records[w->n_records];
	const cJSON *expires = cJSON_GetObjectItemCaseSensitive(from->body, "expires");

	if (!f || find_record(w, f->bytes, f->size))
		return;
	check(w->n_records++ < MAX_RECORDS);
	*r = (struct record){ .role = role, .version = repo_version(w->repo, names[role]) };
	r->is_expired = strcmp(expires->valuestring, REPO_PAST) == 0;
	r->bytes = malloc(f->size);
	check(r->bytes);
	memcpy(r->bytes, f->bytes, f->size);
	r->size = f->size;
	memcpy(r->signers, from->keys, sizeof r->signers);
	r->n_signers = from->n_keys;
	memcpy(r->says, w->says, sizeof r->says);
	if (r->version > w->highest[role])
		w->highest[role] = r->version;
}

static void record_role(struct world *w, unsigned role)
{
	char name[64];

	if (role == TIMESTAMP || (role != ROOT && !w->repo->is_consistent))
		(void)snprintf(name, sizeof name, "%s.json", names[role]);
	else
		(void)snprintf(name, sizeof name, "%u.%s.json", repo_version(w->repo, names[role]),
			       names[role]);
	record(w, role, files_get(&w->repo->files, name));
}

static void publish(struct world *w)
{
	repo_publish(w->repo);
	for (unsigned i = TIMESTAMP; i < N_ROLES; i++)
		record_role(w, i);
}

static void copy_files(struct repo_files *to, const struct repo_files *from)
{
	files_clear(to);
	to->n = 0;
	for (size_t i = 0; i < from->n; i++)
		files_put(to, from->list[i].name, from->list[i].bytes, from->list[i].size);
}

static void keep_state(struct world *w)
{
	copy_files(&w->states[w->n_states++ % MAX_STATES], &w->repo->files);
}

/* ---- what is kept ---- */

static bool is_signed(const struct record *r, const struct says *says)
{
	unsigned n = 0;

	for (size_t i = 0; i < says->n; i++)
		for (size_t j = 0; j < r->n_signers; j++)
			if (says->keys[i] == r->signers[j]) {
				n++;
				break;
			}
	return n >= says->threshold;
}

/* A key of the old role is none of the new. */
static bool is_rotated(const struct says *before, const struct says *after)
{
	for (size_t i = 0; i < before->n; i++) {
		bool is_there = false;

		for (size_t j = 0; j < after->n; j++)
			is_there |= before->keys[i] == after->keys[j];
		if (!is_there)
			return true;
	}
	return false;
}

static const struct record *local_record(struct world *w, unsigned role)
{
	const struct repo_file *f;
	char name[64];

	(void)snprintf(name, sizeof name, "%s.json", names[role]);
	f = files_get(&w->repo->local, name);
	return f ? find_record(w, f->bytes, f->size) : NULL;
}

static bool is_void(struct world *w, const char *name)
{
	const struct repo_file *f = files_get(&w->repo->local, name);

	return f && f->size == 0;
}

/* A timestamp stands for itself and for the snapshot's version, a snapshot for those of the others. */
static void forget(struct world *w, unsigned role)
{
	if (role == TIMESTAMP)
		w->floors[TIMESTAMP] = w->floors[SNAPSHOT] = 0;
	if (role == SNAPSHOT)
		w->floors[TARGETS] = w->floors[A] = w->floors[B] = 0;
}

/* FUZZ_VERBOSE=1: what happens, to read a crash by. */
_printf_(1, 2) static void tell(const char *format, ...)
{
	va_list args;

	if (!getenv("FUZZ_VERBOSE"))
		return;
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
}

static void watch_root(struct world *w, const char *name, const struct record *r)
{
	char number[64];

	check(is_signed(r, &w->root->says[ROOT]) && is_signed(r, &r->says[ROOT]));
	check(r->version == w->root->version + 1);
	/* The chain first, and only then what is started from. */
	if (strcmp(name, "root.json") != 0)
		return;
	(void)snprintf(number, sizeof number, "%u.root.json", r->version);
	check(files_equal(files_get(&w->repo->local, name), files_get(&w->repo->local, number)));
	if (is_rotated(&w->root->says[TIMESTAMP], &r->says[TIMESTAMP]) ||
	    is_rotated(&w->root->says[SNAPSHOT], &r->says[SNAPSHOT]))
		check(is_void(w, "timestamp.json") && is_void(w, "snapshot.json"));
	w->root = r;
}

/* What was kept before counts against r only if today's keys signed it. */
static void watch_store(struct world *w, const char *name, const struct record *r,
			const struct record *before)
{
	unsigned role = role_of_file(name);
	const struct record *from = role >= A ? local_record(w, TARGETS) : w->root;

	check(r && r->role == role);
	if (role == ROOT) {
		watch_root(w, name, r);
		return;
	}
	check(from && is_signed(r, &from->says[role]));
	if (!before || !is_signed(before, &from->says[role]))
		forget(w, role);
	check(r->version >= w->floors[role]);
	check(!r->is_expired);
	w->floors[role] = r->version;
}

static int through_fetch(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			 size_t *ret_size)
{
	struct world *w = userdata;

	return w->repo->source.fetch(w->repo, name, max_bytes, ret_bytes, ret_size);
}

static int through_load(void *userdata, const char *name, size_t max_bytes, char **ret_bytes,
			size_t *ret_size)
{
	struct world *w = userdata;

	return w->repo->source.load(w->repo, name, max_bytes, ret_bytes, ret_size);
}

static int through_store(void *userdata, const char *name, const void *bytes, size_t size)
{
	struct world *w = userdata;
	unsigned role = role_of_file(name);
	const struct record *before = local_record(w, role);
	int r;

	r = w->repo->source.store(w->repo, name, bytes, size);
	tell("store %s, %zu bytes: %d\n", name, size, r);
	if (r < 0)
		return r;
	if (size > 0) {
		watch_store(w, name, find_record(w, bytes, size), before);
	} else {
		check(role == TIMESTAMP || role == SNAPSHOT);
		forget(w, role);
	}
	return r;
}

/* ---- a refresh ---- */

static double described_version(const struct record *r, const char *name)
{
	cJSON *json = cJSON_ParseWithLength(r->bytes, r->size);
	const cJSON *body = cJSON_GetObjectItemCaseSensitive(json, "signed");
	const cJSON *meta = cJSON_GetObjectItemCaseSensitive(body, "meta");
	const cJSON *entry = cJSON_GetObjectItemCaseSensitive(meta, name);
	double version = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(entry, "version"));

	cJSON_Delete(json);
	return version;
}

static void check_success(struct world *w, const struct tuf_client *c)
{
	const struct record *r[N_ROLES];

	for (unsigned i = ROOT; i <= TARGETS; i++) {
		r[i] = local_record(w, i);
		check(r[i] && !r[i]->is_expired);
		check(is_signed(r[i], &r[ROOT]->says[i]));
		check(tuf_client_role_version(c, names[i]) == r[i]->version);
	}
	check(described_version(r[TIMESTAMP], "snapshot.json") == r[SNAPSHOT]->version);
	check(described_version(r[SNAPSHOT], "targets.json") == r[TARGETS]->version);
	check(tuf_client_expires_sec(c) > REPO_NOW_SEC);
}

static void check_target(struct world *w, struct tuf_client *c, unsigned role)
{
	struct tuf_target target;
	const char *path = role == A ? "A/a.tar.xz" : "B/b.tar.xz";

	if (tuf_client_find_target(c, path, &target) < 0)
		return;
	check(strcmp(target.path, path) == 0 && strcmp(target.role, names[role]) == 0);
	check(target.has_sha256 && local_record(w, role));
	check(tuf_client_role_version(c, names[role]) == local_record(w, role)->version);
}

static int refresh(struct world *w)
{
	const struct repo_file *root = files_get(&w->repo->local, "root.json");
	_cleanup_(tuf_client_freep) struct tuf_client *c = NULL;
	int r;

	w->repo->log[0] = '\0';
	check(tuf_client_new(root->bytes, root->size, REPO_NOW_SEC, &w->through, NULL, &c) == 0);
	r = tuf_client_refresh(c);
	tell("%s", w->repo->log);
	tell("refresh: %d %s\n", r, tuf_client_error(c));
	check((r < 0) == (tuf_client_error(c)[0] != '\0'));
	check((r < 0) == (tuf_client_reason(c) != REASON_NONE));
	if (r < 0)
		return r;
	check_success(w, c);
	check_target(w, c, A);
	check_target(w, c, B);
	return 0;
}

/* ---- steps ---- */

static void say(struct world *w, unsigned role, unsigned threshold, struct repo_key *a,
		struct repo_key *b)
{
	w->says[role] = (struct says){ threshold, { a, b }, b ? 2 : 1 };
	if (role >= A)
		repo_delegation_says(w->repo, "targets", names[role], threshold, b ? 2 : 1, a, b);
	else
		repo_root_says(w->repo, names[role], threshold, b ? 2 : 1, a, b);
	repo_set_signers(w->repo, names[role], b ? 2 : 1, a, b);
}

/* Each once: two signatures by one key are not allowed. */
static void sign_by(struct repo_role *role, const struct says *says)
{
	for (size_t i = 0; i < says->n; i++) {
		bool is_there = false;

		for (size_t j = 0; j < role->n_keys; j++)
			is_there |= role->keys[j] == says->keys[i];
		if (!is_there)
			role->keys[role->n_keys++] = (struct repo_key *)(uintptr_t)says->keys[i];
	}
}

/* The next of the honest chain: signed by who counted before, and by who counts now. */
static void next_root(struct world *w, const struct says *before)
{
	struct repo_role *root = repo_role(w->repo, "root");

	root->n_keys = 0;
	sign_by(root, before);
	sign_by(root, &w->says[ROOT]);
	repo_next_root(w->repo);
	record_role(w, ROOT);
}

static void rotate(struct world *w, struct input *in)
{
	unsigned role = (unsigned)take_below(in, N_ROLES), how = take_byte(in);
	const struct says before = w->says[ROOT];
	struct repo_key *a, *b;

	if (w->repo->n_keys > REPO_MAX_KEYS - 2)
		return;
	a = how & 1 ? (struct repo_key *)(uintptr_t)w->says[role].keys[0] : repo_new_key(w->repo);
	b = how & 2 ? repo_new_key(w->repo) : NULL;
	say(w, role, b && how & 4 ? 2 : 1, a, b);
	tell("%s rotated, %u of %d keys\n", names[role], w->says[role].threshold, b ? 2 : 1);
	if (role < A)
		next_root(w, &before);
	if (how & 8)
		publish(w);
}

static void set_versions(struct world *w, struct input *in)
{
	unsigned role = (unsigned)(TIMESTAMP + take_below(in, N_ROLES - 1));

	repo_set_version(w->repo, names[role], 1 + take_byte(in) % 12);
	if (take_byte(in) & 1)
		publish(w);
}

static void serve_state(struct world *w, struct input *in)
{
	size_t n = w->n_states < MAX_STATES ? w->n_states : MAX_STATES;
	const struct repo_files *state = &w->states[take_below(in, n)];
	unsigned what = take_byte(in);
	const struct repo_file *f;

	if (n == 0 || state->n == 0)
		return;
	if (what & 1) {
		copy_files(&w->repo->files, state);
		return;
	}
	f = &state->list[take_below(in, state->n)];
	files_put(&w->repo->files, f->name, f->bytes, f->size);
	/* Under another file's name. */
	if (what & 2 && w->repo->files.n > 0) {
		_cleanup_free_ char *name = strdup(
			w->repo->files.list[take_below(in, w->repo->files.n)].name);

		files_put(&w->repo->files, name, f->bytes, f->size);
	}
}

static void damage(struct repo_file *f, struct input *in)
{
	unsigned how = take_byte(in);

	if (f->size == 0)
		return;
	if (how & 1)
		f->size = take_below(in, f->size);
	else
		f->bytes[take_below(in, f->size)] ^= (char)(1u << (how >> 1 & 7));
}

static void damage_server(struct world *w, struct input *in)
{
	struct repo_files *files = &w->repo->files;
	struct repo_file *f;

	if (files->n == 0)
		return;
	f = &files->list[take_below(in, files->n)];
	if (take_byte(in) & 1)
		damage(f, in);
	else
		files_remove(files, f->name);
}

/* Its root is not touched: who starts from a damaged root does not start. */
static void damage_local(struct world *w, struct input *in)
{
	struct repo_files *files = &w->repo->local;
	struct repo_file *f = &files->list[take_below(in, files->n)];
	unsigned role = role_of_file(f->name);

	if (role == ROOT || role == N_ROLES)
		return;
	forget(w, role);
	if (take_byte(in) & 1)
		damage(f, in);
	else
		files_remove(files, f->name);
}

static void sign_wrongly(struct world *w, struct input *in)
{
	unsigned role = (unsigned)take_below(in, N_ROLES), by = (unsigned)take_below(in, N_ROLES);
	struct repo_role *r = repo_role(w->repo, names[role]);
	const struct repo_role before = *r;

	if (by == role)
		r->n_keys = 0;
	else
		repo_set_signers(w->repo, names[role], 1, repo_role(w->repo, names[by])->keys[0]);
	if (role == ROOT) {
		repo_next_root(w->repo);
		record_role(w, ROOT);
		repo_set_version(w->repo, "root", repo_version(w->repo, "root") - 1);
	} else {
		publish(w);
	}
	memcpy(r->keys, before.keys, sizeof r->keys);
	r->n_keys = before.n_keys;
}

/* From the next root on. */
static void set_form(struct world *w, struct input *in)
{
	cJSON *body = repo_role(w->repo, "root")->body;
	unsigned how = take_byte(in);

	w->repo->is_consistent = how & 1;
	w->repo->has_hashes = how & 2;
	cJSON_DeleteItemFromObjectCaseSensitive(body, "consistent_snapshot");
	cJSON_AddBoolToObject(body, "consistent_snapshot", how & 1);
	next_root(w, &w->says[ROOT]);
	publish(w);
}

static void set_expiry(struct world *w, struct input *in)
{
	unsigned role = (unsigned)take_below(in, N_ROLES);

	repo_set_string(repo_role(w->repo, names[role])->body, "expires",
			take_byte(in) & 1 ? REPO_PAST : REPO_EXPIRES);
}

static void set_fault(struct world *w, struct input *in)
{
	static const char *const faulty[] = { "timestamp.json", "snapshot.json", "targets.json",
					      "root.json",	"2.root.json",	 "2.snapshot.json",
					      "1.targets.json", "A.json",	 "2.B.json" };
	static const int errors[] = { EIO, ENOSPC, ENOENT, EFBIG, ENOMEM, ETIMEDOUT };
	const char *name = faulty[take_below(in, ELEMENTSOF(faulty))];
	unsigned how = take_byte(in);

	w->repo->fail_errno = -errors[take_below(in, ELEMENTSOF(errors))];
	w->repo->fail_fetch = how & 1 ? name : NULL;
	w->repo->fail_store = how & 2 ? name : NULL;
}

static void step(struct world *w, struct input *in)
{
	unsigned what = take_byte(in) % 13;

	tell("step %u\n", what);
	switch (what) {
	case 0:
	case 1: (void)refresh(w); return;
	case 2:
		repo_next(w->repo);
		for (unsigned i = TIMESTAMP; i < N_ROLES; i++)
			record_role(w, i);
		return;
	case 3: rotate(w, in); return;
	case 4: set_versions(w, in); return;
	case 5: serve_state(w, in); return;
	case 6: damage_server(w, in); return;
	case 7: damage_local(w, in); return;
	case 8: sign_wrongly(w, in); return;
	case 9: set_expiry(w, in); return;
	case 10: set_fault(w, in); return;
	case 11: set_form(w, in); return;
	default: keep_state(w); return;
	}
}

/* ---- the end ---- */

/* Everything newer than anything before, and every root of the honest chain. */
static void make_honest(struct world *w)
{
	struct repo *r = w->repo;

	r->fail_fetch = r->fail_store = NULL;
	for (unsigned i = ROOT; i < N_ROLES; i++)
		repo_set_string(repo_role(r, names[i])->body, "expires", REPO_EXPIRES);
	files_clear(&r->files);
	next_root(w, &w->says[ROOT]);
	for (unsigned i = TIMESTAMP; i < N_ROLES; i++)
		repo_set_version(r, names[i], w->highest[i] + 1);
	publish(w);
	for (size_t i = 0; i < w->n_records; i++) {
		const struct record *root = &w->records[i];
		char name[64];

		/* Of two roots of one version, one is signed by nobody who counts. */
		if (root->role != ROOT || !is_signed(root, &root->says[ROOT]))
			continue;
		(void)snprintf(name, sizeof name, "%u.root.json", root->version);
		files_put(&r->files, name, root->bytes, root->size);
	}
}

static void world_free(struct world *w)
{
	for (size_t i = 0; i < w->n_records; i++)
		free(w->records[i].bytes);
	for (size_t i = 0; i < MAX_STATES; i++)
		files_clear(&w->states[i]);
	repo_free(w->repo);
	free(w);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof *w);
	const struct repo_file *root;

	check(w);
	w->repo = repo_new_seeded("states", REPO_EXPIRES);
	w->through = (struct tuf_source){ w, through_fetch, through_load, through_store };
	for (unsigned i = 0; i < N_ROLES; i++)
		w->says[i] = (struct says){ 1, { repo_role(w->repo, names[i])->keys[0] }, 1 };
	for (unsigned i = 0; i < N_ROLES; i++)
		record_role(w, i);
	root = files_get(&w->repo->files, "1.root.json");
	files_put(&w->repo->local, "root.json", root->bytes, root->size);
	w->root = find_record(w, root->bytes, root->size);
	keep_state(w);
	return w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct world *w = world_new();

	for (int i = 0; i < MAX_STEPS && !input_is_empty(&in); i++)
		step(w, &in);
	make_honest(w);
	check(refresh(w) == 0);
	world_free(w);
	return 0;
}
