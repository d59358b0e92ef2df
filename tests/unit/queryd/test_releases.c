/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static const char *newest(const struct releases *l, char program, const char *arch,
			  const char *model)
{
	const struct release *r = releases_newest(l, program, arch, model);

	return r ? r->target : "none";
}

static void test_newest_of_program_and_arch(void **state)
{
	_cleanup_(releases_unrefp) struct releases *l = new_releases();

	(void)state;
	add_full(l, "B202109010001", "amd64", "[]");
	add_full(l, "B202109020001", "amd64", "[]");
	add_full(l, "B202109010002", "amd64", "[]");
	add_full(l, "B202109030001", "arm64", "[]");
	add_full(l, "A202209010001", "amd64", "[]");
	releases_sort(l);
	assert_string_equal(newest(l, 'B', "amd64", ""), "B/B202109020001-amd64.tar.xz");
	assert_string_equal(newest(l, 'B', "arm64", "gw1"), "B/B202109030001-arm64.tar.xz");
	assert_string_equal(newest(l, 'A', "amd64", ""), "A/A202209010001-amd64.tar.xz");
	assert_string_equal(newest(l, 'A', "arm64", ""), "none");
	assert_string_equal(newest(l, 'C', "amd64", ""), "none");
}

static void test_models(void **state)
{
	_cleanup_(releases_unrefp) struct releases *l = new_releases();

	(void)state;
	add_full(l, "B202109010001", "amd64", "[]");
	add_full(l, "B202109020001", "amd64", "[\"gw1\",\"gw2\"]");
	add_full(l, "B202109030001", "amd64", "[\"gw3\"]");
	releases_sort(l);
	assert_string_equal(newest(l, 'B', "amd64", ""), "B/B202109010001-amd64.tar.xz");
	assert_string_equal(newest(l, 'B', "amd64", "gw"), "B/B202109010001-amd64.tar.xz");
	assert_string_equal(newest(l, 'B', "amd64", "gw2"), "B/B202109020001-amd64.tar.xz");
	assert_string_equal(newest(l, 'B', "amd64", "gw3"), "B/B202109030001-amd64.tar.xz");
}

static void test_arch_all(void **state)
{
	_cleanup_(releases_unrefp) struct releases *l = new_releases();

	(void)state;
	add_full(l, "B202109010001", "all", "[]");
	add_full(l, "B202109010001", "amd64", "[]");
	add_full(l, "B202108010001", "amd64", "[]");
	releases_sort(l);
	assert_string_equal(newest(l, 'B', "amd64", ""), "B/B202109010001-amd64.tar.xz");
	assert_string_equal(newest(l, 'B', "riscv64", ""), "B/B202109010001-all.tar.xz");
}

#define FULL "\"kind\":\"full\",\"program\":\"B\",\"version\":\"B202109010001\""

static void test_model_may_be_absent(void **state)
{
	_cleanup_(releases_unrefp) struct releases *l = new_releases();

	(void)state;
	assert_int_equal(add_release(l, "B/x", "{" FULL ",\"arch\":\"amd64\",\"more\":[{}]}"), 1);
	assert_int_equal(releases_at(l, 0)->n_models, 0);
	assert_int_equal(releases_at(l, 0)->length_bytes, 1000);
}

static void test_other_kinds_are_passed_over(void **state)
{
	_cleanup_(releases_unrefp) struct releases *l = new_releases();

	(void)state;
	assert_int_equal(releases_add(l, "B/x", 1, NULL), 0);
	assert_int_equal(add_release(l, "B/x", "{}"), 0);
	assert_int_equal(add_release(l, "B/x", "{\"kind\":1}"), 0);
	assert_int_equal(add_release(l, "B/x", "{\"kind\":\"segments\"}"), 0);
	assert_int_equal(releases_count(l), 0);
}

static void test_contradictions(void **state)
{
	_cleanup_(releases_unrefp) struct releases *l = new_releases();

	(void)state;
	assert_int_equal(add_release(l, "A/x", "{" FULL ",\"arch\":\"amd64\"}"), -EBADMSG);
	assert_int_equal(add_release(l, "Bx", "{" FULL ",\"arch\":\"amd64\"}"), -EBADMSG);
	assert_int_equal(add_release(l, "B/x", "{" FULL "}"), -EBADMSG);
	assert_int_equal(add_release(l, "B/x", "{" FULL ",\"arch\":\"\"}"), -EBADMSG);
	assert_int_equal(add_release(l, "B/x", "{" FULL ",\"arch\":\"amd64\",\"model\":\"gw1\"}"),
			 -EBADMSG);
	assert_int_equal(add_release(l, "B/x", "{" FULL ",\"arch\":\"amd64\",\"model\":[1]}"),
			 -EBADMSG);
	assert_int_equal(
		add_release(l, "B/x", "{" FULL ",\"arch\":\"0123456789012345678901234567890x\"}"),
		-EBADMSG);
	assert_int_equal(add_release(l, "B/x",
				     "{\"kind\":\"full\",\"program\":\"A\",\"arch\":\"amd64\","
				     "\"version\":\"B202109010001\"}"),
			 -EBADMSG);
	assert_int_equal(add_release(l, "B/x",
				     "{\"kind\":\"full\",\"program\":\"B\",\"arch\":\"amd64\","
				     "\"version\":\"B20210901\"}"),
			 -EBADMSG);
	assert_int_equal(releases_count(l), 0);
}

static void test_references(void **state)
{
	struct releases *l = new_releases();

	(void)state;
	add_full(l, "B202109010001", "amd64", "[\"gw1\"]");
	assert_ptr_equal(releases_ref(l), l);
	assert_null(releases_unref(l));
	assert_int_equal(releases_count(l), 1);
	assert_null(releases_unref(l));
	assert_null(releases_unref(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest_of_program_and_arch),
		cmocka_unit_test(test_models),
		cmocka_unit_test(test_arch_all),
		cmocka_unit_test(test_model_may_be_absent),
		cmocka_unit_test(test_other_kinds_are_passed_over),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
