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

#include "common/cleanup.h"

#define BMSD_CONF_PATH "/etc/bmsd/bmsd.conf"
#define BMSD_MAX_PACKS 8

/* One section [pack N]. */
struct bmsd_conf_pack {
	bool used;
	unsigned number; /* 0 … BMSD_MAX_PACKS - 1 */
	char *name;	 /* of its state directory; default: the number */
	char *driver;
	char *device;
	char *baud;
	unsigned baud_rate; /* baud as a number */
	uint64_t poll_interval_msec;
	uint64_t timeout_msec;
	uint64_t cells; /* 0: as many as the board says */
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

	struct bmsd_conf_pack packs[BMSD_MAX_PACKS]; /* sorted by number */
	size_t n_packs;
};

/* Defaults, then the file. -EINVAL, -ENOENT with a sentence in *ret_error (caller frees). */
_must_check_ int bmsd_conf_load(const char *path, struct bmsd_conf **ret, char **ret_error);
struct bmsd_conf *bmsd_conf_free(struct bmsd_conf *c);
DEFINE_CLEANUP(struct bmsd_conf *, bmsd_conf_free);

#endif
