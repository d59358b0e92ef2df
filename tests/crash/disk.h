/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory that logs what is written to it, and when it was told to flush: a file of a FUSE
 * file system that is served here, with a loop device on it. Nothing of it outlives the process.
 */
#ifndef TESTS_CRASH_DISK_H
#define TESTS_CRASH_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"

#define DISK_SECTOR 512u
#define DISK_BLOCK  4096u

struct disk_entry {
	uint64_t offset;
	uint64_t data; /* where its bytes are in the log's */
	uint32_t size;
	bool is_flush;
};

/* Shared with the process that serves the file. */
struct disk_log {
	bool is_on;
	bool is_full; /* it has not all of it */
	uint64_t n;
	uint64_t n_data;
	struct disk_entry *entries;
	uint8_t *data;
};

struct disk {
	uint64_t size;
	uint8_t *image; /* what the disk holds; may be changed while nothing is mounted */
	struct disk_log *log;
	char device[32]; /* "/dev/loop3" */
	char directory[96];
	int loop_fd;
	pid_t server;
	bool is_mounted;
};

/* directory: an empty one of its own, made here. position, if not NULL, follows the length of the log. -errno: not to
 * be had here. */
int disk_open(struct disk *d, const char *directory, uint64_t size, uint64_t *position);
void disk_close(struct disk *d);
/* Forgets the log and begins a new one. */
void disk_log_start(struct disk *d);
void disk_log_stop(struct disk *d);

/* A loop device on any file. Gives its path, and a descriptor that keeps it. */
int disk_attach(const char *file, char ret_device[32], int *ret_fd);
void disk_detach(int loop_fd);
/* Nothing of what the device held is remembered. */
void disk_forget_cache(const char *device);

#endif
