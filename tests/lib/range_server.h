/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file server for tests: real HTTPS on loopback in a process of its own and one more for each
 * connection, with Range, kept connections, and faults that the test switches while it runs. Failures of the helper itself end
 * the test (cmocka assertions).
 */
#ifndef TESTS_LIB_RANGE_SERVER_H
#define TESTS_LIB_RANGE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RANGE_SERVER_MAX_FILES 32
#define RANGE_SERVER_MAX_LOG   4096

/* In memory that the server's process shares: write a switch, read a count. */
struct range_server_shared {
	unsigned requests, connections;
	struct {
		uint64_t first, last;
		char path[160];
	} log[RANGE_SERVER_MAX_LOG];

	uint64_t corrupt_offset;  /* the byte that is flipped, … */
	uint64_t corrupt_length;  /* … or so many from there on … */
	unsigned corrupt_times;	  /* … in so many answers that hold it */
	unsigned fail_times;	  /* so many answers are … */
	int fail_status;	  /* … this status … */
	unsigned fail_from;	  /* … from this request on … */
	unsigned retry_after_sec; /* … with this Retry-After; 0: none, … */
	unsigned retry_after_at;  /* … of all of them, or (not 0) of this request alone */
	unsigned break_times;	  /* so many connections end before TLS is up */
	unsigned cut_times;	  /* so many answers end half way, with the connection */
	unsigned stall_at;	  /* this request (from 1) gets half an answer, then silence */
	unsigned change_at;	  /* from this request on there is another ETag */
	unsigned lie_at;	  /* … and another total */
	unsigned shift_at;	  /* this request gets the range one byte further on */
	bool ignores_range;
	unsigned ignore_range_at;
};

struct range_server {
	struct range_server_shared *shared;
	char base[64];	   /* "https://127.0.0.1:port" */
	char ca_file[128]; /* to trust it */
	struct {
		char path[160]; /* "/targets/x" */
		const void *bytes;
		size_t size;
	} files[RANGE_SERVER_MAX_FILES];
	size_t n_files;
	pid_t pid;
	int stalled_fd; /* readable once it has stalled */
};

/* bytes are borrowed and must not change after the start. */
void range_server_add(struct range_server *s, const char *path, const void *bytes, size_t size);
/* Keys and certificates are put into directory (tls_make_pki). */
void range_server_start(struct range_server *s, const char *directory);
void range_server_stop(struct range_server *s);
/* Returns when a request has stalled. */
void range_server_wait_stalled(const struct range_server *s);

#endif
