/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/waiting.h"

#include <string.h>

#include "common/fsutil.h"
#include "common/json.h"
#include "updaterd/client.h"

#define LINE_BYTES ((size_t)2 * (VERSION_LENGTH + 1))

void waiting_add(struct waiting *w, const struct version *version, const struct version *needed)
{
	if (w->n < ELEMENTSOF(w->list))
		w->list[w->n++] = (struct waiting_for){ .version = *version, .needed = *needed };
}

int waiting_store(int dir_fd, const struct waiting *w)
{
	char text[LINE_BYTES * CONF_MAX_PROGRAMS + 1];
	size_t used = 0;

	if (w->n == 0)
		return fs_remove_tree(dir_fd, WAITING_FILE);
	for (size_t i = 0; i < w->n; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "%s %s\n",
					 w->list[i].version.text, w->list[i].needed.text);
	return fs_write_file_atomic(dir_fd, WAITING_FILE, text, used, 0600);
}

static int parse_line(char *line, struct waiting *w)
{
	char *version = strsep(&line, " ");
	struct waiting_for *f = &w->list[w->n];

	if (w->n == ELEMENTSOF(w->list) || !line || version_parse(version, &f->version) < 0 ||
	    version_parse(line, &f->needed) < 0)
		return -EBADMSG;
	w->n++;
	return 0;
}

int waiting_load(int dir_fd, struct waiting *ret)
{
	_cleanup_free_ char *text = NULL;
	struct waiting w = { .n = 0 };
	char *line, *rest;
	size_t size;
	int r;

	r = fs_read_file(dir_fd, WAITING_FILE, LINE_BYTES * CONF_MAX_PROGRAMS, &text, &size);
	if (r < 0)
		return r;
	if (size == 0 || strlen(text) != size || text[size - 1] != '\n')
		return -EBADMSG;
	rest = text;
	while (r == 0 && (line = strsep(&rest, "\n")) && rest)
		r = parse_line(line, &w);
	if (r == 0)
		*ret = w;
	return r;
}

/* ---- in a status ---- */

static cJSON *program_of(const cJSON *status, char letter)
{
	const char name[2] = { letter, '\0' };

	return cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(status, "programs"), name);
}

/* It runs that, or something newer. */
static bool has(const cJSON *status, const struct version *version)
{
	const cJSON *program = program_of(status, version->program);
	struct version current;

	return program && version_parse(json_text_or(program, "current", ""), &current) == 0 &&
	       version_compare(&current, version) >= 0;
}

static const char *why(const cJSON *status, const struct version *needed)
{
	const cJSON *program = program_of(status, needed->program);

	if (client_status_is_quarantined(status, needed))
		return "quarantined";
	return program && cJSON_HasObjectItem(program, "held") ? "held" : "missing";
}

static int add(const struct waiting_for *f, const cJSON *status, cJSON *program)
{
	cJSON *waits = cJSON_CreateObject();

	if (waits && cJSON_AddStringToObject(waits, "version", f->version.text) &&
	    cJSON_AddStringToObject(waits, "needs", f->needed.text) &&
	    cJSON_AddStringToObject(waits, "why", why(status, &f->needed)) &&
	    cJSON_AddItemToObject(program, "waits", waits))
		return 0;
	cJSON_Delete(waits);
	return -ENOMEM;
}

int waiting_add_to_status(const struct waiting *w, cJSON *status)
{
	int r = 0;

	for (size_t i = 0; i < w->n && r == 0; i++) {
		const struct waiting_for *f = &w->list[i];
		cJSON *program = program_of(status, f->version.program);

		if (program && !cJSON_HasObjectItem(program, "waits") &&
		    !has(status, &f->version) && !has(status, &f->needed))
			r = add(f, status, program);
	}
	return r;
}
