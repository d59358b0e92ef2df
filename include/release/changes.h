/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command is going to change, in sentences: computed from the documents before and after, never
 * from what was asked for.
 */
#ifndef RELEASE_CHANGES_H
#define RELEASE_CHANGES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "release/keystore.h"

struct changes {
	cJSON *sentences; /* an array; made when the first one comes */
	bool only_losses; /* stage_put() tells only of signatures that get lost */
	bool out_of_memory;
};
void changes_done(struct changes *c);
/* c may be NULL. */
void changes_add(struct changes *c, const char *format, ...) _printf_(2, 3);
/* The sentences of one role's new version. before is NULL where nothing was published. */
void changes_compare(struct changes *c, struct keystore *k, const char *role, const cJSON *before,
		     const cJSON *after);
/* The releases that a role holds: what its signature is going to vouch for. */
void changes_list_releases(struct changes *c, const char *role, const cJSON *document);
/* Likewise the roles that a targets document delegates to. */
void changes_list_delegations(struct changes *c, struct keystore *k, const cJSON *targets);

#endif
