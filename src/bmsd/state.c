/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/crc32.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"

#define STATE_MAX_BYTES 65536
#define STATE_MODE	0640
#define HEADER_BYTES	64
#define NUMBER_MAX	((UINT64_C(1) << 53) - 1)

static const char *const slot_names[2] = { "state.a", "state.b" };

struct state {
	int dirfd;
	cJSON *members; /* of the latest valid file, unknown ones included */
	uint64_t sequence;
	int next_slot;
	bool changed;
	char *replaced; /* text of another board's state, to be kept at the next save */
	struct state_view view;
};

static size_t make_header(const char *json, size_t size, char *ret)
{
	int n = snprintf(ret, HEADER_BYTES, "bmsd-state 1 %zu %08" PRIx32 "\n", size,
			 crc32_update(0, json, size));

	return (size_t)n;
}

/* The JSON inside a file's bytes, or NULL: the header is made again and compared, not read. */
static const char *find_json(const char *bytes, size_t size, size_t *ret_size)
{
	char header[HEADER_BYTES];
	const char *json = memchr(bytes, '\n', size);
	size_t json_size, header_size;

	if (!json)
		return NULL;
	json++;
	json_size = size - (size_t)(json - bytes);
	if (json_size < 2 || json[json_size - 1] != '\n')
		return NULL;
	json_size--;
	header_size = make_header(json, json_size, header);
	if (header_size != (size_t)(json - bytes) || memcmp(header, bytes, header_size) != 0)
		return NULL;
	*ret_size = json_size;
	return json;
}

/* 0, -ENOENT, -EBADMSG; other errors are of the disk. ret_bytes also on -EBADMSG where possible. */
static int read_slot(int dirfd, const char *name, cJSON **ret, uint64_t *ret_sequence,
		     char **ret_bytes, size_t *ret_size)
{
	static const struct json_limits limits = { .max_bytes = STATE_MAX_BYTES };
	_cleanup_json_ cJSON *json = NULL;
	const char *text;
	size_t text_size = 0;
	uint64_t sequence = 0;
	int r;

	r = fs_read_file(dirfd, name, STATE_MAX_BYTES, ret_bytes, ret_size);
	if (r == -EFBIG || r == -EINVAL || r == -EISDIR)
		return -EBADMSG;
	if (r < 0)
		return r;
	text = find_json(*ret_bytes, *ret_size, &text_size);
	if (!text)
		return -EBADMSG;
	r = json_parse(text, text_size, &limits, &json, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	r = json_get_u64(json, "sequence", NUMBER_MAX, &sequence, NULL);
	if (r < 0)
		return -EBADMSG;
	*ret = TAKE_PTR(json);
	*ret_sequence = sequence;
	return 0;
}

static void set_aside(struct state *s, int slot, const char *bytes, size_t size)
{
	char name[32];
	int r = 0;

	s->view.damaged++;
	(void)snprintf(name, sizeof name, "%s.damaged", slot_names[slot]);
	if (bytes)
		r = fs_write_file_atomic(s->dirfd, name, bytes, size, STATE_MODE);
	if (r < 0)
		log_debug("state: '%s' not kept: %s", name, strerror(-r));
}

static int load_slot(struct state *s, int slot)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_json_ cJSON *json = NULL;
	uint64_t sequence = 0;
	size_t size = 0;
	int r;

	r = read_slot(s->dirfd, slot_names[slot], &json, &sequence, &bytes, &size);
	if (r == -ENOMEM)
		return r;
	if (r < 0 && r != -ENOENT)
		set_aside(s, slot, bytes, size);
	if (r < 0 || (s->members && sequence <= s->sequence))
		return 0;
	cJSON_Delete(s->members);
	s->members = TAKE_PTR(json);
	s->sequence = sequence;
	s->next_slot = 1 - slot;
	return 0;
}

static uint64_t number_or(const cJSON *object, const char *key, uint64_t otherwise)
{
	uint64_t value = otherwise;

	return json_get_u64(object, key, NUMBER_MAX, &value, NULL) < 0 ? otherwise : value;
}

static void copy_string(const cJSON *object, const char *key, char *ret, size_t size)
{
	const char *text = "";

	if (json_get_string(object, key, &text, NULL) < 0)
		text = "";
	(void)snprintf(ret, size, "%s", text);
}

static void read_members(struct state *s)
{
	const cJSON *identity = NULL;
	struct state_view *v = &s->view;
	uint64_t soc;

	v->restored = v->on_disk = true;
	soc = number_or(s->members, "soc_percent", UINT64_MAX);
	v->soc_percent = soc <= 100 ? (int)soc : -1;
	v->soc_restored_percent = v->soc_percent;
	v->charge_uah = number_or(s->members, "charge_uah", 0);
	v->samples_total = number_or(s->members, "samples_total", 0);
	v->cycles = number_or(s->members, "cycles", 0);
	v->saved_sec = number_or(s->members, "saved_sec", 0);
	copy_string(s->members, "writer", v->writer, sizeof v->writer);
	if (json_get_object(s->members, "identity", &identity, NULL) < 0)
		return;
	copy_string(identity, "model", v->model, sizeof v->model);
	v->cells = number_or(identity, "cells", 0);
}

