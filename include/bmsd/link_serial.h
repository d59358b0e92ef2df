/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial line to a board: raw, 8N1, never a controlling terminal, never blocking, for us alone
 * (TIOCEXCL). The modem lines are left as they are (CLOCAL, no HUPCL), since some adapters
 * reset the board when DTR moves. What the driver of the port held before is discarded.
 */
#ifndef BMSD_LINK_SERIAL_H
#define BMSD_LINK_SERIAL_H

#include "common/cleanup.h"

/* Returns the descriptor. -EINVAL for a speed that no board has, -EBUSY while another program holds
 * the line, -ENOTTY if path is something else; else what open() said. */
_must_check_ int link_serial_open(const char *path, unsigned baud);

/* Gives the line back to others. Accepts a negative descriptor. */
void link_serial_close(int fd);

/* Throws away what has arrived and was not read. */
void link_serial_discard(int fd);

#endif
