/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "hostile_repo.h"

#define ALL    "timestamp snapshot targets A B"
#define ONLINE "timestamp snapshot"
#define FAR    2147483647

/* ---- what several of them do ---- */

static cJSON *body_of(struct repo *r, const char *role)
{
	return repo_role(r, role)->body;
}

static cJSON *meta_of(struct repo *r, const char *role, const char *file)
{
	return hostile_member(hostile_member(body_of(r, role), "meta"), file);
}

static cJSON *target_of(struct repo *r, const struct hostile_world *w)
{
	return hostile_member(hostile_member(body_of(r, "B"), "targets"), w->target);
}

static cJSON *custom_of(struct repo *r, const struct hostile_world *w)
{
	return hostile_member(target_of(r, w), "custom");
}

static void put_text(struct repo *r, const char *name, const char *text)
{
	files_put(&r->files, name, text, strlen(text));
}

/* The attacker has the online keys: a new snapshot that says this version of one file. */
static void tell(struct repo *r, const char *file, double version)
{
	r->has_hashes = false;
	hostile_bump(r, ONLINE);
	repo_set_number(meta_of(r, "snapshot", file), "version", version);
	repo_write(r, "snapshot");
}

/* The honest next release, before the attacker lays hands on it. */
static void next_release(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	hostile_bump(r, ALL);
}

static void next_without_hashes(struct repo *r, const struct hostile_world *w)
{
	r->has_hashes = false;
	next_release(r, w);
}

/* ---- arbitrary installation ---- */

static void seize_all(struct repo *r, size_t n)
{
	static const char *const roles[] = { "timestamp", "snapshot", "targets", "A", "B" };

	for (size_t i = 0; i < ELEMENTSOF(roles); i++)
		hostile_seize(r, roles[i], n);
}

static void own_keys(struct repo *r, const struct hostile_world *w)
{
	seize_all(r, 0);
	hostile_replace(r, w);
	hostile_bump(r, ALL);
}

static void no_signatures(struct repo *r, const struct hostile_world *w)
{
	for (size_t i = 0; i < r->n_roles; i++)
		r->roles[i].n_keys = 0;
	hostile_replace(r, w);
	hostile_bump(r, ALL);
}

/* A root that gives every role to the attacker, who has n of the two root keys. */
static void usurp(struct repo *r, size_t n)
{
	static const char *const roles[] = { "timestamp", "snapshot", "targets" };
	struct repo_key **k = repo_role(r, "root")->keys;

	seize_all(r, 0);
	hostile_seize(r, "root", n);
	repo_root_says(r, "root", 2, 2, k[0], k[1]);
	for (size_t i = 0; i < ELEMENTSOF(roles); i++) {
		k = repo_role(r, roles[i])->keys;
		repo_root_says(r, roles[i], 1, 1, k[0]);
	}
	repo_next_root(r);
}

static void own_root(struct repo *r, const struct hostile_world *w)
{
	usurp(r, 0);
	hostile_replace(r, w);
	hostile_bump(r, ALL);
}

/* signatures and signed of two files in one. */
static void join(struct repo *r, const char *signatures, const char *body, const char *to)
{
	cJSON *a = cJSON_Parse(files_get(&r->files, signatures)->bytes);
	cJSON *b = cJSON_Parse(files_get(&r->files, body)->bytes);
	_cleanup_free_ char *text = NULL;

	assert_true(a && b);
	cJSON_DeleteItemFromObjectCaseSensitive(b, "signatures");
	cJSON_AddItemToObject(b, "signatures",
			      cJSON_DetachItemFromObjectCaseSensitive(a, "signatures"));
	text = cJSON_PrintUnformatted(b);
	put_text(r, to, text);
	cJSON_Delete(a);
	cJSON_Delete(b);
}

static void old_signatures(struct repo *r, const struct hostile_world *w)
{
	r->has_hashes = false;
	hostile_replace(r, w);
	hostile_seize(r, "B", 0);
	hostile_bump(r, "B " ONLINE);
	join(r, "3.B.json", "4.B.json", "4.B.json");
}

static void signs_twice(struct repo *r, const struct hostile_world *w)
{
	struct repo_role *b = repo_role(r, "B");

	hostile_replace(r, w);
	b->keys[1] = b->keys[0];
	hostile_bump(r, "B " ONLINE);
}

/* One key's signature under the key id of another. */
static void signs_for_another(struct repo *r, const struct hostile_world *w)
{
	struct repo_role *b = repo_role(r, "B");
	struct repo_key other = *b->keys[0];

	hostile_replace(r, w);
	memcpy(other.id, b->keys[1]->id, sizeof other.id);
	b->keys[1] = &other;
	hostile_bump(r, "B " ONLINE);
	b->n_keys = 1;
}

static void unsigned_b(struct repo *r, const struct hostile_world *w)
{
	hostile_replace(r, w);
	repo_role(r, "B")->n_keys = 0;
	hostile_bump(r, "B " ONLINE);
}

/* ---- endless data ---- */

static void long_timestamp(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_pad(r, "timestamp.json", TUF_TIMESTAMP_MAX_BYTES + 1);
}

static void long_root(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	repo_next_root(r);
	hostile_pad(r, "2.root.json", TUF_ROOT_MAX_BYTES + 1);
}

static void longer_than_said(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_pad(r, "4.snapshot.json", files_get(&r->files, "4.snapshot.json")->size + 1);
}

static void long_snapshot(struct repo *r, const struct hostile_world *w)
{
	next_without_hashes(r, w);
	hostile_pad(r, "4.snapshot.json", TUF_SNAPSHOT_MAX_BYTES + 1);
}

