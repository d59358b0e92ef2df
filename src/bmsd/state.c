/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/crc32.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "common/log.h"
#include "state_sections.h"

#define STATE_MAX_BYTES	    65536
#define STATE_MODE	    0640
#define HEADER_BYTES	    64
#define NUMBER_MAX	    ((UINT64_C(1) << 53) - 1)
#define SEQUENCE_MAX	    (UINT64_C(1) << 52) /* so that there is always a next one */
#define DAILY_FILE	    "state.daily"
#define REPLACED_FILE	    "state.replaced"
#define RUNNING_FILE	    "state.running"
#define DAY_SEC		    86400
#define IDLE_SAVE_MSEC	    600000
/* Below this charge (15 %) what is left matters more: four saves in the place of one. */
#define LOW_CHARGE_PERMILLE 150
/* A machine is never off for less than this, as far as anybody can tell. */
#define OFF_LEAST_MSEC	    120000

static const char *const slot_names[2] = { "state.a", "state.b" };

struct state {
	int parentfd;
	char *name; /* of the directory below it */
	int dirfd;
	cJSON *members; /* of the latest valid file, unknown ones included */
	uint64_t sequence;
	int next_slot;
	bool changed;
	char *replaced; /* text of another board's state, to be kept at the next save */
	uint64_t replaced_samples;
	char serial[SAMPLE_SERIAL_BYTES];
	char manufactured[SAMPLE_DATE_BYTES];
	char boot_id[STATE_BOOT_ID_BYTES]; /* of the last save */
	uint64_t saved_boottime_msec;
	uint64_t sections_sec; /* their last save; an older release saves without them */
	bool has_daily;
	uint64_t daily_day; /* since 1970 */
	struct state_kept kept;
	uint64_t saved_charge_uah; /* kept.estimator's */
	uint32_t saved_crc;	   /* of the JSON that is on disk, if any is */
	int runningfd;
	struct state_view view;
};

/* base: of what is noted between saves, the CRC-32 of the save that it goes on from; else NULL. */
static size_t make_header(const char *json, size_t size, const uint32_t *base, char *ret)
{
	uint32_t crc = crc32_update(0, json, size);
	int n;

	if (base)
		n = snprintf(ret, HEADER_BYTES, "bmsd-running 1 %08" PRIx32 " %zu %08" PRIx32 "\n",
			     *base, size, crc);
	else
		n = snprintf(ret, HEADER_BYTES, "bmsd-state 1 %zu %08" PRIx32 "\n", size, crc);
	return (size_t)n;
}

/* The JSON inside a file's bytes, or NULL: the header is made again and compared, not read. */
static const char *find_json(const char *bytes, size_t size, const uint32_t *base, size_t *ret_size)
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
	header_size = make_header(json, json_size, base, header);
	if (header_size != (size_t)(json - bytes) || memcmp(header, bytes, header_size) != 0)
		return NULL;
	*ret_size = json_size;
	return json;
}

