/* SPDX-License-Identifier: Apache-2.0 */
#include "common/backoff.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

uint64_t backoff_msec(unsigned failures, uint64_t first_msec, uint64_t random)
{
	uint64_t msec = first_msec < BACKOFF_MAX_MSEC ? first_msec : BACKOFF_MAX_MSEC;

	while (failures-- > 1 && msec < BACKOFF_MAX_MSEC)
		msec *= 2;
	if (msec > BACKOFF_MAX_MSEC)
		msec = BACKOFF_MAX_MSEC;
	return random % (msec + 1);
}

uint64_t backoff_random(void)
{
	uint64_t random = 0;

	(void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
	return random;
}

void backoff_sleep(uint64_t msec)
{
	struct timespec ts = { .tv_sec = (time_t)(msec / 1000),
			       .tv_nsec = (long)(msec % 1000) * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}
