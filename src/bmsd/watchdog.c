/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/watchdog.h"

#include <systemd/sd-daemon.h>

void watchdog_init(struct watchdog *w)
{
	uint64_t usec = 0;

	*w = (struct watchdog){};
	if (sd_watchdog_enabled(0, &usec) > 0)
		w->interval_msec = usec / 1000;
}

bool watchdog_feed(struct watchdog *w, int64_t now_msec, bool progressed)
{
	if (w->interval_msec == 0 || !progressed)
		return false;
	if (w->fed_msec && now_msec - w->fed_msec < (int64_t)w->interval_msec / 4)
		return false;
	w->fed_msec = now_msec;
	return sd_notify(0, "WATCHDOG=1") > 0;
}
