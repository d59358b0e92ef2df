/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON texts that Health and Status answer (docs/PROTOCOL.md). Members are only ever added: an
 * older or newer bmsd --probe reads them.
 *
 * Health, the facts that the probe judges:
 *
 *	{"schema":1,"version":"B…","pid":…,"uptime_msec":…,"ready":true,"loop_age_msec":…,
 *	 "watchdog":{"enabled":true,"interval_msec":30000},
 *	 "update_ok":false,"update_reasons":["pack 0: 5.0 A is flowing"],
 *	 "packs":[{"number":0,"name":"0","driver":"jbd","link":"up","detail":"","model":"…","cells":13,
 *	   "present":true,"polls":…,"polls_failed":…,"samples_ok":…,
 *	   "recent_polls":60,"recent_failed":0,"error_rate_permille":0,
 *	   "errors":{"timeout":0,"checksum":0,…},
 *	   "first_sample_msec":640,"last_age_msec":310,"soc_percent":72,"protections":[],
 *	   "state":{"on_disk":true,"restored":true,"damaged":0,"soc_saved_percent":72,
 *	            "samples_total":…,"saved_sec":…,"writer":"B…"}}]}
 *
 * What is not known is absent: first_sample_msec (since start), last_age_msec, soc_percent,
 * soc_saved_percent, cells.
 */
#ifndef BMSD_HEALTH_H
#define BMSD_HEALTH_H

#include "bmsd/facts.h"
#include "common/cleanup.h"

_must_check_ int health_build(const struct facts *f, char **ret_json);

/* Status: the samples themselves, as the D-Bus properties have them. */
_must_check_ int status_build(const struct facts *f, char **ret_json);

/* One line for systemd's STATUS=. */
void status_line(const struct facts *f, char *ret, size_t size);

#endif
