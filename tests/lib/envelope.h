/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata envelopes for tests of what people sign: unsigned, of any content. Everything that fails
 * here fails the test.
 */
#ifndef TESTS_ENVELOPE_H
#define TESTS_ENVELOPE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/json.h"
#include "release/signer.h"
#include "tuf/metadata.h"

#define ENVELOPE_EXPIRES "2027-01-01T00:00:00Z"

static inline void envelope_put(cJSON *object, const char *key, cJSON *item)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
	assert_non_null(item);
	assert_true(cJSON_AddItemToObject(object, key, item));
}

static inline cJSON *envelope_signed(const cJSON *envelope)
{
	return cJSON_GetObjectItemCaseSensitive(envelope, "signed");
}

static inline cJSON *envelope_new(const char *type, unsigned version)
{
	cJSON *envelope = cJSON_CreateObject();
	cJSON *document;

	assert_non_null(cJSON_AddArrayToObject(envelope, "signatures"));
	document = cJSON_AddObjectToObject(envelope, "signed");
	envelope_put(document, "_type", cJSON_CreateString(type));
	envelope_put(document, "spec_version", cJSON_CreateString("1.0.31"));
	envelope_put(document, "version", cJSON_CreateNumber(version));
	envelope_put(document, "expires", cJSON_CreateString(ENVELOPE_EXPIRES));
	return envelope;
}

/* {"keyids":[…],"threshold":…} of n signers, whose keys are put into keys. */
static inline cJSON *envelope_role(cJSON *keys, unsigned threshold, struct signer *const *signers,
				   size_t n)
{
	cJSON *role = cJSON_CreateObject();
	cJSON *ids = cJSON_AddArrayToObject(role, "keyids");

	for (size_t i = 0; i < n; i++) {
		envelope_put(keys, signer_id(signers[i]),
			     cJSON_Duplicate(signer_public(signers[i]), true));
		assert_true(cJSON_AddItemToArray(ids, cJSON_CreateString(signer_id(signers[i]))));
	}
	envelope_put(role, "threshold", cJSON_CreateNumber(threshold));
	return role;
}

/* A root whose four roles all have these keys and this threshold. */
static inline cJSON *envelope_root(unsigned version, unsigned threshold,
				   struct signer *const *signers, size_t n)
{
	static const char *const names[] = { "root", "timestamp", "snapshot", "targets" };
	cJSON *envelope = envelope_new("root", version);
	cJSON *document = envelope_signed(envelope);
	cJSON *keys = cJSON_AddObjectToObject(document, "keys");
	cJSON *roles = cJSON_AddObjectToObject(document, "roles");

	envelope_put(document, "consistent_snapshot", cJSON_CreateTrue());
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		envelope_put(roles, names[i], envelope_role(keys, threshold, signers, n));
	return envelope;
}

/* Targets that delegate "B/" to these keys. */
static inline cJSON *envelope_targets(unsigned version, unsigned threshold,
				      struct signer *const *signers, size_t n)
{
	cJSON *envelope = envelope_new("targets", version);
	cJSON *document = envelope_signed(envelope);
	cJSON *delegations, *keys, *roles, *role, *paths;

	assert_non_null(cJSON_AddObjectToObject(document, "targets"));
	delegations = cJSON_AddObjectToObject(document, "delegations");
	keys = cJSON_AddObjectToObject(delegations, "keys");
	roles = cJSON_AddArrayToObject(delegations, "roles");
	role = envelope_role(keys, threshold, signers, n);
	envelope_put(role, "name", cJSON_CreateString("B"));
	envelope_put(role, "terminating", cJSON_CreateTrue());
	paths = cJSON_AddArrayToObject(role, "paths");
	assert_true(cJSON_AddItemToArray(paths, cJSON_CreateString("B/*")));
	assert_true(cJSON_AddItemToArray(roles, role));
	return envelope;
}

/* A target whose hash begins with first and is zeroes else. */
static inline void envelope_add_target(cJSON *envelope, const char *path, const char *first)
{
	cJSON *targets = cJSON_GetObjectItemCaseSensitive(envelope_signed(envelope), "targets");
	char sha256[SHA256_HEX_LENGTH + 1] = "";
	cJSON *target = cJSON_CreateObject();

	(void)snprintf(sha256, sizeof sha256, "%s%0*d", first,
		       (int)(SHA256_HEX_LENGTH - strlen(first)), 0);
	envelope_put(target, "length", cJSON_CreateNumber(5));
	envelope_put(cJSON_AddObjectToObject(target, "hashes"), "sha256",
		     cJSON_CreateString(sha256));
	envelope_put(targets, path, target);
}

static inline struct tuf_metadata *envelope_parse(const cJSON *envelope, enum tuf_type type)
{
	_cleanup_free_ char *text = json_print(envelope);
	struct tuf_metadata *m = NULL;
	struct json_error error = { 0 };

	assert_non_null(text);
	if (tuf_metadata_parse(text, strlen(text), type, &m, &error) < 0)
		fail_msg("%s %s", error.field, error.text);
	return m;
}

#endif
