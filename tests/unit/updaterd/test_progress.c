/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/json.h"
#include "scratch.h"
#include "updaterd/progress.h"

struct fixture {
	FILE *out;
	char *text;
	size_t size;
	struct progress *progress;
};

static void begin(struct fixture *f, enum progress_style style)
{
	memset(f, 0, sizeof *f);
	f->out = open_memstream(&f->text, &f->size);
	assert_non_null(f->out);
	assert_int_equal(progress_new(style, f->out, &f->progress), 0);
}

static const char *text_of(struct fixture *f)
{
	assert_int_equal(fflush(f->out), 0);
	return f->text;
}

static void end(struct fixture *f)
{
	f->progress = progress_free(f->progress);
	assert_int_equal(fclose(f->out), 0);
	free(f->text);
}

static unsigned lines_of(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* ---- pure ---- */

static void assert_bytes(uint64_t bytes, const char *expected)
{
	char text[32];

	progress_format_bytes(text, sizeof text, bytes);
	assert_string_equal(text, expected);
}

static void test_bytes(void **state)
{
	(void)state;
	assert_bytes(0, "0 B");
	assert_bytes(1023, "1023 B");
	assert_bytes(1024, "1.0 KiB");
	assert_bytes(1536, "1.5 KiB");
	assert_bytes(3u << 20, "3.0 MiB");
	assert_bytes(UINT64_C(5) << 40, "5120.0 GiB");
}

static void test_bar(void **state)
{
	char text[256];

	(void)state;
	progress_format_bar(text, sizeof text, 70, 512 * 1024, 1024 * 1024, true, 4000);
	assert_non_null(strstr(text, "[#"));
	assert_non_null(strstr(text, "#-"));
	assert_non_null(strstr(text, " 50 %  512.0 KiB  128.0 KiB/s  00:04 left"));
	assert_true(strlen(text) <= 70);
	progress_format_bar(text, sizeof text, 60, 30, 100, false, 4000);
	assert_non_null(strstr(text, " 30 %"));
	assert_null(strstr(text, "left"));
}

static void test_bar_edges(void **state)
{
	char text[256];

	(void)state;
	for (unsigned width = 0; width < 120; width++) {
		progress_format_bar(text, sizeof text, width, 77, 100, true, 1);
		assert_true(strlen(text) <= width || width == 0);
	}
	progress_format_bar(text, sizeof text, 70, 0, 1000, true, 0);
	assert_non_null(strstr(text, "  0 %"));
	progress_format_bar(text, sizeof text, 70, 2000, 1000, true, 10);
	assert_non_null(strstr(text, "100 %"));
	assert_null(strstr(text, "-]"));
	progress_format_bar(text, sizeof text, 70, 5, 0, true, 10);
	assert_non_null(strstr(text, "100 %"));
	progress_format_bar(text, sizeof text, 70, 1, UINT64_MAX, true, 1000);
	assert_non_null(strstr(text, "  0 %"));
	progress_format_bar(text, sizeof text, 70, UINT64_MAX / 2, UINT64_MAX, true, 1000);
	assert_non_null(strstr(text, " 50 %"));
}

/* ---- styles ---- */

static void run_a_fetch(struct progress *p)
{
	progress_begin(p, STEP_QUERY, "490154203237518", 0, 0);
	progress_begin(p, STEP_FETCH, "B202109010001", 1000, 1);
	for (unsigned i = 1; i <= 1000; i++)
		progress_update(p, i);
	progress_end(p, NULL);
}

static void test_lines(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, PROGRESS_LINES);
	run_a_fetch(f.progress);
	assert_non_null(strstr(text_of(&f), "query 490154203237518\n"));
	assert_non_null(strstr(text_of(&f), "fetch B202109010001: 1000 B\n"));
	assert_non_null(strstr(text_of(&f), "fetch B202109010001: 10 %\n"));
	assert_non_null(strstr(text_of(&f), "fetch B202109010001: 100 %\n"));
	assert_int_equal(lines_of(text_of(&f)), 2 + 10);
	assert_null(strchr(text_of(&f), '\r'));
	end(&f);
}

/* One measure over several steps, as the installer tells it. */
static void test_steps(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, PROGRESS_LINES);
	progress_step(f.progress, STEP_STAGE, 10); /* nothing has begun */
	progress_begin(f.progress, STEP_CHECK, "B202109010001", 100, 0);
	progress_step(f.progress, STEP_CHECK, 3);
	progress_step(f.progress, STEP_STAGE, 10);
	progress_step(f.progress, STEP_STAGE, 15);
	progress_step(f.progress, STEP_STAGE, 25);
	progress_step(f.progress, STEP_BACKUP, 28);
	progress_end(f.progress, NULL);
	assert_string_equal(text_of(&f), "check B202109010001\n"
					 "stage B202109010001\n"
					 "backup B202109010001\n");
	end(&f);
}

static void test_quiet(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, PROGRESS_QUIET);
	run_a_fetch(f.progress);
	progress_say(f.progress, "nothing new");
	progress_begin(f.progress, STEP_FETCH, "B", 10, 1);
	progress_end(f.progress, "failed");
	assert_string_equal(text_of(&f), "");
	end(&f);
}

