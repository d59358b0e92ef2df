/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/caller.h"

#include <pwd.h>

#define UID_UNKNOWN ((uid_t)-1)

static int get_caller(sd_bus_message *m, uid_t *ret, sd_bus_error *error)
{
	_cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
	int r;

	r = sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID, &creds);
	if (r >= 0)
		r = sd_bus_creds_get_euid(creds, ret);
	return r < 0 ? sd_bus_error_set_errno(error, r) : 0;
}

int caller_check_root(sd_bus_message *m, sd_bus_error *error)
{
	uid_t uid = UID_UNKNOWN;
	int r = get_caller(m, &uid, error);

	if (r < 0 || uid == 0)
		return r;
	return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED, "only root may call this");
}

int caller_check_agent(const struct conf *conf, sd_bus_message *m, sd_bus_error *error)
{
	const struct passwd *agent;
	uid_t uid = UID_UNKNOWN;
	int r = get_caller(m, &uid, error);

	if (r < 0 || uid == 0)
		return r;
	agent = getpwnam(conf->agent_user);
	if (agent && agent->pw_uid == uid)
		return 0;
	return sd_bus_error_setf(error, SD_BUS_ERROR_ACCESS_DENIED,
				 "only root and %s may call this", conf->agent_user);
}
