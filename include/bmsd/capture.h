/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw session with a board, for whoever has to find out what a board really says, and for tests:
 * one JSON object a line,
 *
 *	{"t_msec":0,"dir":"open","hex":""}
 *	{"t_msec":51,"dir":"tx","hex":"dda50300fffd77"}
 *	{"t_msec":94,"dir":"rx","hex":"dd03001b1700…"}
 *
 * Written as it happens and never synced: if the power goes, the end is missing, and a torn last line
 * is ignored. The file stops growing at its limit, at the end of a line, so that it can always be
 * replayed from its beginning; a file that is there already is continued behind its last whole line.
 * Off unless configured.
 */
#ifndef BMSD_CAPTURE_H
#define BMSD_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define CAPTURE_MAX_BYTES    (UINT64_C(64) << 20) /* more is never replayed */
#define CAPTURE_RECORD_BYTES 512		  /* of one record; longer reads are several */
/* Two digits a byte, and what stands around them. */
#define CAPTURE_LINE_BYTES   (2 * CAPTURE_RECORD_BYTES + 80)

enum capture_direction {
	CAPTURE_OPEN, /* the line was opened: what follows is another session */
	CAPTURE_TX,
	CAPTURE_RX,
};

struct capture;

/* max_bytes includes what is in the file already. */
_must_check_ int capture_open(const char *path, uint64_t max_bytes, struct capture **ret);
struct capture *capture_free(struct capture *c);
DEFINE_CLEANUP(struct capture *, capture_free);

/* c may be NULL. Once the file is full, or could not be written, nothing more is: a recording must not
 * disturb the polling. */
void capture_note(struct capture *c, enum capture_direction dir, const void *bytes, size_t size,
		  int64_t now_msec);

struct capture_record {
	int64_t t_msec;
	enum capture_direction dir;
	size_t size;
	uint8_t bytes[CAPTURE_RECORD_BYTES];
};

/* One line, with or without its newline. -EBADMSG if it is no record. */
_must_check_ int capture_parse(const char *line, size_t size, struct capture_record *ret);

#endif