static void says_endless(struct repo *r, const struct hostile_world *w)
{
	next_without_hashes(r, w);
	repo_set_number(meta_of(r, "timestamp", "snapshot.json"), "length", 9007199254740991.0);
	repo_write(r, "timestamp");
	hostile_pad(r, "4.snapshot.json", TUF_SNAPSHOT_MAX_BYTES + 1);
}

static void long_b(struct repo *r, const struct hostile_world *w)
{
	next_without_hashes(r, w);
	hostile_pad(r, "4.B.json", TUF_TARGETS_MAX_BYTES + 1);
}

static void deep_timestamp(struct repo *r, const struct hostile_world *w)
{
	char text[8001];

	(void)w;
	memset(text, '[', 4000);
	memset(text + 4000, ']', 4000);
	text[8000] = '\0';
	put_text(r, "timestamp.json", text);
}

/* ---- extraneous dependencies ---- */

#define EXTRANEOUS_VERSION "A209901010002"
#define EXTRANEOUS_PATH	   "A/" EXTRANEOUS_VERSION "-all.tar.xz"

static void b_speaks_for_a(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	repo_add_target(r, "B", EXTRANEOUS_PATH, "what nobody asked for");
	hostile_bump(r, "B " ONLINE);
}

/* A role of the attacker that lists the target. */
static void add_thief(struct repo *r, const struct hostile_world *w, const char *parent,
		      const char *name)
{
	(void)repo_delegate(r, parent, name, "B/*", NULL);
	repo_add_target(r, name, w->target, "what nobody asked for");
}

static void role_of_nobody(struct repo *r, const struct hostile_world *w)
{
	add_thief(r, w, "A", "C");
	cJSON_DeleteItemFromObjectCaseSensitive(body_of(r, "A"), "delegations");
	hostile_bump(r, "C " ONLINE);
}

static void a_delegates_b(struct repo *r, const struct hostile_world *w)
{
	add_thief(r, w, "A", "C");
	hostile_bump(r, "A C " ONLINE);
}

static void long_chain(struct repo *r, const struct hostile_world *w)
{
	char parent[16] = "B", name[16];

	for (unsigned i = 0; i < TUF_MAX_DELEGATED_ROLES; i++) {
		(void)snprintf(name, sizeof name, "chain%u", i);
		(void)repo_delegate(r, parent, name, "B/*", NULL);
		memcpy(parent, name, sizeof parent);
	}
	repo_add_target(r, parent, w->target, "what nobody asked for");
	hostile_bump(r, "B " ONLINE);
}

static void circle(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	(void)repo_delegate(r, "B", "C", "B/*", NULL);
	(void)repo_delegate(r, "C", "D", "B/*", NULL);
	(void)repo_delegate(r, "D", "C", "B/*", NULL);
	hostile_bump(r, "B " ONLINE);
}

static void require(struct repo *r, const struct hostile_world *w, const char *program,
		    const char *version)
{
	cJSON *requires;

	hostile_release(r, w);
	cJSON_DeleteItemFromObjectCaseSensitive(custom_of(r, w), "requires");
	requires = cJSON_AddObjectToObject(custom_of(r, w), "requires");
	cJSON_AddStringToObject(requires, program, version);
	hostile_bump(r, ALL);
}

static void requires_a(struct repo *r, const struct hostile_world *w)
{
	require(r, w, "A", "A209901010001");
}

static void requires_z(struct repo *r, const struct hostile_world *w)
{
	require(r, w, "Z", "Z209901010001");
}

static void requires_nonsense(struct repo *r, const struct hostile_world *w)
{
	require(r, w, "A", "../../etc/passwd");
}

/* ---- fast-forward ---- */

static void far_timestamp(struct repo *r, double version, double snapshot_version)
{
	repo_set_number(body_of(r, "timestamp"), "version", version);
	if (snapshot_version > 0) {
		cJSON *meta = meta_of(r, "timestamp", "snapshot.json");

		cJSON_DeleteItemFromObjectCaseSensitive(meta, "length");
		cJSON_DeleteItemFromObjectCaseSensitive(meta, "hashes");
		repo_set_number(meta, "version", snapshot_version);
	}
	repo_write(r, "timestamp");
}

static void far_own_timestamp(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	hostile_seize(r, "timestamp", 0);
	far_timestamp(r, FAR, 0);
}

static void far_timestamp_and_snapshot(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	far_timestamp(r, FAR, FAR);
}

static void far_timestamp_only(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	far_timestamp(r, FAR, 0);
}

static void far_too_far(struct repo *r, const struct hostile_world *w)
{
	static const char ours[] = "2147483647", theirs[] = "9223372036854775808";
	_cleanup_free_ char *text = NULL;
	const char *bytes, *at;

	(void)w;
	far_timestamp(r, FAR, 0);
	bytes = files_get(&r->files, "timestamp.json")->bytes;
	at = strstr(bytes, ours);
	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - bytes), bytes, theirs,
			     at + strlen(ours)) > 0);
	put_text(r, "timestamp.json", text);
}

static void far_targets(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	tell(r, "targets.json", FAR);
}

static void far_b(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	tell(r, "B.json", FAR);
}

static void far_root(struct repo *r, const struct hostile_world *w)
{
	char name[32];

	(void)w;
	repo_set_version(r, "root", FAR);
	repo_write(r, "root");
	(void)snprintf(name, sizeof name, "%d.root.json", FAR);
	hostile_copy(r, name, "2.root.json");
}

