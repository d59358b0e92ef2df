/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where gateways reach a simulated board: a pseudo terminal with a link to it, and TCP as ser2net
 * offers a serial line. Each gateway has its line; lines live in the event loop.
 */
#ifndef BMSD_SIMPORT_H
#define BMSD_SIMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "bmsd/simline.h"
#include "common/cleanup.h"

struct simport;

/* Bytes of the gateway on this line (0 … SIMBOARD_LINES - 1): the answer, if there is one, is put into
 * l at once. */
typedef void (*simport_heard_fn)(void *userdata, unsigned line, const uint8_t *bytes, size_t size,
				 struct simline *l);

struct simport_settings {
	const char *link;   /* borrowed; NULL: no terminal */
	const char *group;  /* this group may use it too; NULL: ours alone */
	const char *listen; /* "ADDRESS:PORT"; NULL: no TCP */
	double speed;	    /* of the pack's time, in which delays are meant */
};

_must_check_ int simport_new(sd_event *event, const struct simport_settings *settings,
			     simport_heard_fn heard, void *userdata, struct simport **ret);
/* Removes the link. */
struct simport *simport_free(struct simport *p);
DEFINE_CLEANUP(struct simport *, simport_free);

/* The port that is listened on; 0: none. */
unsigned simport_tcp_port(const struct simport *p);

/* The cable is pulled: the terminal hangs up and its link is gone, connections end and new ones are
 * refused. And is put back: the terminal may be another one. */
void simport_disconnect(struct simport *p);
_must_check_ int simport_connect(struct simport *p);

#endif
