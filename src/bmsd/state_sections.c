/* SPDX-License-Identifier: Apache-2.0 */
#include "state_sections.h"

#include <stddef.h>
#include <string.h>

#include "common/json.h"

#define NUMBER_MAX ((INT64_C(1) << 53) - 1)

enum kind {
	KIND_BOOL,
	KIND_U32,
	KIND_I32,
	KIND_U64,
	KIND_I64,
};

struct member {
	const char *name;
	enum kind kind;
	size_t offset;
};

#define MEMBER(type, kind, name)                                                                   \
	{                                                                                          \
#name, kind, offsetof(struct type, name)                                           \
	}

/* Only ever add lines. */
static const struct member estimator_members[] = {
	MEMBER(estimator_memory, KIND_BOOL, valid),
	MEMBER(estimator_memory, KIND_U64, charge_now_uah),
	MEMBER(estimator_memory, KIND_U32, margin_centipercent),
	MEMBER(estimator_memory, KIND_U32, reference_soc_centipercent),
	MEMBER(estimator_memory, KIND_U32, reference_error_centipercent),
	MEMBER(estimator_memory, KIND_U64, reference_error_uah),
	MEMBER(estimator_memory, KIND_I64, charge_counter_uah),
	MEMBER(estimator_memory, KIND_U64, error_uah),
	MEMBER(estimator_memory, KIND_U64, charge_full_uah),
	MEMBER(estimator_memory, KIND_U32, charge_full_error_permille),
	MEMBER(estimator_memory, KIND_U32, charge_full_learned),
	MEMBER(estimator_memory, KIND_U64, charge_full_design_uah),
	MEMBER(estimator_memory, KIND_U64, discharged_uah),
	MEMBER(estimator_memory, KIND_I32, offset_ua),
	MEMBER(estimator_memory, KIND_U32, offset_error_ua),
	MEMBER(estimator_memory, KIND_U32, resistance_uohm),
	MEMBER(estimator_memory, KIND_U32, resistance_reference_uohm),
	MEMBER(estimator_memory, KIND_U32, anchor),
	MEMBER(estimator_memory, KIND_U64, anchor_age_sec),
	MEMBER(estimator_memory, KIND_BOOL, board_valid),
	MEMBER(estimator_memory, KIND_I64, board_charge_uah),
	MEMBER(estimator_memory, KIND_U32, board_cycles),
	MEMBER(estimator_memory, KIND_I64, age_msec),
};

static const struct member anchor_members[] = {
	MEMBER(estimator_memory_anchor, KIND_BOOL, valid),
	MEMBER(estimator_memory_anchor, KIND_U32, soc_centipercent),
	MEMBER(estimator_memory_anchor, KIND_U32, error_centipercent),
	MEMBER(estimator_memory_anchor, KIND_I64, counter_uah),
	MEMBER(estimator_memory_anchor, KIND_U64, error_uah),
	MEMBER(estimator_memory_anchor, KIND_BOOL, cold),
};

static const struct member lifetime_members[] = {
	MEMBER(lifetime, KIND_U64, charged_uah),
	MEMBER(lifetime, KIND_U64, discharged_uah),
	MEMBER(lifetime, KIND_U64, charged_uwh),
	MEMBER(lifetime, KIND_U64, discharged_uwh),
	MEMBER(lifetime, KIND_U64, watched_sec),
	MEMBER(lifetime, KIND_U32, seen),
	MEMBER(lifetime, KIND_I64, cell_min_uv),
	MEMBER(lifetime, KIND_I64, cell_max_uv),
	MEMBER(lifetime, KIND_I64, temperature_min_decicelsius),
	MEMBER(lifetime, KIND_I64, temperature_max_decicelsius),
	MEMBER(lifetime, KIND_I64, charge_current_max_ua),
	MEMBER(lifetime, KIND_I64, discharge_current_max_ua),
};

