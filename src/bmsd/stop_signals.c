/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/stop_signals.h"

#include <errno.h>
#include <signal.h>

int stop_signals_watch(sd_event *event)
{
	sigset_t mask;
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	/* No handler: the loop ends with 0. */
	r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	return r < 0 ? r : sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}
