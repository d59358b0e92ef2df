/* SPDX-License-Identifier: Apache-2.0 */
/* Private to served_pack*.c. */
#ifndef BMSD_SERVED_PACK_PARTS_H
#define BMSD_SERVED_PACK_PARTS_H

#include "bmsd/alarms.h"
#include "bmsd/capture.h"
#include "bmsd/estimator.h"
#include "bmsd/limits.h"
#include "bmsd/pack.h"
#include "bmsd/served_pack.h"
#include "bmsd/state.h"

/* What was said last, so that it is said once. */
struct said {
	bool up;
	bool refused;
	char detail[PACK_DETAIL_BYTES];
	bool save_failure, history_failure;
};

struct served_pack {
	struct served_shared *shared;
	const struct bmsd_conf_pack *conf;
	const struct driver *driver;
	struct capture *capture; /* NULL: the session is not recorded */
	struct pack *pack;
	struct poller *poller;
	struct state *state;
	struct history *history;
	struct estimator *estimator;
	struct limits *limits;
	struct alarms alarms;
	struct fet_control fet;
	bool resumed;	   /* the estimator knows where it stands */
	uint64_t gap_msec; /* a longer step is one that nobody looked at */
	unsigned others;   /* samples in a row that come from another board */
	bool save_now;
	unsigned urgent_saves; /* that may still be made at once */
	int64_t urgent_refilled_msec;
	bool charge_fet_known, charge_fet;
	int64_t charge_fet_msec; /* when the board last switched it; -1: not yet */
	uint64_t noted_samples;
	int64_t sample_msec; /* of the last one that was taken; -1: none */
	int64_t judged_msec; /* the alarms, last */
	int64_t ticked_msec;
	int64_t saved_msec;   /* the last attempt */
	int64_t written_msec; /* the last success; -1: never */
	int64_t running_msec; /* the last time in memory */
	struct said said;
};

int served_pack_soc_centipercent(const struct served_pack *p);

/* ---- served_pack_replay.c ---- */

/* An event is told before the state that follows from it is saved, so a kill in between leaves a state
 * that knows less than the log. What was told since is taken from there, and not told again. */
void replay_events(struct served_pack *p);

/* ---- served_pack_tell.c: the log, and the events ---- */

void tell_restored(struct served_pack *p);
void tell_link(struct served_pack *p, const struct pack_view *v);
void tell_protections(struct served_pack *p, const struct sample *s);
void tell_other_board(struct served_pack *p, const struct pack_view *v);
void tell_resumed(struct served_pack *p, enum soc_source source, const struct sample *s);
void tell_estimated(struct served_pack *p, unsigned happened, const struct sample *s);
void tell_alarm(struct served_pack *p, const struct alarm_change *change, const struct sample *s,
		const char *why);
void tell_fet_requested(struct served_pack *p, const struct fet_request *request, int error,
			const char *refusal, const struct sample *s);
void tell_fet_changed(struct served_pack *p, enum fet fet, enum fet_change change);
void tell_saved(struct served_pack *p, int error);
void tell_history(struct served_pack *p, int error);

#endif