static const struct member alarm_members[] = {
	MEMBER(alarm_state, KIND_BOOL, gone),
	MEMBER(alarm_state, KIND_U64, since_sec),
	MEMBER(alarm_state, KIND_I64, value),
	MEMBER(alarm_state, KIND_I64, extreme),
};

static const struct member lock_members[] = {
	MEMBER(fet_lock, KIND_U64, since_sec),
	MEMBER(fet_lock, KIND_BOOL, endless),
	MEMBER(fet_lock, KIND_U64, lease_left_msec),
};

/* ---- one member ---- */

static bool fits(enum kind kind, int64_t value)
{
	switch (kind) {
	case KIND_U32: return value >= 0 && value <= UINT32_MAX;
	case KIND_I32: return value >= INT32_MIN && value <= INT32_MAX;
	case KIND_U64: return value >= 0;
	case KIND_I64: return true;
	case KIND_BOOL:
	default: return false;
	}
}

static bool store(void *at, enum kind kind, const cJSON *item)
{
	int64_t value;

	if (kind == KIND_BOOL) {
		*(bool *)at = cJSON_IsTrue(item);
		return cJSON_IsBool(item);
	}
	/* json_parse() has let in integers of at most 2^53 - 1 only. */
	if (!cJSON_IsNumber(item))
		return false;
	value = (int64_t)item->valuedouble;
	if (!fits(kind, value))
		return false;
	if (kind == KIND_U64 || kind == KIND_I64)
		*(int64_t *)at = value;
	else
		*(uint32_t *)at = (uint32_t)value;
	return true;
}

/* The first member that cannot be, or NULL. */
static const char *read_object(const cJSON *object, const struct member *members, size_t n,
			       void *ret)
{
	for (size_t i = 0; i < n; i++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, members[i].name);

		if (item && !store((char *)ret + members[i].offset, members[i].kind, item))
			return members[i].name;
	}
	return NULL;
}

#define READ(object, members, ret) read_object(object, members, ELEMENTSOF(members), ret)

static bool put_item(cJSON *object, const char *key, cJSON *item)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	if (item && cJSON_AddItemToObject(object, key, item))
		return true;
	cJSON_Delete(item);
	return false;
}

bool state_put_number(cJSON *object, const char *key, int64_t value)
{
	if (value > NUMBER_MAX)
		value = NUMBER_MAX;
	if (value < -NUMBER_MAX)
		value = -NUMBER_MAX;
	return put_item(object, key, cJSON_CreateNumber((double)value));
}

bool state_put_string(cJSON *object, const char *key, const char *value)
{
	return put_item(object, key, cJSON_CreateString(value));
}

cJSON *state_object_of(cJSON *members, const char *key)
{
	cJSON *object = cJSON_GetObjectItemCaseSensitive(members, key);

	if (cJSON_IsObject(object))
		return object;
	cJSON_DeleteItemFromObjectCaseSensitive(members, key);
	return cJSON_AddObjectToObject(members, key);
}

static int64_t load(const void *at, enum kind kind)
{
	switch (kind) {
	case KIND_U32: return *(const uint32_t *)at;
	case KIND_I32: return *(const int32_t *)at;
	case KIND_U64:
	case KIND_I64:
	case KIND_BOOL:
	default:
		/* An unsigned number above the limit is cut there, not turned negative. */
		if (kind == KIND_U64 && *(const uint64_t *)at > (uint64_t)NUMBER_MAX)
			return NUMBER_MAX;
		return *(const int64_t *)at;
	}
}

static bool write_object(cJSON *object, const struct member *members, size_t n, const void *from)
{
	bool ok = object;

	for (size_t i = 0; ok && i < n; i++) {
		const void *at = (const char *)from + members[i].offset;

		if (members[i].kind == KIND_BOOL)
			ok = put_item(object, members[i].name, cJSON_CreateBool(*(const bool *)at));
		else
			ok = state_put_number(object, members[i].name, load(at, members[i].kind));
	}
	return ok;
}