static void far_snapshot(struct repo *r, const struct hostile_world *w)
{
	char name[32];

	next_release(r, w);
	repo_set_version(r, "snapshot", FAR);
	repo_write(r, "snapshot");
	(void)snprintf(name, sizeof name, "%d.snapshot.json", FAR);
	hostile_copy(r, name, "4.snapshot.json");
}

/* ---- indefinite freeze ---- */

static void expired_root(struct repo *r, const struct hostile_world *w)
{
	repo_set_string(body_of(r, "root"), "expires", w->past);
	repo_next_root(r);
}

static void expired_timestamp(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	repo_set_string(body_of(r, "timestamp"), "expires", w->past);
	hostile_bump(r, ALL);
}

static void expired_b(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	repo_set_string(body_of(r, "B"), "expires", w->past);
	hostile_bump(r, ALL);
}

/* ---- malicious mirror ---- */

static void another_repository(struct repo *r, const struct hostile_world *w)
{
	struct repo *other = repo_new_seeded("another", w->far);

	hostile_replace(other, w);
	for (unsigned i = 0; i < 4; i++)
		repo_next(other);
	files_clear(&r->files);
	r->files = other->files;
	other->files = (struct repo_files){ 0 };
	repo_free(other);
}

static void login_page(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	put_text(r, "timestamp.json", "<!doctype html><title>Welcome to our network</title>");
}

static void empty_timestamp(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	put_text(r, "timestamp.json", "");
}

static void half_a_timestamp(struct repo *r, const struct hostile_world *w)
{
	struct repo_file *f;

	next_release(r, w);
	f = files_get(&r->files, "timestamp.json");
	f->size /= 2;
}

static void no_snapshot(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	files_remove(&r->files, "4.snapshot.json");
}

static void no_b(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	files_remove(&r->files, "4.B.json");
}

static void a_for_b(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_copy(r, "4.A.json", "4.B.json");
}

static void a_for_b_without_hashes(struct repo *r, const struct hostile_world *w)
{
	next_without_hashes(r, w);
	hostile_copy(r, "4.A.json", "4.B.json");
}

static void snapshot_for_timestamp(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_copy(r, "4.snapshot.json", "timestamp.json");
}

/* ---- mix-and-match ---- */

static void b_of_3(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_copy(r, "3.B.json", "4.B.json");
}

static void b_of_3_without_hashes(struct repo *r, const struct hostile_world *w)
{
	next_without_hashes(r, w);
	hostile_copy(r, "3.B.json", "4.B.json");
}

static void targets_of_3(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_copy(r, "3.targets.json", "4.targets.json");
}

static void targets_of_3_without_hashes(struct repo *r, const struct hostile_world *w)
{
	next_without_hashes(r, w);
	hostile_copy(r, "3.targets.json", "4.targets.json");
}

static void snapshot_of_3(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_copy(r, "3.snapshot.json", "4.snapshot.json");
}

static void snapshot_of_3_without_hashes(struct repo *r, const struct hostile_world *w)
{
	next_without_hashes(r, w);
	hostile_copy(r, "3.snapshot.json", "4.snapshot.json");
}

static void snapshot_of_5(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_bump(r, ALL);
	hostile_copy(r, "4.timestamp.json", "timestamp.json");
	hostile_copy(r, "5.snapshot.json", "4.snapshot.json");
}

static void same_number(struct repo *r, const struct hostile_world *w)
{
	hostile_bump(r, ALL);
	hostile_copy(r, "4.B.json", "withdrawn");
	hostile_release(r, w);
	repo_publish(r);
	hostile_copy(r, "withdrawn", "4.B.json");
	files_remove(&r->files, "withdrawn");
}

/* ---- rollback ---- */

static void timestamp_2(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	hostile_copy(r, "2.timestamp.json", "timestamp.json");
}

static void timestamp_1(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	hostile_copy(r, "1.timestamp.json", "timestamp.json");
}

static void tells_snapshot_2(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	far_timestamp(r, 4, 2);
}

static void tells_b_2(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	tell(r, "B.json", 2);
}

static void tells_targets_2(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	tell(r, "targets.json", 2);
}

static void b_disappears(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	repo_role(r, "B")->is_unlisted = true;
	hostile_bump(r, ONLINE);
}

static void root_1(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	hostile_copy(r, "1.root.json", "2.root.json");
}

static void another_timestamp_3(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	hostile_bump(r, "B snapshot");
	repo_set_version(r, "timestamp", 3);
	repo_write(r, "timestamp");
}

/* ---- key compromise ---- */

static void only_timestamp_key(struct repo *r, const struct hostile_world *w)
{
	hostile_replace(r, w);
	hostile_seize(r, "snapshot", 0);
	hostile_seize(r, "B", 0);
	hostile_bump(r, "B " ONLINE);
}

static void only_snapshot_key(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_replace(r, w);
	hostile_seize(r, "B", 0);
	repo_publish(r);
	hostile_copy(r, "4.timestamp.json", "timestamp.json");
}

static void online_keys(struct repo *r, const struct hostile_world *w)
{
	hostile_replace(r, w);
	hostile_seize(r, "B", 0);
	hostile_bump(r, "B " ONLINE);
}

static void online_and_one_of_b(struct repo *r, const struct hostile_world *w)
{
	hostile_replace(r, w);
	hostile_seize(r, "B", 1);
	hostile_bump(r, "B " ONLINE);
}

/* Targets give program B to the attacker, who has n of the two targets keys. */
static void give_b_away(struct repo *r, const struct hostile_world *w, size_t n_targets, size_t n_b)
{
	struct repo_key **k = repo_role(r, "B")->keys;

	hostile_replace(r, w);
	hostile_seize(r, "B", n_b);
	repo_delegation_says(r, "targets", "B", 1, 2, k[0], k[1]);
	hostile_seize(r, "targets", n_targets);
	hostile_bump(r, "targets B " ONLINE);
}

