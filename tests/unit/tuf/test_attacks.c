/* SPDX-License-Identifier: Apache-2.0 */
/* Every attack of the catalogue (tests/lib/hostile_repo.h) against the client, in memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hostile_repo.h"
#include "tuf/client.h"

static struct hostile_world world;

static int setup(void **state)
{
	(void)state;
	hostile_world_init(&world, REPO_NOW_SEC, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hostile_world_done(&world);
	return 0;
}

/* One run of a client: it refreshes, and looks for the program file. */
struct verdict {
	int error;
	enum reason reason;
	char says[512];
	struct tuf_target target;
	uint8_t sha256[SHA256_BYTES];
};

static void run_client(struct repo *r, const char *path, struct verdict *ret)
{
	struct tuf_client *c = repo_client_at(r, world.now_sec);
	int error = tuf_client_refresh(c);

	*ret = (struct verdict){ 0 };
	if (error >= 0)
		error = tuf_client_find_target(c, path, &ret->target);
	if (error >= 0)
		memcpy(ret->sha256, ret->target.sha256, sizeof ret->sha256);
	ret->error = error;
	ret->reason = tuf_client_reason(c);
	(void)snprintf(ret->says, sizeof ret->says, "%s", tuf_client_error(c));
	(void)tuf_client_free(c);
}

/* ---- what must be true of each ---- */

/* What the network is to the agent is one reason here. */
static enum reason reason_in_memory(const struct hostile_variant *v)
{
	if (v->fetch_errno == 0 || v->fetch_errno == -EFBIG || v->fetch_errno == -ENOENT)
		return v->reason;
	return REASON_NETWORK;
}

static void expect_refused(const struct hostile_variant *v, const struct verdict *got)
{
	bool says_it = !v->says || strstr(got->says, v->says);

	if (got->error < 0 && got->reason == reason_in_memory(v) && says_it)
		return;
	fail_msg("%s/%s: %s (%s '%s'), expected is %s '%s'", v->attack, v->what,
		 got->error < 0 ? "refused" : "ACCEPTED",
		 got->reason ? reason_name(got->reason) : "none", got->says,
		 reason_name(reason_in_memory(v)), v->says ? v->says : "");
}

static bool may_be_kept(const struct hostile_variant *v, const char *name)
{
	size_t size = strlen(name);

	if (!v->kept)
		return false;
	for (const char *p = v->kept; (p = strstr(p, name)); p += size)
		if ((p == v->kept || p[-1] == ' ') && (p[size] == '\0' || p[size] == ' '))
			return true;
	return strcmp(v->kept, "*") == 0;
}

/* before: what was kept before the attack. */
static void expect_nothing_kept(const struct hostile_variant *v, const struct repo *before,
				const struct repo *after)
{
	for (size_t i = 0; i < after->local.n; i++) {
		const struct repo_file *f = &after->local.list[i];

		if (!files_equal(f, files_get(&before->local, f->name)) && !may_be_kept(v, f->name))
			fail_msg("%s/%s: %s was kept", v->attack, v->what, f->name);
	}
	for (size_t i = 0; i < before->local.n; i++)
		assert_non_null(files_get(&after->local, before->local.list[i].name));
}

/* With what was kept in the attack the client meets the owners' next state. */
static void recover(const struct repo *attacked, bool is_rotated, struct verdict *ret)
{
	struct repo *r = hostile_recovered(&world, is_rotated);

	for (size_t i = 0; i < attacked->local.n; i++) {
		const struct repo_file *f = &attacked->local.list[i];

		files_put(&r->local, f->name, f->bytes, f->size);
	}
	run_client(r, world.target, ret);
	repo_free(r);
}

static void expect_recovery(const struct hostile_variant *v, const struct repo *attacked)
{
	const char *true_hash = cJSON_GetStringValue(hostile_member(
		hostile_member(hostile_member(world.targets, world.target), "hashes"), "sha256"));
	char hex[SHA256_HEX_LENGTH + 1];
	struct verdict got;

	if (v->recovery == RECOVER_ROTATED_ONLY) {
		recover(attacked, false, &got);
		assert_true(got.error == -ESTALE || got.error == -EBADMSG);
	}
	recover(attacked, v->recovery != RECOVER_NEXT, &got);
	if (got.error < 0)
		fail_msg("%s/%s: no recovery: %s", v->attack, v->what, got.says);
	hex_encode(got.sha256, sizeof got.sha256, hex);
	assert_string_equal(hex, true_hash);
}

