/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fetch of one program file as a program, for tests that kill it and count what it takes.
 *
 *	fetch-driver list FILE SEGMENT_BYTES >LIST
 *	fetch-driver get URL LIST SHA256 INBOX CA_FILE [IN_FLIGHT [REQUEST_SEGMENTS]]
 *
 * get writes the bytes that are in place, one line for each segment as it is placed, and at the end
 *
 *	end RESUMED FETCHED AGAIN REQUESTS CONNECTIONS RECEIVED_BYTES
 *
 * LOW_SPEED_SEC (60) in the environment is how long nothing may come; DEBUG=1 tells more.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "updaterd/fetch.h"

#define LIST_MAX_BYTES (64u << 20)

static int usage(void)
{
	(void)fputs("usage: fetch-driver list FILE SEGMENT_BYTES\n"
		    "       fetch-driver get URL LIST SHA256 INBOX CA_FILE [IN_FLIGHT "
		    "[REQUEST_SEGMENTS]]\n",
		    stderr);
	return 64;
}

static int run_list(char **arguments)
{
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_close_ int fd = open(arguments[0], O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	if (fd < 0 ||
	    segments_from_fd(fd, (uint32_t)strtoul(arguments[1], NULL, 10), &segments) < 0 ||
	    segments_format(segments, &bytes, &size) < 0 || fwrite(bytes, 1, size, stdout) != size)
		return 1;
	return 0;
}

/* By one write(): what has been told has been placed, whenever we are killed. */
static int on_placed(void *userdata, uint64_t done_bytes)
{
	char line[32];
	int n = snprintf(line, sizeof line, "%ju\n", (uintmax_t)done_bytes);

	(void)userdata;
	return write(STDOUT_FILENO, line, (size_t)n) == n ? 0 : -EIO;
}

static int fetch(struct http *http, char **arguments, const struct segments *segments, int inbox_fd)
{
	_cleanup_close_ int fd = FD_NONE;
	struct failure failure = { 0 };
	uint8_t sha256[SHA256_BYTES];
	struct fetch f = { .http = http,
			   .url = arguments[0],
			   .inbox_fd = inbox_fd,
			   .sha256 = sha256,
			   .segments = segments,
			   .in_flight = 2,
			   .timeout_sec = 3600,
			   .attempts = 6,
			   .retry_wait_msec = 1000,
			   .progress = on_placed };

	if (hex_decode(arguments[2], sha256, sizeof sha256) < 0)
		return usage();
	if (arguments[5])
		f.in_flight = (unsigned)strtoul(arguments[5], NULL, 10);
	if (arguments[5] && arguments[6])
		f.request_segments = (uint32_t)strtoul(arguments[6], NULL, 10);
	fd = fetch_run(&f, &failure);
	(void)printf("end %u %u %u %u %ju %ju\n", f.segments_resumed, f.segments_fetched,
		     f.segments_again, f.requests, (uintmax_t)http_connections(http),
		     (uintmax_t)f.received_bytes);
	if (fd >= 0)
		return 0;
	(void)fprintf(stderr, "%s: %s\n", reason_name(failure.reason), failure.text);
	return 1;
}

static int run_get(char **arguments)
{
	const char *low_speed_sec = getenv("LOW_SPEED_SEC");
	const struct http_options options = {
		.ca_file = arguments[4],
		.connect_timeout_sec = 30,
		.low_speed_bytes_per_sec = 100,
		.low_speed_sec = low_speed_sec ? strtoul(low_speed_sec, NULL, 10) : 60,
		.request_timeout_sec = 300
	};
	_cleanup_(segments_freep) struct segments *segments = NULL;
	_cleanup_close_ int inbox_fd = open(arguments[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(http_freep) struct http *http = NULL;
	_cleanup_free_ char *bytes = NULL;
	size_t size;

	if (inbox_fd < 0 ||
	    fs_read_file(AT_FDCWD, arguments[1], LIST_MAX_BYTES, &bytes, &size) < 0 ||
	    segments_parse(bytes, size, &segments) < 0 || http_new(&options, &http) < 0)
		return usage();
	return fetch(http, arguments, segments, inbox_fd);
}

int main(int argc, char **argv)
{
	if (argc > 1 && getenv("DEBUG"))
		log_set_level(LOG_DEBUG);
	if (argc == 4 && strcmp(argv[1], "list") == 0)
		return run_list(argv + 2);
	if (argc >= 7 && strcmp(argv[1], "get") == 0)
		return run_get(argv + 2);
	return usage();
}