static void online_and_one_of_targets(struct repo *r, const struct hostile_world *w)
{
	give_b_away(r, w, 1, 0);
}

static void one_of_each(struct repo *r, const struct hostile_world *w)
{
	give_b_away(r, w, 1, 1);
}

static void online_and_a(struct repo *r, const struct hostile_world *w)
{
	repo_add_target(r, "A", w->target, "the attacker's program");
	hostile_bump(r, "A " ONLINE);
}

static void one_root_key(struct repo *r, const struct hostile_world *w)
{
	usurp(r, 1);
	hostile_replace(r, w);
	hostile_bump(r, ALL);
}

/* Without online keys the attacker must put his file under the honest snapshot. */
static void one_of_b(struct repo *r, const struct hostile_world *w)
{
	next_release(r, w);
	hostile_replace(r, w);
	hostile_seize(r, "B", 1);
	repo_write(r, "B");
}

static void one_of_targets(struct repo *r, const struct hostile_world *w)
{
	struct repo_key *own = repo_new_key(r);

	next_release(r, w);
	hostile_seize(r, "targets", 1);
	repo_delegation_says(r, "targets", "B", 1, 1, own);
	repo_write(r, "targets");
}

/* Nobody has shown that there are these keys. */
static void cut_ceremony(struct repo *r, const struct hostile_world *w)
{
	(void)w;
	repo_root_says(r, "root", 2, 2, repo_new_key(r), repo_new_key(r));
	repo_next_root(r);
}

static void timestamp_key_for_snapshot(struct repo *r, const struct hostile_world *w)
{
	repo_set_signers(r, "snapshot", 1, repo_role(r, "timestamp")->keys[0]);
	hostile_replace(r, w);
	hostile_seize(r, "B", 0);
	hostile_bump(r, "B " ONLINE);
}

static void targets_key_for_b(struct repo *r, const struct hostile_world *w)
{
	hostile_replace(r, w);
	repo_set_signers(r, "B", 2, repo_role(r, "B")->keys[0], repo_role(r, "targets")->keys[0]);
	hostile_bump(r, "B " ONLINE);
}

static void rotated_timestamp_key(struct repo *r, const struct hostile_world *w)
{
	struct repo_key *stolen = repo_role(r, "timestamp")->keys[0];

	hostile_rotate(r);
	repo_set_signers(r, "timestamp", 1, stolen);
	next_release(r, w);
}

static void removed_key_of_b(struct repo *r, const struct hostile_world *w)
{
	struct repo_key **k = repo_role(r, "B")->keys;

	repo_delegation_says(r, "targets", "B", 2, 3, k[1], k[2], repo_new_key(r));
	hostile_replace(r, w);
	hostile_bump(r, ALL);
}

/* ---- wrong software: signed by B's team, but not for this gateway ---- */

static void set_custom(struct repo *r, const struct hostile_world *w, const char *name,
		       const char *value)
{
	hostile_release(r, w);
	cJSON_DeleteItemFromObjectCaseSensitive(custom_of(r, w), name);
	if (value)
		cJSON_AddStringToObject(custom_of(r, w), name, value);
	hostile_bump(r, ALL);
}

static void other_arch(struct repo *r, const struct hostile_world *w)
{
	set_custom(r, w, "arch", "s390x");
}

static void no_arch(struct repo *r, const struct hostile_world *w)
{
	set_custom(r, w, "arch", NULL);
}

static void other_program(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	repo_set_string(custom_of(r, w), "program", "A");
	repo_set_string(custom_of(r, w), "version", "A209901010001");
	hostile_bump(r, ALL);
}

static void other_version(struct repo *r, const struct hostile_world *w)
{
	set_custom(r, w, "version", "B209901010001");
}

static void older_version(struct repo *r, const struct hostile_world *w)
{
	set_custom(r, w, "version", "B202101010001");
}

static void segments_kind(struct repo *r, const struct hostile_world *w)
{
	set_custom(r, w, "kind", "segments");
}

static void no_custom(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	cJSON_DeleteItemFromObjectCaseSensitive(target_of(r, w), "custom");
	hostile_bump(r, ALL);
}

static void other_model(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	cJSON_DeleteItemFromObjectCaseSensitive(custom_of(r, w), "model");
	cJSON_AddItemToArray(cJSON_AddArrayToObject(custom_of(r, w), "model"),
			     cJSON_CreateString("another-gateway"));
	hostile_bump(r, ALL);
}

static void other_tar(struct repo *r, const struct hostile_world *w)
{
	hostile_release(r, w);
	repo_set_string(hostile_member(custom_of(r, w), "tar"), "sha256",
			"00000000000000000000000000000000000000000000000000000000000000aa");
	hostile_bump(r, ALL);
}

/* ---- the catalogue ---- */

/* NOLINTBEGIN(bugprone-macro-parentheses): initializers, not expressions */
#define ARBITRARY(text)	   .attack = "arbitrary installation", .what = text
#define ENDLESS(text)	   .attack = "endless data", .what = text
#define EXTRANEOUS(text)   .attack = "extraneous dependencies", .what = text
#define FAST_FORWARD(text) .attack = "fast-forward", .what = text
#define FREEZE(text)	   .attack = "indefinite freeze", .what = text
#define MIRROR(text)	   .attack = "malicious mirror", .what = text
#define MIX(text)	   .attack = "mix-and-match", .what = text
#define ROLLBACK(text)	   .attack = "rollback", .what = text
#define SLOW(text)	   .attack = "slow retrieval", .what = text
#define COMPROMISE(text)   .attack = "key compromise", .what = text
#define WRONG(text)	   .attack = "wrong software", .what = text

