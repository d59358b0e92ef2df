/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/driver.h"

#include <string.h>

const char *const driver_names[] = { "jbd", "daly", "power_supply", NULL };
static const struct driver *const drivers[] = { &driver_jbd, &driver_daly, &driver_power_supply };

static const char *const error_names[LINK_ERROR_COUNT] = {
	[LINK_ERROR_TIMEOUT] = "timeout",
	[LINK_ERROR_CHECKSUM] = "checksum",
	[LINK_ERROR_STATUS] = "status",
	[LINK_ERROR_REGISTER] = "register",
	[LINK_ERROR_MALFORMED] = "malformed",
	[LINK_ERROR_ECHO] = "echo",
	[LINK_ERROR_JUNK] = "junk",
	[LINK_ERROR_IMPLAUSIBLE] = "implausible",
	[LINK_ERROR_IO] = "io",
	[LINK_ERROR_ASLEEP] = "asleep",
};

const char *link_error_name(unsigned error)
{
	return error < LINK_ERROR_COUNT ? error_names[error] : "other";
}

const struct driver *driver_find(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(drivers); i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}