/* 0, -ENOENT, -EBADMSG; other errors are of the disk. ret_bytes also on -EBADMSG where possible. */
static int read_slot(int dirfd, const char *name, const uint32_t *base, cJSON **ret,
		     uint64_t *ret_sequence, char **ret_bytes, size_t *ret_size)
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
	text = find_json(*ret_bytes, *ret_size, base, &text_size);
	if (!text)
		return -EBADMSG;
	r = json_parse(text, text_size, &limits, &json, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	r = json_get_u64(json, "sequence", SEQUENCE_MAX, &sequence, NULL);
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
	/* Not readable, or no room for a copy: itself. */
	if ((!bytes || r < 0) && renameat(s->dirfd, slot_names[slot], s->dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		log_debug("state: '%s' not kept: %s", name, strerror(-r));
}

static int load_slot(struct state *s, int slot)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_json_ cJSON *json = NULL;
	uint64_t sequence = 0;
	size_t size = 0, text_size = 0;
	const char *text;
	int r;

	r = read_slot(s->dirfd, slot_names[slot], NULL, &json, &sequence, &bytes, &size);
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
	text = find_json(bytes, size, NULL, &text_size);
	s->saved_crc = crc32_update(0, text, text_size);
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
	copy_string(identity, "serial", s->serial, sizeof s->serial);
	copy_string(identity, "manufactured", s->manufactured, sizeof s->manufactured);
	v->cells = number_or(identity, "cells", 0);
}

static int own_soc_centipercent(const struct estimator_memory *m)
{
	if (!m->valid || m->charge_full_uah == 0 || m->charge_now_uah > m->charge_full_uah)
		return -1;
	return (int)(m->charge_now_uah * 10000 / m->charge_full_uah);
}

static void restore(struct state *s)
{
	read_members(s);
	s->view.sequence = s->sequence;
	s->view.refused = state_sections_read(s->members, &s->kept);
	s->view.soc_restored_centipercent = own_soc_centipercent(&s->kept.estimator);
	s->saved_charge_uah = s->kept.estimator.charge_now_uah;
	s->saved_boottime_msec = number_or(s->members, "boottime_msec", 0);
	s->sections_sec = number_or(s->members, "sections_sec", s->view.saved_sec);
	copy_string(s->members, "boot_id", s->boot_id, sizeof s->boot_id);
}

/* ---- the daily copy ---- */

/* Where both files are lost, what was learned comes from the copy; where the pack stands does not:
 * charge has flowed since. Locks and alarms are those of then; the log knows what became of them. */
static void begin_from_daily(struct state *s, cJSON *daily)
{
	cJSON_Delete(s->members);
	s->members = daily;
	restore(s);
	s->sequence = number_or(daily, "sequence", 0);
	s->kept.estimator.valid = s->kept.estimator.board_valid = false;
	for (size_t i = 0; i < ESTIMATOR_MEMORY_ANCHORS; i++)
		s->kept.estimator.anchors[i].valid = false;
	s->view.soc_percent = s->view.soc_restored_percent = -1;
	s->view.soc_restored_centipercent = -1;
	s->view.restored = s->view.on_disk = false;
	s->view.copy_used = true;
}

static bool raise_to(uint64_t *value, uint64_t floor)
{
	bool below = *value < floor;

	if (below)
		*value = floor;
	return below;
}

static void raise_to_daily(struct state *s, const cJSON *daily)
{
	struct state_kept copy;
	bool raised;

	(void)state_sections_read(daily, &copy);
	raised = raise_to(&s->view.samples_total, number_or(daily, "samples_total", 0));
	raised |= raise_to(&s->kept.estimator.discharged_uah, copy.estimator.discharged_uah);
	raised |= raise_to(&s->kept.event_sequence, copy.event_sequence);
	raised |= s->kept.lifetime.watched_sec < copy.lifetime.watched_sec;
	lifetime_merge(&s->kept.lifetime, &copy.lifetime);
	s->view.copy_used = raised;
	s->changed |= raised;
}

static bool is_same_board(const struct state *s, const cJSON *daily)
{
	const cJSON *identity = NULL;

	if (json_get_object(daily, "identity", &identity, NULL) < 0)
		return false;
	return strcmp(json_text_or(identity, "model", ""), s->view.model) == 0 &&
	       strcmp(json_text_or(identity, "serial", ""), s->serial) == 0 &&
	       strcmp(json_text_or(identity, "manufactured", ""), s->manufactured) == 0 &&
	       number_or(identity, "cells", 0) == s->view.cells;
}

static int load_daily(struct state *s, bool lost)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_json_ cJSON *daily = NULL;
	uint64_t sequence = 0;
	size_t size = 0;
	int r;

	r = read_slot(s->dirfd, DAILY_FILE, NULL, &daily, &sequence, &bytes, &size);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	s->has_daily = true;
	s->daily_day = number_or(daily, "saved_sec", 0) / DAY_SEC;
	if (lost)
		begin_from_daily(s, TAKE_PTR(daily));
	else if (is_same_board(s, daily))
		raise_to_daily(s, daily);
	return 0;
}