#define REFUSED(word, text)	   .reason = REASON_##word, .says = text
#define SOFTWARE		   .layer = HOSTILE_SOFTWARE, .kept = "*"
#define SERVER(text)		   .layer = HOSTILE_TRANSPORT, .fault = text, .is_agents_only = true
#define FETCH(name, error)	   .fetch_name = name, .fetch_errno = -(error)
#define OFFER(a_version, a_target) .offer = { a_version, a_target }
/* NOLINTEND(bugprone-macro-parentheses) */

/* What an honest timestamp leads to before something else is refused. */
#define ONLINE_KEPT  "timestamp.json snapshot.json"
#define TARGETS_KEPT "timestamp.json snapshot.json targets.json"

const struct hostile_variant hostile_variants[] = {
	/* clang-format off */
	{ ARBITRARY("everything signed with keys of the attacker's"), .build = own_keys,
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 1") },
	{ ARBITRARY("no signatures at all"), .build = no_signatures,
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 1") },
	{ ARBITRARY("a root of the attacker's as the next one"), .build = own_root,
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 2") },
	{ ARBITRARY("online keys stolen, another B under the old signatures"),
	  .build = old_signatures, .kept = ONLINE_KEPT, REFUSED(BAD_SIGNATURE, "signed by 0 of 2") },
	{ ARBITRARY("online keys and one of B stolen, which signs twice"), .build = signs_twice,
	  .kept = ONLINE_KEPT, REFUSED(BAD_METADATA, "has two of one keyid") },
	{ ARBITRARY("online keys and one of B stolen, which signs for the other"),
	  .build = signs_for_another, .kept = ONLINE_KEPT,
	  REFUSED(BAD_SIGNATURE, "signed by 1 of 2") },
	{ ARBITRARY("online keys stolen, B without signatures"), .build = unsigned_b,
	  .kept = ONLINE_KEPT, REFUSED(BAD_SIGNATURE, "signed by 0 of 2") },
	{ ARBITRARY("other bytes for the program file"), SERVER("targets/B/*.tar.xz corrupt"),
	  .kept = "*", REFUSED(SEGMENT_HASH, NULL) },
	{ ARBITRARY("other bytes for the segment list"), SERVER("targets/B/*.seg* corrupt"),
	  .kept = "*", REFUSED(HASH, "not the file that was signed") },

	{ ENDLESS("timestamp a byte longer than 16 KiB"), .build = long_timestamp,
	  REFUSED(BAD_METADATA, "larger than 16384") },
	{ ENDLESS("next root a byte longer than 512 KiB"), .build = long_root,
	  REFUSED(BAD_METADATA, "larger than 524288") },
	{ ENDLESS("snapshot a byte longer than the timestamp says"), .build = longer_than_said,
	  .kept = "timestamp.json", REFUSED(BAD_METADATA, "larger than") },
	{ ENDLESS("no length given, snapshot a byte longer than 2 MiB"), .build = long_snapshot,
	  .kept = "timestamp.json", REFUSED(BAD_METADATA, "larger than 2097152") },
	{ ENDLESS("timestamp key stolen, it says that the snapshot has 2^53-1 bytes"),
	  .build = says_endless, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, "larger than 2097152") },
	{ ENDLESS("no length given, B a byte longer than 5 MiB"), .build = long_b,
	  .kept = TARGETS_KEPT, REFUSED(BAD_METADATA, "larger than 5242880") },
	{ ENDLESS("a timestamp of brackets"), .build = deep_timestamp,
	  REFUSED(BAD_METADATA, "malformed") },
	{ ENDLESS("timestamp without an end"), SERVER("metadata/timestamp.json endless"),
	  FETCH("timestamp.json", EFBIG), REFUSED(BAD_METADATA, "larger than 16384") },
	{ ENDLESS("timestamp in chunks without an end"), SERVER("metadata/timestamp.json chunked"),
	  FETCH("timestamp.json", EFBIG), REFUSED(BAD_METADATA, "larger than 16384") },
	{ ENDLESS("timestamp of a terabyte, says the server"),
	  SERVER("metadata/timestamp.json huge"), FETCH("timestamp.json", EFBIG),
	  REFUSED(BAD_METADATA, "larger than 16384") },
	{ ENDLESS("next root without an end"), SERVER("metadata/2.root.json endless"),
	  FETCH("2.root.json", EFBIG), REFUSED(BAD_METADATA, "larger than 524288") },
	{ ENDLESS("B without an end"), SERVER("metadata/4.B.json endless"),
	  FETCH("4.B.json", EFBIG), .kept = TARGETS_KEPT, REFUSED(BAD_METADATA, "larger than") },
	{ ENDLESS("headers without an end"), SERVER("metadata/timestamp.json headers"),
	  FETCH("timestamp.json", EPROTO), REFUSED(BAD_ANSWER, NULL) },
	{ ENDLESS("one header without an end"), SERVER("metadata/timestamp.json header"),
	  FETCH("timestamp.json", EPROTO), REFUSED(BAD_ANSWER, NULL) },
	{ ENDLESS("interim answers without an end"), SERVER("metadata/timestamp.json interim"),
	  FETCH("timestamp.json", EPROTO), REFUSED(BAD_ANSWER, NULL) },
	{ ENDLESS("segment list without an end"), SERVER("targets/B/*.seg* endless"),
	  .kept = "*", REFUSED(LENGTH, "more than") },
	{ ENDLESS("segment without an end"), SERVER("targets/B/*.tar.xz endless"),
	  .kept = "*", REFUSED(BAD_ANSWER, NULL), .is_slow = true },

	{ EXTRANEOUS("all keys of B stolen, B lists a file of A"), .build = b_speaks_for_a,
	  .kept = "*", OFFER(EXTRANEOUS_VERSION, EXTRANEOUS_PATH), REFUSED(NO_TARGET, NULL) },
	{ EXTRANEOUS("online keys stolen, a role that nobody delegates to lists it"),
	  .build = role_of_nobody, .kept = ONLINE_KEPT, REFUSED(NO_TARGET, NULL),
	  .recovery = RECOVER_ROTATED_ONLY },
	{ EXTRANEOUS("A's key stolen, A delegates B's files to the attacker"),
	  .build = a_delegates_b, .kept = "*", REFUSED(NO_TARGET, NULL),
	  .recovery = RECOVER_ROTATED_ONLY },
	{ EXTRANEOUS("all keys of B stolen, a chain of 32 delegations below B"),
	  .build = long_chain, .kept = "*", REFUSED(NO_TARGET, NULL),
	  .recovery = RECOVER_ROTATED_ONLY },
	{ EXTRANEOUS("all keys of B stolen, delegations in a circle"), .build = circle,
	  .kept = "*", REFUSED(NO_TARGET, NULL),
	  .recovery = RECOVER_ROTATED_ONLY },
	{ EXTRANEOUS("all keys of B stolen, it requires an A that there is not"),
	  .build = requires_a, SOFTWARE, REFUSED(REQUIRES, "needs A209901010001") },
	{ EXTRANEOUS("all keys of B stolen, it requires a program that there is not"),
	  .build = requires_z, SOFTWARE, REFUSED(REQUIRES, "needs Z209901010001") },
	{ EXTRANEOUS("all keys of B stolen, it requires what is no version"),
	  .build = requires_nonsense, SOFTWARE, REFUSED(BAD_METADATA, "requires") },

	{ FAST_FORWARD("timestamp 2^31-1 signed with a key of the attacker's"),
	  .build = far_own_timestamp, REFUSED(BAD_SIGNATURE, "signed by 0 of 1") },
	{ FAST_FORWARD("timestamp key stolen, timestamp and snapshot 2^31-1"),
	  .build = far_timestamp_and_snapshot, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, "not in the repository"), .recovery = RECOVER_ROTATED_ONLY },
	{ FAST_FORWARD("timestamp key stolen, timestamp 2^31-1 with the true snapshot"),
	  .build = far_timestamp_only, .kept = "timestamp.json", REFUSED(NO_TARGET, NULL),
	  .recovery = RECOVER_ROTATED_ONLY },
	{ FAST_FORWARD("timestamp key stolen, a version of 2^63"),
	  .build = far_too_far, REFUSED(BAD_METADATA, "malformed") },
	{ FAST_FORWARD("online keys stolen, targets 2^31-1"), .build = far_targets,
	  .kept = ONLINE_KEPT, REFUSED(BAD_METADATA, "not in the repository"),
	  .recovery = RECOVER_ROTATED_ONLY },
	{ FAST_FORWARD("online keys stolen, B 2^31-1"), .build = far_b, .kept = ONLINE_KEPT,
	  REFUSED(BAD_METADATA, "not in the repository"), .recovery = RECOVER_ROTATED_ONLY },
	{ FAST_FORWARD("root 2^31-1, well signed, as the next one"), .build = far_root,
	  REFUSED(METADATA_ROLLBACK, "has version 2147483647") },
	{ FAST_FORWARD("snapshot key stolen, snapshot 2^31-1 under the true timestamp"),
	  .build = far_snapshot, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, NULL) },

	{ FREEZE("the timestamp for ever"), .expires = "timestamp",
	  REFUSED(EXPIRED, "timestamp.json (version 3): expired") },
	{ FREEZE("the snapshot for ever"), .expires = "snapshot",
	  REFUSED(EXPIRED, "snapshot.json (version 3): expired") },
	{ FREEZE("the targets for ever"), .expires = "targets",
	  REFUSED(EXPIRED, "targets.json (version 3): expired") },
	{ FREEZE("B for ever"), .expires = "B", REFUSED(EXPIRED, "B.json (version 3): expired") },
	{ FREEZE("the root for ever"), .expires = "root",
	  REFUSED(EXPIRED, "root.json (version 1): expired") },
	{ FREEZE("a new root that has run out"), .build = expired_root,
	  .kept = "root.json 2.root.json", REFUSED(EXPIRED, "root.json (version 2): expired") },
	{ FREEZE("a new timestamp that has run out"), .build = expired_timestamp,
	  REFUSED(EXPIRED, "timestamp.json (version 4): expired") },
	{ FREEZE("a new B that has run out"), .build = expired_b, .kept = TARGETS_KEPT,
	  REFUSED(EXPIRED, "B.json (version 4): expired") },

	{ MIRROR("the files of another repository"), .build = another_repository,
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 1") },
	{ MIRROR("a login page for the timestamp"), .build = login_page,
	  REFUSED(BAD_METADATA, "malformed") },
	{ MIRROR("an empty timestamp"), .build = empty_timestamp,
	  REFUSED(BAD_METADATA, "malformed") },
	{ MIRROR("half a timestamp"), .build = half_a_timestamp,
	  REFUSED(BAD_METADATA, "malformed") },
	{ MIRROR("no snapshot"), .build = no_snapshot, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, "not in the repository") },
	{ MIRROR("no B"), .build = no_b, .kept = TARGETS_KEPT,
	  REFUSED(BAD_METADATA, "not in the repository") },
	{ MIRROR("A in the place of B"), .build = a_for_b, .kept = TARGETS_KEPT,
	  REFUSED(BAD_METADATA, NULL) },
	{ MIRROR("A in the place of B, no hashes given"), .build = a_for_b_without_hashes,
	  .kept = TARGETS_KEPT, REFUSED(BAD_SIGNATURE, "signed by 0 of 2") },
	{ MIRROR("the snapshot in the place of the timestamp"), .build = snapshot_for_timestamp,
	  REFUSED(BAD_METADATA, "malformed") },
	{ MIRROR("no metadata at all"), SERVER("metadata/* missing"),
	  FETCH("timestamp.json", ENOENT), REFUSED(BAD_METADATA, "not in the repository") },
	{ MIRROR("a redirect to http"), SERVER("metadata/timestamp.json redirect-http"),
	  FETCH("timestamp.json", EREMCHG), REFUSED(BAD_ANSWER, NULL) },
	{ MIRROR("a redirect to another host"), SERVER("metadata/timestamp.json redirect-host"),
	  FETCH("timestamp.json", EREMCHG), REFUSED(BAD_ANSWER, NULL) },
	{ MIRROR("a timestamp that says it is gzip"), SERVER("metadata/timestamp.json gzip"),
	  FETCH("timestamp.json", EPROTO), REFUSED(BAD_ANSWER, NULL) },
	{ MIRROR("the whole program file where a range was asked for"),
	  SERVER("targets/B/*.tar.xz whole"), .kept = "*", REFUSED(RANGE_IGNORED, NULL) },
	{ MIRROR("another range than was asked for"), SERVER("targets/B/*.tar.xz other-range"),
	  .kept = "*", REFUSED(BAD_ANSWER, NULL) },
	{ MIRROR("a range of a file of another length"), SERVER("targets/B/*.tar.xz other-total"),
	  .kept = "*", REFUSED(FILE_CHANGED, NULL) },

	{ MIX("snapshot 4 with B of 3"), .build = b_of_3, .kept = TARGETS_KEPT,
	  REFUSED(BAD_METADATA, "length or hash differ") },
	{ MIX("snapshot 4 with B of 3, no hashes given"), .build = b_of_3_without_hashes,
	  .kept = TARGETS_KEPT, REFUSED(BAD_METADATA, "has version 3, meant is 4") },
	{ MIX("snapshot 4 with targets of 3"), .build = targets_of_3, .kept = ONLINE_KEPT,
	  REFUSED(BAD_METADATA, "length or hash differ") },
	{ MIX("snapshot 4 with targets of 3, no hashes given"),
	  .build = targets_of_3_without_hashes, .kept = ONLINE_KEPT,
	  REFUSED(BAD_METADATA, "has version 3, meant is 4") },
	{ MIX("timestamp 4 with snapshot of 3"), .build = snapshot_of_3, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, "length or hash differ") },
	{ MIX("timestamp 4 with snapshot of 3, no hashes given"),
	  .build = snapshot_of_3_without_hashes, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, "has version 3, meant is 4") },
	{ MIX("timestamp 4 with snapshot of 5"), .build = snapshot_of_5, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, "length or hash differ") },
	{ MIX("snapshot 4 with another B of the same number"), .build = same_number,
	  .kept = TARGETS_KEPT, REFUSED(BAD_METADATA, NULL) },

	{ ROLLBACK("timestamp older than trusted"), .build = timestamp_2,
	  REFUSED(METADATA_ROLLBACK, "its version 2 is older than 3") },
	{ ROLLBACK("everything as it was at version 1"), .build = timestamp_1,
	  REFUSED(METADATA_ROLLBACK, "its version 1 is older than 3") },
	{ ROLLBACK("timestamp key stolen, timestamp 4 with snapshot 2"), .build = tells_snapshot_2,
	  REFUSED(METADATA_ROLLBACK, "snapshot.json version 2 is older than 3") },
	{ ROLLBACK("online keys stolen, snapshot 4 with B 2"), .build = tells_b_2,
	  .kept = "timestamp.json", REFUSED(METADATA_ROLLBACK, "B.json version 2 is older than 3") },
	{ ROLLBACK("online keys stolen, snapshot 4 with targets 2"), .build = tells_targets_2,
	  .kept = "timestamp.json",
	  REFUSED(METADATA_ROLLBACK, "targets.json version 2 is older than 3") },
	{ ROLLBACK("online keys stolen, snapshot 4 without B"), .build = b_disappears,
	  .kept = "timestamp.json", REFUSED(BAD_METADATA, "B.json has disappeared") },
	{ ROLLBACK("root 1 as the next one"), .build = root_1,
	  REFUSED(METADATA_ROLLBACK, "trusted before is 1") },
	{ ROLLBACK("timestamp key stolen, another timestamp 3"), .build = another_timestamp_3,
	  REFUSED(NO_TARGET, NULL) },
	{ ROLLBACK("a release that was signed long ago"), SOFTWARE,
	  OFFER("B202101010001", HOSTILE_OLD_PATH), REFUSED(OLDER_VERSION, "not newer than") },

	{ SLOW("the timestamp, a byte a second"), SERVER("metadata/timestamp.json slow"),
	  FETCH("timestamp.json", ETIMEDOUT), REFUSED(NETWORK, NULL), .is_slow = true },
	{ SLOW("the head of an answer, a byte a second"),
	  SERVER("metadata/timestamp.json slow-head"), FETCH("timestamp.json", ETIMEDOUT),
	  REFUSED(NETWORK, NULL), .is_slow = true },
	{ SLOW("the next root: silence"), SERVER("metadata/2.root.json silent"),
	  FETCH("2.root.json", ETIMEDOUT), REFUSED(NETWORK, NULL), .is_slow = true },
	{ SLOW("the snapshot, a byte a second"), SERVER("metadata/4.snapshot.json slow"),
	  FETCH("4.snapshot.json", ETIMEDOUT), .kept = "timestamp.json", REFUSED(NETWORK, NULL),
	  .is_slow = true },
	{ SLOW("B, half of it and then silence"), SERVER("metadata/4.B.json half"),
	  FETCH("4.B.json", ETIMEDOUT), .kept = TARGETS_KEPT, REFUSED(NETWORK, NULL),
	  .is_slow = true },
	{ SLOW("the segment list, a byte a second"), SERVER("targets/B/*.seg* slow"),
	  .kept = "*", REFUSED(NETWORK, NULL), .is_slow = true },
	{ SLOW("every segment: come back tomorrow"), SERVER("targets/B/*.tar.xz tomorrow"),
	  .kept = "*", REFUSED(SERVER_ERROR, NULL) },

	{ COMPROMISE("the timestamp key"), .build = only_timestamp_key, .kept = "timestamp.json",
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 1") },
	{ COMPROMISE("the snapshot key"), .build = only_snapshot_key, .kept = "timestamp.json",
	  REFUSED(BAD_METADATA, NULL) },
	{ COMPROMISE("both online keys"), .build = online_keys, .kept = ONLINE_KEPT,
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 2") },
	{ COMPROMISE("both online keys and one of B's two"), .build = online_and_one_of_b,
	  .kept = ONLINE_KEPT, REFUSED(BAD_SIGNATURE, "signed by 1 of 2") },
	{ COMPROMISE("both online keys and one of the two for targets"),
	  .build = online_and_one_of_targets, .kept = ONLINE_KEPT,
	  REFUSED(BAD_SIGNATURE, "signed by 1 of 2") },
	{ COMPROMISE("both online keys, one for targets, one of B"), .build = one_of_each,
	  .kept = ONLINE_KEPT, REFUSED(BAD_SIGNATURE, "signed by 1 of 2") },
	{ COMPROMISE("both online keys and A's"), .build = online_and_a, .kept = "*",
	  REFUSED(NO_TARGET, NULL) },
	{ COMPROMISE("one of B's two"), .build = one_of_b, .kept = TARGETS_KEPT,
	  REFUSED(BAD_METADATA, NULL) },
	{ COMPROMISE("one of the two for targets"), .build = one_of_targets, .kept = ONLINE_KEPT,
	  REFUSED(BAD_METADATA, NULL) },
	{ COMPROMISE("a root with root keys that have not signed it"), .build = cut_ceremony,
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 2") },
	{ COMPROMISE("one of the two root keys, and the attacker's own root"),
	  .build = one_root_key, REFUSED(BAD_SIGNATURE, "signed by 1 of 2") },
	{ COMPROMISE("the timestamp key, which signs a snapshot"),
	  .build = timestamp_key_for_snapshot, .kept = "timestamp.json",
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 1") },
	{ COMPROMISE("a key for targets and one of B, which sign a B"), .build = targets_key_for_b,
	  .kept = ONLINE_KEPT, REFUSED(BAD_SIGNATURE, "signed by 1 of 2") },
	{ COMPROMISE("a timestamp key that was replaced"), .build = rotated_timestamp_key,
	  .kept = "root.json 2.root.json timestamp.json snapshot.json",
	  REFUSED(BAD_SIGNATURE, "signed by 0 of 1"), .recovery = RECOVER_ROTATED },
	{ COMPROMISE("two keys of B, of which one was removed"), .build = removed_key_of_b,
	  .kept = "*", REFUSED(BAD_SIGNATURE, "signed by 1 of 2") },

	{ WRONG("for another architecture"), .build = other_arch, SOFTWARE,
	  REFUSED(WRONG_ARCH, NULL) },
	{ WRONG("for no architecture"), .build = no_arch, SOFTWARE,
	  REFUSED(WRONG_ARCH, NULL), .installer_reason = REASON_BAD_METADATA },
	{ WRONG("for another model"), .build = other_model, SOFTWARE, REFUSED(WRONG_MODEL, NULL) },
	{ WRONG("another program under B's name"), .build = other_program, SOFTWARE,
	  REFUSED(WRONG_PROGRAM, NULL) },
	{ WRONG("another version than is offered"), .build = other_version, SOFTWARE,
	  REFUSED(NO_TARGET, NULL), .installer_reason = REASON_TAR_CONTENT },
	{ WRONG("an older version than is offered"), .build = older_version, SOFTWARE,
	  REFUSED(NO_TARGET, NULL), .installer_reason = REASON_OLDER_VERSION },
	{ WRONG("a list of segments"), .build = segments_kind, SOFTWARE,
	  REFUSED(BAD_METADATA, NULL) },
	{ WRONG("a file that is nothing"), .build = no_custom, SOFTWARE,
	  REFUSED(BAD_METADATA, NULL) },
	{ WRONG("a file of A, offered as B"), SOFTWARE,
	  OFFER("B209901010001", HOSTILE_PATH_OF_A), REFUSED(WRONG_PROGRAM, NULL),
	  .is_agents_only = true },
	{ WRONG("another tar in the program file than is signed"), .build = other_tar, SOFTWARE,
	  REFUSED(TAR_CONTENT, NULL) },
	/* clang-format on */
};

const size_t hostile_n_variants = ELEMENTSOF(hostile_variants);
