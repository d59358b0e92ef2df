/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of a state file and their JSON members. Private to state.c. */
#ifndef BMSD_STATE_SECTIONS_H
#define BMSD_STATE_SECTIONS_H

#include <cjson/cJSON.h>

#include "bmsd/state.h"

/* What is not there is zero. A section with a member that cannot be is zero as a whole; the first such
 * member is returned (static), NULL if there is none. */
const char *state_sections_read(const cJSON *members, struct state_kept *ret);

/* Replaces what is ours; all else in members, and in the sections, stays. False: out of memory. */
_must_check_ bool state_sections_write(cJSON *members, const struct state_kept *k);

/* The members' own, for those outside sections. */
_must_check_ bool state_put_number(cJSON *object, const char *key, int64_t value);
_must_check_ bool state_put_string(cJSON *object, const char *key, const char *value);
cJSON *state_object_of(cJSON *members, const char *key);

#endif
