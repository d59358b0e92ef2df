/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/agent_user.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "updaterd/exit_codes.h"

int agent_user_become(const struct conf *conf)
{
	const struct passwd *user;

	if (geteuid() != 0)
		return EXIT_OK;
	errno = 0;
	user = getpwnam(conf->agent_user);
	if (!user) {
		log_error("[paths] agent_user: there is no user '%s'", conf->agent_user);
		return EXIT_CONFIG;
	}
	if (user->pw_uid == 0 || user->pw_gid == 0) {
		log_error("[paths] agent_user: '%s' is root, which must not talk to the network",
			  conf->agent_user);
		return EXIT_NOT_PERMITTED;
	}
	if (initgroups(user->pw_name, user->pw_gid) < 0 ||
	    setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
	    setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0 || setuid(0) == 0) {
		log_error("cannot become '%s': %s", conf->agent_user, strerror(errno));
		return EXIT_NOT_PERMITTED;
	}
	return EXIT_OK;
}