static int open_directory(struct state *s)
{
	int r = fs_mkdir_p(s->parentfd, s->name, 0750);

	if (r < 0)
		return r;
	r = fs_open_beneath(s->parentfd, s->name, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return r;
	s->dirfd = r;
	return 0;
}

/* Packs are served from a full disk too, and from one that is read-only. */
static bool has_no_room(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EROFS;
}

static int load(struct state *s)
{
	bool lost;
	int r = 0;

	for (int slot = 0; s->dirfd >= 0 && slot < 2; slot++) {
		r = load_slot(s, slot);
		if (r < 0)
			return r;
	}
	lost = !s->members;
	if (lost)
		s->members = cJSON_CreateObject();
	else
		restore(s);
	if (!s->members)
		return -ENOMEM;
	return s->dirfd < 0 ? 0 : load_daily(s, lost);
}

int state_open(int dirfd, const char *name, struct state **ret)
{
	_cleanup_(state_freep) struct state *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	s->dirfd = s->parentfd = s->runningfd = FD_NONE;
	s->view.soc_percent = s->view.soc_restored_percent = -1;
	s->view.soc_restored_centipercent = -1;
	s->parentfd = fs_open_beneath(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (s->parentfd < 0)
		return s->parentfd;
	s->name = strdup(name);
	if (!s->name)
		return -ENOMEM;
	r = open_directory(s);
	if (r == 0 || has_no_room(r))
		r = load(s);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

struct state *state_free(struct state *s)
{
	if (!s)
		return NULL;
	close_fd(&s->dirfd);
	close_fd(&s->parentfd);
	close_fd(&s->runningfd);
	free(s->name);
	cJSON_Delete(s->members);
	free(s->replaced);
	free(s);
	return NULL;
}

/* A board that did not say it this time is not therefore another one. */
static bool differs(const char *ours, const char *its)
{
	return ours[0] && its[0] && strcmp(ours, its) != 0;
}

bool state_is_of_other(const struct state *s, const struct sample *sample)
{
	if (s->view.cells && sample->n_cells && s->view.cells != sample->n_cells)
		return true;
	return differs(s->view.model, sample->model) || differs(s->serial, sample->serial) ||
	       differs(s->manufactured, sample->manufactured);
}

static bool put_head(struct state *s)
{
	const struct state_view *v = &s->view;
	cJSON *identity = state_object_of(s->members, "identity");

	return identity && state_put_string(identity, "model", v->model) &&
	       state_put_string(identity, "serial", s->serial) &&
	       state_put_string(identity, "manufactured", s->manufactured) &&
	       state_put_number(identity, "cells", (int64_t)v->cells) &&
	       state_put_number(s->members, "sequence", (int64_t)s->sequence + 1) &&
	       state_put_number(s->members, "samples_total", (int64_t)v->samples_total);
}

static bool is_of(const cJSON *members, const struct sample *sample)
{
	const cJSON *identity = NULL;

	return json_get_object(members, "identity", &identity, NULL) == 0 &&
	       strcmp(json_text_or(identity, "model", ""), sample->model) == 0 &&
	       strcmp(json_text_or(identity, "serial", ""), sample->serial) == 0 &&
	       strcmp(json_text_or(identity, "manufactured", ""), sample->manufactured) == 0 &&
	       number_or(identity, "cells", 0) == sample->n_cells;
}

/* The state of a board that was here before the one that is, if it is this sample's; or NULL. */
static cJSON *find_replaced(struct state *s, const struct sample *sample)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_json_ cJSON *pending = NULL, *kept = NULL;
	uint64_t sequence = 0;
	size_t size = 0;

	if (s->replaced &&
	    json_parse(s->replaced, strlen(s->replaced), NULL, &pending, NULL) == 0 &&
	    is_of(pending, sample)) {
		free(TAKE_PTR(s->replaced));
		return TAKE_PTR(pending);
	}
	if (s->dirfd >= 0 &&
	    read_slot(s->dirfd, REPLACED_FILE, NULL, &kept, &sequence, &bytes, &size) == 0 &&
	    is_of(kept, sample))
		return TAKE_PTR(kept);
	return NULL;
}

/* Of two that were not saved yet, the one that was here for longer. */
static void set_replaced(struct state *s)
{
	char *text;

	if (s->view.samples_total <= (s->replaced ? s->replaced_samples : 0) || !put_head(s) ||
	    !state_sections_write(s->members, &s->kept))
		return;
	text = json_print(s->members);
	if (!text)
		return;
	free(s->replaced);
	s->replaced = text;
	s->replaced_samples = s->view.samples_total;
}

static void start_anew(struct state *s, cJSON *found)
{
	cJSON *members = found ? found : cJSON_CreateObject();
	uint64_t events = s->kept.event_sequence;

	if (!members)
		return;
	set_replaced(s);
	cJSON_Delete(s->members);
	s->members = members;
	s->view.samples_total = s->view.cells = 0;
	s->view.model[0] = s->serial[0] = s->manufactured[0] = '\0';
	s->kept = (struct state_kept){};
	if (found)
		restore(s);
	/* Events are numbered across boards. */
	s->kept.event_sequence = events;
	s->has_daily = false;
}

void state_forget(struct state *s)
{
	start_anew(s, NULL);
	s->changed = true;
}

bool state_note(struct state *s, const struct sample *sample)
{
	struct state_view *v = &s->view;
	bool other = state_is_of_other(s, sample);

	if (other)
		start_anew(s, find_replaced(s, sample));
	if (sample->model[0])
		memcpy(v->model, sample->model, sizeof v->model);
	if (sample->serial[0])
		memcpy(s->serial, sample->serial, sizeof s->serial);
	if (sample->manufactured[0])
		memcpy(s->manufactured, sample->manufactured, sizeof s->manufactured);
	if (sample->n_cells)
		v->cells = sample->n_cells;
	v->soc_percent = sample->capacity_percent;
	v->charge_uah = sample->charge_uah > 0 ? (uint64_t)sample->charge_uah : 0;
	v->cycles = sample->cycles;
	v->samples_total++;
	s->changed = true;
	return other;
}

const struct state_kept *state_kept(const struct state *s)
{
	return &s->kept;
}

struct state_kept *state_keep(struct state *s)
{
	s->changed = true;
	return &s->kept;
}

int64_t state_elapsed_msec(const struct state *s, const struct state_stamp *now)
{
	uint64_t elapsed_msec;

	if (s->boot_id[0] && strcmp(s->boot_id, now->boot_id) == 0 &&
	    now->boottime_msec >= s->saved_boottime_msec)
		return (int64_t)(now->boottime_msec - s->saved_boottime_msec);
	if (s->sections_sec == 0 || now->wall_sec < s->sections_sec)
		return -1;
	elapsed_msec = (now->wall_sec - s->sections_sec) * 1000;
	if (elapsed_msec < now->boottime_msec + OFF_LEAST_MSEC)
		return -1;
	return (int64_t)elapsed_msec;
}

bool state_is_changed(const struct state *s)
{
	return s->changed;
}

bool state_is_due(const struct state *s, uint64_t since_save_msec, uint64_t interval_msec)
{
	const struct estimator_memory *m = &s->kept.estimator;
	uint64_t full = m->charge_full_uah, now = m->charge_now_uah, moved;

	if (!s->changed)
		return false;
	if (since_save_msec >= IDLE_SAVE_MSEC || !s->view.on_disk)
		return since_save_msec >= interval_msec / 4;
	if (!m->valid || full == 0)
		return since_save_msec >= interval_msec;
	if (now < full / 1000 * LOW_CHARGE_PERMILLE)
		interval_msec /= 4;
	moved = now > s->saved_charge_uah ? now - s->saved_charge_uah : s->saved_charge_uah - now;
	return moved >= full / 1000 && since_save_msec >= interval_msec;
}

static bool put_members(struct state *s, const struct state_stamp *stamp)
{
	const struct state_view *v = &s->view;
	cJSON *m = s->members;
	bool ok = put_head(s);

	if (v->soc_percent < 0)
		cJSON_DeleteItemFromObjectCaseSensitive(m, "soc_percent");
	else
		ok = ok && state_put_number(m, "soc_percent", v->soc_percent);
	return ok && state_put_number(m, "charge_uah", (int64_t)v->charge_uah) &&
	       state_put_number(m, "cycles", (int64_t)v->cycles) &&
	       state_put_number(m, "saved_sec", (int64_t)stamp->wall_sec) &&
	       state_put_number(m, "sections_sec", (int64_t)stamp->wall_sec) &&
	       state_put_number(m, "boottime_msec", (int64_t)stamp->boottime_msec) &&
	       state_put_string(m, "boot_id", stamp->boot_id) &&
	       state_put_string(m, "writer", stamp->writer) && state_sections_write(m, &s->kept);
}

static int write_text(int dirfd, const char *name, const uint32_t *base, const char *json)
{
	_cleanup_free_ char *bytes = NULL;
	char header[HEADER_BYTES];
	size_t size = strlen(json), header_size;

	header_size = make_header(json, size, base, header);
	if (header_size + size + 1 > STATE_MAX_BYTES)
		return -EFBIG;
	bytes = malloc(header_size + size + 1);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, header, header_size);
	memcpy(bytes + header_size, json, size);
	bytes[header_size + size] = '\n';
	return fs_write_file_atomic(dirfd, name, bytes, header_size + size + 1, STATE_MODE);
}

static int write_file(struct state *s, const char *name)
{
	_cleanup_free_ char *json = json_print(s->members);

	return json ? write_text(s->dirfd, name, NULL, json) : -ENOMEM;
}

static int write_slot(struct state *s)
{
	_cleanup_free_ char *json = json_print(s->members);
	int r = json ? write_text(s->dirfd, slot_names[s->next_slot], NULL, json) : -ENOMEM;

	if (r == 0)
		s->saved_crc = crc32_update(0, json, strlen(json));
	return r;
}

static int keep_replaced(struct state *s)
{
	int r;

	if (!s->replaced)
		return 0;
	r = write_text(s->dirfd, REPLACED_FILE, NULL, s->replaced);
	if (r == 0)
		free(TAKE_PTR(s->replaced));
	return r;
}

static void note_saved(struct state *s, const struct state_stamp *stamp)
{
	s->sequence++;
	s->next_slot = 1 - s->next_slot;
	s->changed = false;
	s->saved_charge_uah = s->kept.estimator.charge_now_uah;
	s->saved_boottime_msec = stamp->boottime_msec;
	s->sections_sec = stamp->wall_sec;
	(void)snprintf(s->boot_id, sizeof s->boot_id, "%s", stamp->boot_id);
	s->view.on_disk = true;
	s->view.sequence = s->sequence;
	s->view.saved_sec = stamp->wall_sec;
	(void)snprintf(s->view.writer, sizeof s->view.writer, "%s", stamp->writer);
}

/* On another day than the last copy's, be it because a clock was set: no more than that is known. */
static int copy_daily(struct state *s, uint64_t wall_sec)
{
	int r;

	if (s->has_daily && wall_sec / DAY_SEC == s->daily_day)
		return 0;
	r = write_file(s, DAILY_FILE);
	if (r < 0)
		return r;
	s->has_daily = true;
	s->daily_day = wall_sec / DAY_SEC;
	return 0;
}

int state_save(struct state *s, const struct state_stamp *stamp)
{
	int r;

	if (!s->changed)
		return 0;
	r = s->dirfd < 0 ? open_directory(s) : 0;
	if (r == 0)
		r = keep_replaced(s);
	if (r < 0)
		return r;
	if (!put_members(s, stamp))
		return -ENOMEM;
	r = write_slot(s);
	if (r < 0)
		return r;
	note_saved(s, stamp);
	r = copy_daily(s, stamp->wall_sec);
	return r < 0 ? r : 1;
}

/* ---- between saves ---- */

static int take_over_running(struct state *s)
{
	_cleanup_free_ char *bytes = NULL;
	_cleanup_json_ cJSON *running = NULL;
	uint64_t sequence = 0, saved_charge_uah = s->saved_charge_uah;
	size_t size = 0;
	int r;

	if (!s->view.restored)
		return 0;
	r = read_slot(s->runningfd, RUNNING_FILE, &s->saved_crc, &running, &sequence, &bytes,
		      &size);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	cJSON_Delete(s->members);
	s->members = TAKE_PTR(running);
	restore(s);
	s->saved_charge_uah = saved_charge_uah;
	s->view.running_used = s->changed = true;
	return 1;
}

int state_keep_running(struct state *s, int dirfd)
{
	int r = fs_mkdir_p(dirfd, s->name, 0750);

	if (r < 0)
		return r;
	r = fs_open_beneath(dirfd, s->name, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return r;
	s->runningfd = r;
	return take_over_running(s);
}

int state_save_running(struct state *s, const struct state_stamp *stamp)
{
	_cleanup_free_ char *json = NULL;

	/* What was of another board is nowhere yet but in our memory: the next save comes first. */
	if (s->runningfd < 0 || !s->changed || !s->view.on_disk || s->replaced)
		return 0;
	if (!put_members(s, stamp))
		return -ENOMEM;
	json = json_print(s->members);
	return json ? write_text(s->runningfd, RUNNING_FILE, &s->saved_crc, json) : -ENOMEM;
}

int state_dirfd(const struct state *s)
{
	return s->dirfd;
}

void state_look(const struct state *s, struct state_view *ret)
{
	*ret = s->view;
}
