/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bmsd.conf(5) in memory. Every key has a default but a pack's device. Keys, ranges and reasons:
 * etc/bmsd.conf.
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

struct bmsd_conf {
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

/* What the file has and this bmsd does not know, a sentence for each. */
typedef void (*bmsd_conf_unknown_fn)(const char *sentence, void *userdata);

/* Defaults, then the file. Unknown sections and keys are errors if unknown is NULL; else they are told
 * and skipped: after a rollback an older bmsd must start with a newer one's file. -EINVAL, -ENOENT with a sentence in *ret_error (caller frees). */
_must_check_ int bmsd_conf_load(const char *path, bmsd_conf_unknown_fn unknown, void *userdata,
				struct bmsd_conf **ret, char **ret_error);
struct bmsd_conf *bmsd_conf_free(struct bmsd_conf *c);
DEFINE_CLEANUP(struct bmsd_conf *, bmsd_conf_free);

#endif