#define WRITE(object, members, from) write_object(object, members, ELEMENTSOF(members), from)

static const cJSON *child(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* ---- the sections ---- */

static const char *anchor_key(size_t i)
{
	return soc_anchor_name((unsigned)SOC_ANCHOR_FULL + (unsigned)i);
}

static const char *read_estimator(const cJSON *section, struct estimator_memory *ret)
{
	const cJSON *anchors = child(section, "anchors");
	const char *refused = READ(section, estimator_members, ret);

	for (size_t i = 0; i < ESTIMATOR_MEMORY_ANCHORS && !refused; i++)
		refused = READ(child(anchors, anchor_key(i)), anchor_members, &ret->anchors[i]);
	if (!refused)
		(void)!estimator_memory_check(ret, &refused);
	return refused;
}

static bool write_estimator(cJSON *section, const struct estimator_memory *m)
{
	cJSON *anchors = section ? state_object_of(section, "anchors") : NULL;
	bool ok = anchors && WRITE(section, estimator_members, m);

	for (size_t i = 0; ok && i < ESTIMATOR_MEMORY_ANCHORS; i++)
		ok = WRITE(state_object_of(anchors, anchor_key(i)), anchor_members, &m->anchors[i]);
	return ok;
}

/* Rows of another number or length are those of other bins: another member's matter. */
static const char *read_bins(const cJSON *rows, struct lifetime *ret)
{
	if (!rows)
		return NULL;
	if (cJSON_GetArraySize(rows) != LIFETIME_TEMPERATURE_BINS)
		return "in_bin_sec";
	for (int t = 0; t < LIFETIME_TEMPERATURE_BINS; t++) {
		const cJSON *row = cJSON_GetArrayItem(rows, t);

		if (!cJSON_IsArray(row) || cJSON_GetArraySize(row) != LIFETIME_SOC_BINS)
			return "in_bin_sec";
		for (int s = 0; s < LIFETIME_SOC_BINS; s++)
			if (!store(&ret->in_bin_sec[t][s], KIND_U64, cJSON_GetArrayItem(row, s)))
				return "in_bin_sec";
	}
	return NULL;
}

static const char *read_lifetime(const cJSON *section, struct lifetime *ret)
{
	const char *refused = READ(section, lifetime_members, ret);

	if (!refused)
		refused = read_bins(child(section, "in_bin_sec"), ret);
	if (!refused)
		(void)!lifetime_check(ret, &refused);
	return refused;
}

static bool write_lifetime(cJSON *section, const struct lifetime *l)
{
	bool ok = section && WRITE(section, lifetime_members, l);
	cJSON *rows = ok ? cJSON_CreateArray() : NULL;

	ok = ok && put_item(section, "in_bin_sec", rows);
	for (unsigned t = 0; ok && t < LIFETIME_TEMPERATURE_BINS; t++) {
		double values[LIFETIME_SOC_BINS];
		cJSON *row;

		for (unsigned s = 0; s < LIFETIME_SOC_BINS; s++)
			values[s] = (double)load(&l->in_bin_sec[t][s], KIND_U64);
		row = cJSON_CreateDoubleArray(values, LIFETIME_SOC_BINS);
		ok = row && cJSON_AddItemToArray(rows, row);
	}
	return ok;
}

static const char *read_alarms(const cJSON *section, struct alarms_memory *ret)
{
	for (unsigned id = 0; id < ALARM_COUNT; id++) {
		const cJSON *object = child(section, alarm_name(id));

		if (!object)
			continue;
		if (!cJSON_IsObject(object) || READ(object, alarm_members, &ret->states[id]))
			return "alarms";
		ret->states[id].set = true;
	}
	return NULL;
}

static bool write_alarms(cJSON *section, const struct alarms_memory *m)
{
	bool ok = section;

	for (unsigned id = 0; ok && id < ALARM_COUNT; id++) {
		if (m->states[id].set)
			ok = WRITE(state_object_of(section, alarm_name(id)), alarm_members,
				   &m->states[id]);
		else
			cJSON_DeleteItemFromObjectCaseSensitive(section, alarm_name(id));
	}
	return ok;
}

/* An object of its own would be a lock to an older bmsd. */
static const char *const give_back_keys[FET_COUNT] = { "charge_give_back", "discharge_give_back" };

static const char *read_locks(const cJSON *section, struct fet_memory *ret)
{
	for (unsigned i = 0; i < FET_COUNT; i++) {
		const cJSON *object = child(section, fet_name(i));
		struct fet_lock *lock = &ret->locks[i];

		ret->give_back[i] = cJSON_IsTrue(child(section, give_back_keys[i]));
		if (!object)
			continue;
		if (!cJSON_IsObject(object) || READ(object, lock_members, lock))
			return "fet";
		(void)snprintf(lock->reason, sizeof lock->reason, "%s",
			       json_text_or(object, "reason", ""));
		lock->locked = true;
	}
	return NULL;
}

static bool write_locks(cJSON *section, const struct fet_memory *m)
{
	bool ok = section;

	for (unsigned i = 0; ok && i < FET_COUNT; i++) {
		const struct fet_lock *lock = &m->locks[i];
		cJSON *object;

		cJSON_DeleteItemFromObjectCaseSensitive(section, give_back_keys[i]);
		if (m->give_back[i])
			ok = cJSON_AddTrueToObject(section, give_back_keys[i]);
		if (!lock->locked) {
			cJSON_DeleteItemFromObjectCaseSensitive(section, fet_name(i));
			continue;
		}
		object = state_object_of(section, fet_name(i));
		ok = ok && object && WRITE(object, lock_members, lock) &&
		     state_put_string(object, "reason", lock->reason);
	}
	return ok;
}

const char *state_sections_read(const cJSON *members, struct state_kept *ret)
{
	static const char *const names[] = { "estimator", "lifetime", "alarms", "fet" };
	const char *refused[ELEMENTSOF(names)];
	uint64_t events = 0, protections = 0;

	*ret = (struct state_kept){};
	refused[0] = read_estimator(child(members, names[0]), &ret->estimator);
	refused[1] = read_lifetime(child(members, names[1]), &ret->lifetime);
	refused[2] = read_alarms(child(members, names[2]), &ret->alarms);
	refused[3] = read_locks(child(members, names[3]), &ret->fet);
	if (json_get_u64(members, "event_sequence", (uint64_t)NUMBER_MAX, &events, NULL) == 0)
		ret->event_sequence = events;
	if (json_get_u64(members, "protections", UINT32_MAX, &protections, NULL) == 0)
		ret->protections = (uint32_t)protections;
	if (refused[0])
		ret->estimator = (struct estimator_memory){};
	if (refused[1])
		ret->lifetime = (struct lifetime){};
	if (refused[2])
		ret->alarms = (struct alarms_memory){};
	if (refused[3])
		ret->fet = (struct fet_memory){};
	for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
		const cJSON *section = child(members, names[i]);

		if (refused[i])
			return refused[i];
		if (section && !cJSON_IsObject(section))
			return names[i];
	}
	return NULL;
}

bool state_sections_write(cJSON *members, const struct state_kept *k)
{
	return write_estimator(state_object_of(members, "estimator"), &k->estimator) &&
	       write_lifetime(state_object_of(members, "lifetime"), &k->lifetime) &&
	       write_alarms(state_object_of(members, "alarms"), &k->alarms) &&
	       write_locks(state_object_of(members, "fet"), &k->fet) &&
	       state_put_number(members, "protections", k->protections) &&
	       state_put_number(members, "event_sequence", load(&k->event_sequence, KIND_U64));
}
