/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <string.h>

#include "tuf/canonical.h"
#include "tuf/name.h"

static void check_common(const struct tuf_metadata *m, enum tuf_type type)
{
	check(m->type == type);
	check(m->version > 0 && m->version < UINT64_C(1) << 53);
	check(m->signed_size > 2 && strlen(m->signed_bytes) == m->signed_size);
	check(cJSON_IsArray(m->signatures));
	/* Nothing here can be signed by the keys that it names itself, except by whom has them. */
	for (size_t i = 0; i < m->roles.n_roles; i++) {
		unsigned n = 4711;
		int r = tuf_role_verify(&m->roles, &m->roles.roles[i], m, &n);

		check(r == 0 || r == -EKEYREJECTED);
		check((r == 0) == (n >= m->roles.roles[i].threshold));
		check(tuf_roles_find(&m->roles, m->roles.roles[i].name) == &m->roles.roles[i]);
	}
}

static void check_root(const struct tuf_metadata *m)
{
	static const char *const top[] = { "root", "timestamp", "snapshot", "targets" };

	check(m->roles.n_roles == ELEMENTSOF(top) && m->n_meta == 0 && m->n_targets == 0);
	for (size_t i = 0; i < ELEMENTSOF(top); i++) {
		check(tuf_roles_find(&m->roles, top[i]));
		check(!tuf_role_rotated(&m->roles, &m->roles, top[i]));
	}
}

static void check_meta(const struct tuf_metadata *m)
{
	const char *needed = m->type == TUF_TIMESTAMP ? "snapshot.json" : "targets.json";

	check(m->n_meta > 0 && tuf_metadata_find_meta(m, needed));
	for (size_t i = 0; i < m->n_meta; i++) {
		check(tuf_metadata_find_meta(m, m->meta[i].name) == &m->meta[i]);
		check(m->meta[i].version > 0);
		/* Nobody knows a text of the hashes that came with it, but by its length alone. */
		if (m->meta[i].has_sha256 || m->meta[i].has_sha512)
			check(tuf_meta_check(&m->meta[i], "x", 1) == -EBADMSG);
	}
	check(!tuf_metadata_find_meta(m, "no such name"));
}

static void check_targets(const struct tuf_metadata *m)
{
	static const char hex[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

	for (size_t i = 0; i < m->n_targets; i++) {
		const struct tuf_target *t = &m->targets[i];

		check(t->path[0]);
		check(!t->custom || cJSON_IsObject(t->custom));
		check(tuf_metadata_find_target(m, t->path) == t);
		for (size_t j = 0; j < m->roles.n_roles; j++)
			(void)tuf_role_matches(&m->roles.roles[j], t->path, hex);
	}
	for (size_t i = 0; i < m->roles.n_roles; i++) {
		const struct tuf_role *role = &m->roles.roles[i];

		check(tuf_role_name_is_free(role->name));
		check(!role->paths || !role->path_hash_prefixes);
		check(role->paths || role->path_hash_prefixes ||
		      !tuf_role_matches(role, "B/b.tar.xz", hex));
		(void)tuf_role_matches(role, "", hex);
	}
}

/* The same however it is written: what was read is printed, and read to the same. */
static void check_again(const struct tuf_metadata *m)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *again = NULL;
	_cleanup_free_ char *text = json_print(m->json);
	struct json_error error = {};

	check(text);
	check(tuf_metadata_parse(text, strlen(text), m->type, &again, &error) == 0);
	check(again->signed_size == m->signed_size &&
	      memcmp(again->signed_bytes, m->signed_bytes, m->signed_size) == 0);
	check(again->version == m->version && again->expires_sec == m->expires_sec);
	check(again->n_meta == m->n_meta && again->n_targets == m->n_targets);
	check(again->roles.n_roles == m->roles.n_roles && again->roles.n_keys == m->roles.n_keys);
}

void fuzz_metadata(enum tuf_type type, const uint8_t *data, size_t size)
{
	_cleanup_(tuf_metadata_freep) struct tuf_metadata *m = NULL;
	struct json_error error = {};
	int r;

	r = tuf_metadata_parse(data, size, type, &m, &error);
	check(r == 0 || r == -EBADMSG || r == -EFBIG);
	check((r == 0) == (m != NULL));
	check(r == 0 || error.text[0]);
	if (r < 0)
		return;
	check_common(m, type);
	if (type == TUF_ROOT)
		check_root(m);
	else if (type == TUF_TARGETS)
		check_targets(m);
	else
		check_meta(m);
	check_again(m);
}
