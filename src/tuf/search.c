/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "client_private.h"

/* ---- 5.6.7: the search for a target ---- */

struct search {
	const char *path;
	char path_sha256_hex[SHA256_HEX_LENGTH + 1];
	unsigned n_visits;
	bool is_over; /* a terminating delegation was explored, or there were too many visits */
	const struct tuf_target *found;
	const char *found_role;
};

/* The delegation path that a role was reached by: its last hop, leading back to the first. */
struct hop {
	const char *role;
	const struct tuf_metadata *metadata;
	const struct hop *from;
};

static bool was_passed(const struct hop *hop, const char *role)
{
	for (; hop; hop = hop->from)
		if (strcmp(hop->role, role) == 0)
			return true;
	return false;
}

static int search_role(struct tuf_client *c, struct search *s, const struct hop *here);

/* A role that is reached by two paths is visited by both: what each lets it speak for differs. Every
 * visit counts, so cycles, depth and time are bounded. */
static int search_delegation(struct tuf_client *c, struct search *s, const struct hop *from,
			     const struct tuf_role *role)
{
	struct hop here = { .role = role->name, .from = from };
	int r;

	if (was_passed(from, role->name))
		return 0;
	if (s->n_visits == c->limits.roles) {
		s->is_over = true;
		return 0;
	}
	s->n_visits++;
	r = tuf_client_get_delegated(c, from->metadata, role, &here.metadata);
	return r < 0 ? r : search_role(c, s, &here);
}

/* Pre-order: the role itself, then its delegations in order of appearance. */
static int search_role(struct tuf_client *c, struct search *s, const struct hop *here)
{
	const struct tuf_roles *delegations = &here->metadata->roles;
	int r;

	s->found = tuf_metadata_find_target(here->metadata, s->path);
	s->found_role = here->role;
	for (size_t i = 0; i < delegations->n_roles && !s->found && !s->is_over; i++) {
		const struct tuf_role *role = &delegations->roles[i];

		if (!tuf_role_matches(role, s->path, s->path_sha256_hex))
			continue;
		r = search_delegation(c, s, here, role);
		if (r < 0)
			return r;
		if (role->terminating)
			s->is_over = true;
	}
	return 0;
}

static int search_target(struct tuf_client *c, const char *path, struct tuf_target *ret)
{
	const struct hop top = { .role = "targets", .metadata = c->targets };
	struct search s = { .path = path };
	uint8_t sha256[SHA256_BYTES];
	int r;

	r = digest_sha256(path, strlen(path), sha256);
	if (r < 0)
		return refuse(c, r, REASON_INTERNAL, "no SHA-256");
	hex_encode(sha256, sizeof sha256, s.path_sha256_hex);
	r = search_role(c, &s, &top);
	if (r < 0)
		return r;
	if (!s.found)
		return refuse(c, -ENOENT, REASON_NO_TARGET, "%.200s: no role signs for it", path);
	*ret = *s.found;
	ret->role = s.found_role;
	return 0;
}

static bool can_be_checked(const struct tuf_target *target)
{
	return target->has_sha256 || target->has_sha512;
}

static int needs_refresh(struct tuf_client *c)
{
	if (c->targets)
		return 0;
	return refuse(c, -EINVAL, REASON_INTERNAL, "the metadata was not refreshed");
}

int tuf_client_find_target(struct tuf_client *c, const char *path, struct tuf_target *ret)
{
	struct tuf_target found;
	int r;

	r = needs_refresh(c);
	if (r == 0)
		r = search_target(c, path, &found);
	if (r < 0)
		return r;
	if (!can_be_checked(&found))
		return refuse(c, -EBADMSG, REASON_BAD_METADATA,
			      "%.200s: has no hash that can be checked here", path);
	*ret = found;
	return 0;
}

/* ---- every target ---- */

/* Every role that can be reached, once, in the order of a search. */
struct tour {
	struct tour_role {
		const char *name;
		const struct tuf_metadata *metadata;
	} * roles;
	unsigned n;
};

static void tour_done(struct tour *t)
{
	free(t->roles);
}
#define _cleanup_tour_ _cleanup_(tour_done)

static bool has_seen(const struct tour *t, const char *role)
{
	for (unsigned i = 0; i < t->n; i++)
		if (strcmp(t->roles[i].name, role) == 0)
			return true;
	return false;
}

static int tour_role(struct tuf_client *c, struct tour *t, const char *name,
		     const struct tuf_metadata *m)
{
	int r = 0;

	t->roles[t->n++] = (struct tour_role){ name, m };
	for (size_t i = 0; i < m->roles.n_roles && t->n <= c->limits.roles && r == 0; i++) {
		const struct tuf_role *role = &m->roles.roles[i];
		const struct tuf_metadata *delegated;

		if (has_seen(t, role->name))
			continue;
		r = tuf_client_get_delegated(c, m, role, &delegated);
		if (r == 0)
			r = tour_role(c, t, role->name, delegated);
	}
	return r;
}

/* Only what a search by path would give: a role may list targets that nobody lets it speak for, or
 * that a role before it speaks for. */
static int visit_target(struct tuf_client *c, const struct tour_role *role, const char *path,
			int (*visit)(const struct tuf_target *target, void *userdata),
			void *userdata)
{
	struct tuf_target found;
	int r;

	r = search_target(c, path, &found);
	if (r == -ENOENT) {
		tuf_client_forgive(c);
		return 0;
	}
	if (r < 0 || strcmp(found.role, role->name) != 0 || !can_be_checked(&found))
		return r;
	return visit(&found, userdata);
}

static int visit_targets(struct tuf_client *c, const struct tour_role *role,
			 int (*visit)(const struct tuf_target *target, void *userdata),
			 void *userdata)
{
	int r = 0;

	for (size_t i = 0; i < role->metadata->n_targets && r == 0; i++)
		r = visit_target(c, role, role->metadata->targets[i].path, visit, userdata);
	return r;
}

int tuf_client_each_target(struct tuf_client *c,
			   int (*visit)(const struct tuf_target *target, void *userdata),
			   void *userdata)
{
	_cleanup_tour_ struct tour t = {};
	int r;

	r = needs_refresh(c);
	if (r < 0)
		return r;
	t.roles = calloc((size_t)c->limits.roles + 1, sizeof *t.roles);
	if (!t.roles)
		return refuse(c, -ENOMEM, REASON_NO_MEMORY, "no memory");
	r = tour_role(c, &t, "targets", c->targets);
	for (unsigned i = 0; i < t.n && r == 0; i++)
		r = visit_targets(c, &t.roles[i], visit, userdata);
	return r;
}
