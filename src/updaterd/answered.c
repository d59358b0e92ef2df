/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/answered.h"

#include <fcntl.h>

#include "updaterd/conf.h"
#include "updaterd/time_record.h"

#define RECORD "answered"

int64_t answered_load(int dirfd)
{
	return time_record_load(dirfd, RECORD);
}

int64_t answered_load_from(const char *agent_dir)
{
	_cleanup_close_ int dirfd = open(agent_dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return dirfd >= 0 ? answered_load(dirfd) : 0;
}

int answered_store(int dirfd, int64_t sec)
{
	return time_record_store(dirfd, RECORD, sec, 0600);
}

bool answered_is_missed(int64_t answered_sec, int64_t now_sec)
{
	return answered_sec < conf_build_time_sec() || now_sec < answered_sec ||
	       now_sec - answered_sec > ANSWERED_MAX_AGE_SEC;
}
