/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of network is like: the values that [network] has where updaterd.conf says nothing
 * else. docs/PERFORMANCE.md has the measurements behind them.
 */
#ifndef UPDATERD_NETWORK_H
#define UPDATERD_NETWORK_H

#include <stdint.h>

#include "updaterd/conf.h"
#include "updaterd/failure.h"

struct network_preset {
	const char *type;
	uint32_t segment_bytes;
	uint16_t in_flight;
	uint16_t connect_timeout_sec;
	uint16_t request_timeout_sec;
	uint16_t low_speed_bytes_per_sec;
	uint16_t low_speed_sec;
};

/* The names, NULL-terminated. */
extern const char *const network_types[];
/* NULL if there is no such type. */
const struct network_preset *network_preset(const char *type);

/* May so many bytes be fetched? -EAGAIN, REASON_NOT_NOW, if each is paid for ([network] metered=, and
 * where that is "auto" what metered_command prints: "yes" or "no") and they are more than
 * metered_max_bytes. */
_must_check_ int network_admit(const struct conf *conf, uint64_t bytes, struct failure *failure);

#endif
