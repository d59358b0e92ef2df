/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bmsd.conf(5) in memory. Every key has a default but a pack's device. Keys, ranges and reasons:
 * etc/bmsd.conf.
 *
 * A file is read in one of two ways. Strictly by --check-config: what this bmsd does not take is an error.
 * Tolerantly by the daemon, which must be there whatever the file holds: after a roll back it is a newer
 * one's, after a power cut it may be damaged. What is not taken is left out, and the default holds; but for
 * what says which pack it is, how it is reached and what it is made of there is no substitute: a default
 * would measure something else, or judge it by another's limits. Such a pack is left out whole, as is one
 * with a line in its section that cannot be read, since that may have been one of these.
 */
#ifndef BMSD_CONF_H
#define BMSD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bmsd/alarms.h"
#include "bmsd/estimator.h"
#include "bmsd/events.h"
#include "bmsd/fet.h"
#include "bmsd/limits.h"
#include "common/cleanup.h"

#define BMSD_CONF_PATH "/etc/bmsd/bmsd.conf"
#define BMSD_MAX_PACKS 8

/* One section [pack N]. */
struct bmsd_conf_pack {
	bool used;
	unsigned number; /* 0 … BMSD_MAX_PACKS - 1 */
	char *name;	 /* of its state directory; default: the number */
	char *driver;
	char *device; /* a path, tcp:HOST:PORT or replay:PATH */
	char *baud;
	unsigned baud_rate; /* baud as a number */
	uint64_t poll_interval_msec;
	uint64_t timeout_msec;
	uint64_t cells; /* 0: as many as the board says */
	/* The presets of the pack's chemistry with what the file says otherwise. */
	struct estimator_settings estimator;
	struct limits_settings limits;
	struct alarms_settings alarms;
};

#define BMSD_CONF_REFUSALS	24
#define BMSD_CONF_REFUSAL_BYTES 256

/* What a tolerant reading did not take, as a sentence: printable ASCII, cut where it is too long. */
struct bmsd_conf_refusal {
	int pack; /* that is left out whole for it; -1: none */
	char text[BMSD_CONF_REFUSAL_BYTES];
};

struct bmsd_conf {
	int read_error; /* why the file could not be read, a negative errno; 0: it was */
	/* In the order of the file, one for each pack that is left out among them. */
	struct bmsd_conf_refusal refused[BMSD_CONF_REFUSALS];
	size_t n_refused;
	size_t n_refused_more; /* not kept */
	/* [limits] */
	uint64_t cell_min_mv;
	uint64_t cell_max_mv;
	uint64_t current_max_ma;
	uint64_t update_current_max_ma; /* more than this is "riding or charging": no update now */
	uint64_t stale_msec;
	/* [state] */
	char *state_dir;
	uint64_t save_interval_sec;
	struct events_settings events; /* [events] */
	struct fet_settings fet;       /* [fet] */
	/* [capture] */
	char *capture_dir; /* NULL: nothing is captured */
	uint64_t capture_max_bytes;
	/* [metrics] */
	char *metrics_socket; /* NULL: only what systemd hands over */

	struct bmsd_conf_pack packs[BMSD_MAX_PACKS]; /* sorted by number */
	size_t n_packs;
};

/* Strictly. On failure -EINVAL, or what reading it fails with (-ENOENT), and a sentence in *ret_error
 * (caller frees). */
_must_check_ int bmsd_conf_load(const char *path, struct bmsd_conf **ret, char **ret_error);
/* Tolerantly: fails with -ENOMEM alone. A file that cannot be read at all leaves the defaults and no pack,
 * rather than no bmsd, which could not even say so. */
_must_check_ int bmsd_conf_load_tolerant(const char *path, struct bmsd_conf **ret);
struct bmsd_conf *bmsd_conf_free(struct bmsd_conf *c);
DEFINE_CLEANUP(struct bmsd_conf *, bmsd_conf_free);

/* Something was not taken, and no pack is served: nobody can tell whether one was meant. */
bool bmsd_conf_has_lost_all(const struct bmsd_conf *c);

#endif
