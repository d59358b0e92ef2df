/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent that was taken over: calls Install with what it is told, and prints "accepted" or the name
 * of the error.
 * handover METADATA-DIRECTORY PROGRAM-FILE TARGET TXID [lengthen|wait]
 *
 * lengthen: makes the program file longer while it is looked at
 * wait:     prints the result of the attempt instead, when it comes
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define NAME	      "org.bmsgateway.Updater1"
#define PATH	      "/org/bmsgateway/Updater1"
#define PATIENCE_USEC UINT64_C(20000000)

struct ending {
	const char *txid;
	bool is_there;
};

static int on_finished(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *txid, *outcome, *result;
	struct ending *e = userdata;

	(void)error;
	if (sd_bus_message_read(m, "sss", &txid, &outcome, &result) >= 0 &&
	    strcmp(txid, e->txid) == 0) {
		printf("%s\n", result);
		e->is_there = true;
	}
	return 0;
}

static void wait_for_end(sd_bus *bus, const struct ending *e)
{
	while (!e->is_there) {
		int r = sd_bus_process(bus, NULL);

		if (r == 0)
			r = sd_bus_wait(bus, PATIENCE_USEC);
		if (r <= 0 && !e->is_there) {
			printf("nothing came\n");
			return;
		}
	}
}

/* As fast as it can, as long as it is looked at. */
static void lengthen(int fd)
{
	for (int i = 0; i < 2000; i++) {
		(void)!ftruncate(fd, (off_t)1 << 50);
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	const char *then = argc > 5 ? argv[5] : "";
	bool lengthens = strcmp(then, "lengthen") == 0, waits = strcmp(then, "wait") == 0;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	struct ending ending = { 0 };
	int metadata, program, r;
	sd_bus *bus = NULL;

	if (argc < 5)
		return 2;
	ending.txid = argv[4];
	metadata = open(argv[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	program = open(argv[2], (lengthens ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_CLOEXEC);
	if (metadata < 0 || program < 0 || sd_bus_open_system(&bus) < 0)
		return 2;
	if (waits &&
	    sd_bus_match_signal(bus, NULL, NULL, PATH, NAME, "Finished", on_finished, &ending) < 0)
		return 2;
	r = sd_bus_call_method(bus, NAME, PATH, NAME, "Install", &error, NULL, "hhsss", metadata,
			       program, argv[3], argv[4], "{\"duration_ms\":9007199254740991}");
	if (r < 0 || !waits)
		printf("%s\n", r < 0 ? error.name : "accepted");
	else
		wait_for_end(bus, &ending);
	if (lengthens)
		lengthen(program);
	sd_bus_flush_close_unref(bus);
	return 0;
}