static void meet(const struct hostile_variant *v)
{
	struct repo *before = hostile_trusted(&world, v), *r = hostile_state(&world, v);
	struct verdict got;

	run_client(r, v->offer.target ? v->offer.target : world.target, &got);
	if (v->layer == HOSTILE_SOFTWARE)
		assert_int_equal(got.error, 0);
	else
		expect_refused(v, &got);
	expect_nothing_kept(v, before, r);
	expect_recovery(v, r);
	/* A second time the attacker gets no further. */
	if (v->layer == HOSTILE_METADATA) {
		run_client(r, v->offer.target ? v->offer.target : world.target, &got);
		assert_true(got.error < 0);
	}
	repo_free(before);
	repo_free(r);
	if (v->layer != HOSTILE_SOFTWARE)
		print_message("%s/%s: refused (%s)\n", v->attack, v->what, reason_name(got.reason));
}

/* ---- by attack ---- */

/* What happens to segments and program files is not the client's. */
static bool is_for_the_client(const struct hostile_variant *v)
{
	return v->layer != HOSTILE_TRANSPORT || v->fetch_name;
}

static void meet_all(const char *attack)
{
	unsigned n = 0, n_known = 0;

	for (size_t i = 0; i < hostile_n_variants; i++) {
		const struct hostile_variant *v = &hostile_variants[i];

		if (strcmp(v->attack, attack) != 0)
			continue;
		n_known++;
		if (!is_for_the_client(v))
			continue;
		meet(v);
		n++;
	}
	assert_true(n_known >= 5);
	assert_true(n >= 5);
}

#define ATTACK(function, name)                                                                     \
	static void function(void **state)                                                         \
	{                                                                                          \
		(void)state;                                                                       \
		meet_all(name);                                                                    \
	}

ATTACK(test_arbitrary_installation, "arbitrary installation")
ATTACK(test_endless_data, "endless data")
ATTACK(test_extraneous_dependencies, "extraneous dependencies")
ATTACK(test_fast_forward, "fast-forward")
ATTACK(test_indefinite_freeze, "indefinite freeze")
ATTACK(test_malicious_mirror, "malicious mirror")
ATTACK(test_mix_and_match, "mix-and-match")
ATTACK(test_rollback, "rollback")
ATTACK(test_slow_retrieval, "slow retrieval")
ATTACK(test_key_compromise, "key compromise")
ATTACK(test_wrong_software, "wrong software")

/* ---- the catalogue itself ---- */

/* The honest states must be what they seem, or a refusal would prove nothing. */
static void test_honest_next_is_taken(void **state)
{
	struct repo *r = hostile_trusted(&world, NULL);
	struct verdict got;

	(void)state;
	hostile_release(r, &world);
	hostile_bump(r, "timestamp snapshot targets A B");
	run_client(r, world.target, &got);
	assert_int_equal(got.error, 0);
	repo_free(r);
}

static void test_owners_can_rotate(void **state)
{
	struct repo *r = hostile_trusted(&world, NULL);
	struct verdict got;

	(void)state;
	recover(r, true, &got);
	assert_int_equal(got.error, 0);
	repo_free(r);
}

/* All keys of B that are needed: then it is B's team, as far as anybody can tell. */
static void test_the_threshold_of_b_is_enough(void **state)
{
	struct repo *r = hostile_trusted(&world, NULL);
	struct verdict got;

	(void)state;
	hostile_replace(r, &world);
	hostile_bump(r, "B snapshot timestamp");
	run_client(r, world.target, &got);
	assert_int_equal(got.error, 0);
	repo_free(r);
}

static void test_ids_are_unique(void **state)
{
	char a[64], b[64];

	(void)state;
	for (size_t i = 0; i < hostile_n_variants; i++) {
		hostile_id(&hostile_variants[i], a, sizeof a);
		for (size_t j = 0; j < i; j++) {
			hostile_id(&hostile_variants[j], b, sizeof b);
			assert_string_not_equal(a, b);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_honest_next_is_taken),
		cmocka_unit_test(test_owners_can_rotate),
		cmocka_unit_test(test_the_threshold_of_b_is_enough),
		cmocka_unit_test(test_ids_are_unique),
		cmocka_unit_test(test_arbitrary_installation),
		cmocka_unit_test(test_endless_data),
		cmocka_unit_test(test_extraneous_dependencies),
		cmocka_unit_test(test_fast_forward),
		cmocka_unit_test(test_indefinite_freeze),
		cmocka_unit_test(test_malicious_mirror),
		cmocka_unit_test(test_mix_and_match),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_slow_retrieval),
		cmocka_unit_test(test_key_compromise),
		cmocka_unit_test(test_wrong_software),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
