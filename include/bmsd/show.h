/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the bus as people read them: volts, amperes, percent, times of day. What a member that an
 * older or newer bmsd leaves out would say is "-". Pure; used by --status and --watch.
 */
#ifndef BMSD_SHOW_H
#define BMSD_SHOW_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SHOW_TEXT_BYTES 64

/* -1 as value of what may be negative is not to be told from unknown: ask show_has(). */
bool show_has(const cJSON *object, const char *key);
int64_t show_number(const cJSON *object, const char *key, int64_t otherwise);
bool show_flag(const cJSON *object, const char *key);
/* An inner object, or NULL. */
const cJSON *show_object(const cJSON *object, const char *key);

struct show_text {
	char text[SHOW_TEXT_BYTES];
};
/* value / unit with digits and what stands behind it, or "-". */
struct show_text show_value(const cJSON *object, const char *key, int64_t unit, int digits,
			    const char *suffix);
/* "2 d 3 h", "14 min", "7 s" */
struct show_text show_duration(int64_t sec);
/* "2026-11-22 22:07:13", local time; "-" for 0. */
struct show_text show_time(uint64_t wall_sec);

/* One line of an event, without a newline; control characters are masked. */
void show_event(const cJSON *event, char *ret, size_t size);

#endif
