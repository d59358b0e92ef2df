/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a gateway is known by: a type and a value. In the store, in the blacklist's paths and on the
 * command line it is the text "type:value".
 */
#ifndef QUERYD_IDENTITY_H
#define QUERYD_IDENTITY_H

#include <cjson/cJSON.h>

#include "common/cleanup.h"
#include "common/json.h"

#define IDENTITY_TEXT_BYTES 80

struct identity {
	char text[IDENTITY_TEXT_BYTES];
};

/* imei: 15 digits with the right check digit; machine-id: 32 hex digits, kept in lower case; name:
 * [A-Za-z0-9._:-]{1,64}. -EBADMSG, with error->field "type" or "value", otherwise. error may not be
 * NULL here and below. */
_must_check_ int identity_set(const char *type, const char *value, struct identity *ret,
			      struct json_error *error);
/* From "imei:490154203237518". */
_must_check_ int identity_parse(const char *text, struct identity *ret, struct json_error *error);
/* From the member "identity" of object; error->field is "identity", "identity.type" and so on. */
_must_check_ int identity_from_json(const cJSON *object, struct identity *ret,
				    struct json_error *error);
/* {"type":…,"value":…} of a text that one of the above made; NULL when out of memory. */
cJSON *identity_to_json(const char *text);

#endif
