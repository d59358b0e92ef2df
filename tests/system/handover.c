/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that was taken over: calls Install with what it is told, and prints "accepted" or the name
 * of the error. handover METADATA-DIRECTORY PROGRAM-FILE TARGET TXID [lengthen] */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define NAME "org.bmsgateway.Updater1"

int main(int argc, char **argv)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int metadata, program, r;
	sd_bus *bus = NULL;

	if (argc < 5)
		return 2;
	metadata = open(argv[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	program = open(argv[2], (argc > 5 ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	if (metadata < 0 || program < 0 || sd_bus_open_system(&bus) < 0)
		return 2;
	r = sd_bus_call_method(bus, NAME, "/org/bmsgateway/Updater1", NAME, "Install", &error, NULL,
			       "hhsss", metadata, program, argv[3], argv[4],
			       "{\"duration_ms\":9007199254740991}");
	printf("%s\n", r < 0 ? error.name : "accepted");
	/* As fast as it can, as long as it is looked at. */
	for (int i = 0; argc > 5 && i < 2000; i++) {
		(void)!ftruncate(program, (off_t)1 << 50);
		usleep(1000);
	}
	sd_bus_flush_close_unref(bus);
	return 0;
}
