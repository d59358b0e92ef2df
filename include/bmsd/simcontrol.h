/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of bms-boardsim(1): SOCK_SEQPACKET, one packet is a command, one its answer. */
#ifndef BMSD_SIMCONTROL_H
#define BMSD_SIMCONTROL_H

#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/cleanup.h"

#define SIMCONTROL_BYTES 4096

struct simcontrol;

/* Writes the answer to a command, a line without its end. */
typedef void (*simcontrol_command_fn)(void *userdata, const char *command, char *ret_answer,
				      size_t size);

/* A socket that an earlier run left is replaced. */
_must_check_ int simcontrol_new(sd_event *event, const char *path, simcontrol_command_fn command,
				void *userdata, struct simcontrol **ret);
/* Removes the socket. */
struct simcontrol *simcontrol_free(struct simcontrol *c);
DEFINE_CLEANUP(struct simcontrol *, simcontrol_free);

/* The other end: sends one command, waits some seconds for the answer. */
_must_check_ int simcontrol_tell(const char *path, const char *command,
				 char ret_answer[SIMCONTROL_BYTES]);

#endif