int state_open(int dirfd, const char *name, struct state **ret)
{
	_cleanup_(state_freep) struct state *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	s->dirfd = FD_NONE;
	s->view.soc_percent = s->view.soc_restored_percent = -1;
	r = fs_mkdir_p(dirfd, name, 0750);
	if (r < 0)
		return r;
	s->dirfd = fs_open_beneath(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	if (s->dirfd < 0)
		return s->dirfd;
	for (int slot = 0; slot < 2; slot++) {
		r = load_slot(s, slot);
		if (r < 0)
			return r;
	}
	if (s->members)
		read_members(s);
	else
		s->members = cJSON_CreateObject();
	if (!s->members)
		return -ENOMEM;
	*ret = TAKE_PTR(s);
	return 0;
}

struct state *state_free(struct state *s)
{
	if (!s)
		return NULL;
	close_fd(&s->dirfd);
	cJSON_Delete(s->members);
	free(s->replaced);
	free(s);
	return NULL;
}

static bool is_other_board(const struct state_view *v, const struct sample *sample)
{
	if (v->cells && v->cells != sample->n_cells)
		return true;
	/* A board that did not say its model this time is not therefore another one. */
	return v->model[0] && sample->model[0] && strcmp(v->model, sample->model) != 0;
}

static void start_anew(struct state *s)
{
	cJSON *empty = cJSON_CreateObject();

	if (!empty)
		return;
	free(s->replaced);
	s->replaced = json_print(s->members);
	cJSON_Delete(s->members);
	s->members = empty;
	s->view.samples_total = 0;
	s->view.model[0] = '\0';
}

bool state_note(struct state *s, const struct sample *sample)
{
	struct state_view *v = &s->view;
	bool other = is_other_board(v, sample);

	if (other)
		start_anew(s);
	if (sample->model[0])
		memcpy(v->model, sample->model, sizeof v->model);
	v->cells = sample->n_cells;
	v->soc_percent = sample->capacity_percent;
	v->charge_uah = sample->charge_uah > 0 ? (uint64_t)sample->charge_uah : 0;
	v->cycles = sample->cycles;
	v->samples_total++;
	s->changed = true;
	return other;
}

static bool put_number(cJSON *object, const char *key, uint64_t value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	return json_add_u64(object, key, value);
}

static bool put_string(cJSON *object, const char *key, const char *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	return cJSON_AddStringToObject(object, key, value);
}

static cJSON *identity_of(cJSON *members)
{
	cJSON *identity = cJSON_GetObjectItemCaseSensitive(members, "identity");

	if (cJSON_IsObject(identity))
		return identity;
	cJSON_DeleteItemFromObjectCaseSensitive(members, "identity");
	return cJSON_AddObjectToObject(members, "identity");
}

static bool put_members(struct state *s, const char *writer, uint64_t now_sec)
{
	const struct state_view *v = &s->view;
	cJSON *identity = identity_of(s->members);
	bool ok = identity;

	if (v->soc_percent < 0)
		cJSON_DeleteItemFromObjectCaseSensitive(s->members, "soc_percent");
	else
		ok = ok && put_number(s->members, "soc_percent", (uint64_t)v->soc_percent);
	return ok && put_string(identity, "model", v->model) &&
	       put_number(identity, "cells", v->cells) &&
	       put_number(s->members, "sequence", s->sequence + 1) &&
	       put_number(s->members, "charge_uah", v->charge_uah) &&
	       put_number(s->members, "samples_total", v->samples_total) &&
	       put_number(s->members, "cycles", v->cycles) &&
	       put_number(s->members, "saved_sec", now_sec) &&
	       put_string(s->members, "writer", writer);
}

static int write_slot(struct state *s)
{
	_cleanup_free_ char *json = json_print(s->members), *bytes = NULL;
	char header[HEADER_BYTES];
	size_t size, header_size;

	if (!json)
		return -ENOMEM;
	size = strlen(json);
	header_size = make_header(json, size, header);
	if (header_size + size + 1 > STATE_MAX_BYTES)
		return -EFBIG;
	bytes = malloc(header_size + size + 1);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, header, header_size);
	memcpy(bytes + header_size, json, size);
	bytes[header_size + size] = '\n';
	return fs_write_file_atomic(s->dirfd, slot_names[s->next_slot], bytes,
				    header_size + size + 1, STATE_MODE);
}

int state_save(struct state *s, const char *writer, uint64_t now_sec)
{
	int r;

	if (!s->changed)
		return 0;
	if (s->replaced) {
		r = fs_write_file_atomic(s->dirfd, "state.replaced", s->replaced,
					 strlen(s->replaced), STATE_MODE);
		if (r < 0)
			return r;
		free(TAKE_PTR(s->replaced));
	}
	if (!put_members(s, writer, now_sec))
		return -ENOMEM;
	r = write_slot(s);
	if (r < 0)
		return r;
	s->sequence++;
	s->next_slot = 1 - s->next_slot;
	s->changed = false;
	s->view.on_disk = true;
	s->view.saved_sec = now_sec;
	(void)snprintf(s->view.writer, sizeof s->view.writer, "%s", writer);
	return 1;
}

void state_look(const struct state *s, struct state_view *ret)
{
	*ret = s->view;
}