static void test_bar_on_a_terminal(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, PROGRESS_BAR);
	run_a_fetch(f.progress);
	assert_non_null(strstr(text_of(&f), "\rfetch    B202109010001"));
	assert_non_null(strstr(text_of(&f), "100 %"));
	/* Each step leaves one line, and what is said later has its own. */
	assert_int_equal(lines_of(text_of(&f)), 2);
	progress_begin(f.progress, STEP_STAGE, "B202109010001", 100, 0);
	progress_say(f.progress, "nothing new");
	assert_non_null(strstr(text_of(&f), "\nnothing new\n"));
	end(&f);
}

static cJSON *next_line(char **text)
{
	char *line = strsep(text, "\n");
	cJSON *object = NULL;

	assert_non_null(*text);
	assert_int_equal(json_parse(line, strlen(line), NULL, &object, NULL), 0);
	return object;
}

static void assert_member(const cJSON *object, const char *key, const char *value)
{
	const char *text = NULL;

	assert_int_equal(json_get_string(object, key, &text, NULL), 0);
	assert_string_equal(text, value);
}

static void test_json(void **state)
{
	_cleanup_json_ cJSON *result = cJSON_CreateObject();
	_cleanup_free_ char *copy = NULL;
	struct fixture f;
	char *text;
	unsigned updates = 0;
	uint64_t number;
	cJSON *object;
	bool ok;

	(void)state;
	begin(&f, PROGRESS_JSON);
	progress_begin(f.progress, STEP_FETCH, "B202109010001", 100000, 1);
	for (unsigned i = 1; i <= 100000; i += 9)
		progress_update(f.progress, i);
	progress_end(f.progress, "the \"server\" is gone\n");
	progress_say(f.progress, "line one\nline two");
	assert_non_null(cJSON_AddStringToObject(result, "outcome", "confirmed"));
	progress_result(f.progress, result, true);
	text = copy = strdup(text_of(&f));
	assert_non_null(copy);
	object = next_line(&text);
	assert_member(object, "event", "begin");
	assert_member(object, "step", "fetch");
	assert_int_equal(json_get_u64(object, "total_bytes", UINT32_MAX, &number, NULL), 0);
	assert_int_equal(number, 100000);
	cJSON_Delete(object);
	for (; strncmp(text, "{\"event\":\"update\"", 17) == 0; updates++)
		cJSON_Delete(next_line(&text));
	assert_in_range(updates, 99, 100);
	object = next_line(&text);
	assert_member(object, "event", "end");
	assert_int_equal(json_get_bool(object, "ok", &ok, NULL), 0);
	assert_false(ok);
	assert_member(object, "text", "the \"server\" is gone\n");
	cJSON_Delete(object);
	object = next_line(&text);
	assert_member(object, "text", "line one?line two");
	cJSON_Delete(object);
	object = next_line(&text);
	assert_member(object, "event", "result");
	assert_member(cJSON_GetObjectItem(object, "result"), "outcome", "confirmed");
	cJSON_Delete(object);
	assert_string_equal(text, "");
	end(&f);
}

static void test_result_for_people(void **state)
{
	static const char bad[] = "{\"program\":\"B\",\"from\":\"B202108010001\","
				  "\"to\":\"B202109010001\",\"outcome\":\"rolled-back\","
				  "\"step\":\"probe\",\"reason\":\"unhealthy\","
				  "\"detail\":\"no sample\\u001b[2J\"}";
	_cleanup_json_ cJSON *result = NULL;
	struct fixture f;

	(void)state;
	assert_int_equal(json_parse(bad, strlen(bad), NULL, &result, NULL), 0);
	begin(&f, PROGRESS_LINES);
	progress_result(f.progress, result, false);
	assert_string_equal(text_of(&f),
			    "B202108010001 -> B202109010001: rolled-back at step probe "
			    "(unhealthy): no sample?[2J\n");
	progress_result(f.progress, result, true);
	assert_int_equal(lines_of(text_of(&f)), 1);
	end(&f);
}

/* ---- systemd ---- */

static void test_status_for_systemd(void **state)
{
	static const char failed[] = "{\"from\":\"B1\",\"to\":\"B2\",\"outcome\":\"failed\","
				     "\"step\":\"fetch\",\"reason\":\"network\"}";
	_cleanup_json_ cJSON *result = NULL;
	struct scratch *s = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char text[256] = "";
	struct fixture f;
	ssize_t n;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", s->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
	begin(&f, PROGRESS_QUIET);
	progress_begin(f.progress, STEP_FETCH, "B202109010001", 200, 1);
	progress_update(f.progress, 50);
	n = recv(fd, text, sizeof text - 1, 0);
	assert_true(n > 0);
	assert_string_equal(text, "STATUS=fetch B202109010001, 0 %");
	memset(text, 0, sizeof text);
	assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
	assert_string_equal(text, "STATUS=fetch B202109010001, 25 %");
	/* Also of a result that is in the log already. */
	assert_int_equal(json_parse(failed, strlen(failed), NULL, &result, NULL), 0);
	progress_result(f.progress, result, true);
	memset(text, 0, sizeof text);
	assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
	assert_string_equal(text, "STATUS=B1 -> B2: failed at step fetch (network)");
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	assert_int_equal(close(fd), 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_bar),
		cmocka_unit_test(test_bar_edges),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_bar_on_a_terminal),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_result_for_people),
		cmocka_unit_test_setup_teardown(test_status_for_systemd, scratch_setup,
						scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
