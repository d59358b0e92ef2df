/* SPDX-License-Identifier: Apache-2.0 */
/* A bad release of a program: it gets ready, works for two seconds, and dies. */
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

int main(void)
{
	(void)sd_notify(0, "READY=1");
	(void)sleep(2);
	abort();
}
