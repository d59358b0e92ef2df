/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Health and Status both say of a pack, and how they say it: integers, the unit in the member's
 * name, and what is not known is absent. True on success, as cJSON has it.
 */
#ifndef BMSD_FACTS_JSON_H
#define BMSD_FACTS_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "bmsd/facts.h"
#include "common/cleanup.h"

/* The text of it. Words that are no UTF-8, as of a log of another bmsd that were cut within a character,
 * could not be said on the bus: bytes of that kind become '?'. */
_must_check_ int facts_print(const cJSON *root, char **ret_json);

_must_check_ bool facts_add_number(cJSON *object, const char *key, int64_t value);
/* Negative stands for not known. */
_must_check_ bool facts_add_known(cJSON *object, const char *key, int64_t value);
_must_check_ bool facts_add_text(cJSON *array, const char *text);
/* Absent if it is empty. */
_must_check_ bool facts_add_words(cJSON *object, const char *key, const char *text);
_must_check_ bool facts_add_protections(cJSON *object, const char *key, uint32_t bits);
/* A new object at the end of an array; NULL without memory. */
cJSON *facts_append_object(cJSON *array);

/* schema, version, uptime … */
_must_check_ bool facts_add_head(cJSON *root, const struct facts *f);
/* "config_refused":[{"pack":1,"text":"…"}], pack where one is left out for it, and how many more. */
_must_check_ bool facts_add_config(cJSON *root, const struct facts *f);
/* number, name, link, model … */
_must_check_ bool facts_add_pack_head(cJSON *pack, const struct pack_facts *p);
/* How well the line and the board did: polls, errors, gates. */
_must_check_ bool facts_add_line(cJSON *pack, const struct pack_view *v);
/* "alarms":[{"name","level","value","since_sec","gone"}], those that are set. */
_must_check_ bool facts_add_alarms(cJSON *pack, const struct pack_facts *p);

#endif
