/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rescue: what puts the programs back when the updater itself cannot. A program of its own
 * (updaterd-rescue, static), run at boot before recover() and whenever a part of updaterd fails. It needs
 * no configuration, no bus, no network and no updaterd: libc, fsutil, crc32, version, log, and the
 * installer's journal and swap are all that it is made of.
 *
 * It does what cannot wait, and leaves the rest to recover():
 *
 *	a journal with TRIAL, or a   `current` and `previous` go back to "from" and "before_previous"
 *	word that is not known       of the journal; its state becomes rolled-back
 *	a `current` that cannot      to `previous`; else to the newest complete release; else to the
 *	be run                       factory's own directory, by a link that is no "releases/<version>"
 *
 * The unit of a program that was put back is restarted if it runs. In the journal "rescued=1" says that we
 * were there:
 *
 *	state        what recover() owes
 *	trial        we were cut: the new release was `current`, whatever is now. As for rolled-back
 *	rolled-back  the links are back; the failure is not counted, the result not kept. A reason is
 *	             there only if there was one, or a person ended the trial (operator)
 *	confirmed    kind rollback: a person went back from "from" to "to" (none: the factory's),
 *	             or, once more, to what `current` leads to. Where that is "from" still, it is to be
 *	             done first, if it can be. Pardon where it led, keep the result
 *
 * The versions that a person left are in left_<letter>, one after another: recover() puts them in quarantine.
 * A `current` that leads to the factory's directory is to be replaced by the same release, adopted, and by no
 * other.
 *
 * If we die anywhere, the next run comes to the same end.
 */
#ifndef UPDATERD_RESCUE_H
#define UPDATERD_RESCUE_H

#include "common/cleanup.h"
#include "updaterd/programs.h"

#define RESCUE_PROGRAMS PROGRAMS_FILE
#define RESCUE_KEY	"rescued"
#define RESCUE_LEFT	"left"
/* What the packages bring. */
#define RESCUE_DEFAULTS                                                                            \
	"A /opt/updaterd /usr/lib/updaterd/factory\n"                                              \
	"B /opt/bmsd /usr/lib/bmsd/factory bmsd.service\n"

struct rescue {
	const char *installer_dir;
	/* What PROGRAMS_FILE there would say, if it does not. */
	const char *defaults;
	/* Called without the lock, at the end, for each program that was put back. */
	void (*restart)(const char *unit);
};

/* 1: something was put right; 0: nothing had to be; -EBUSY: the installer is at work, nothing was done;
 * another negative errno: something could not be put right (the log says what), the rest was. */
_must_check_ int rescue_run(const struct rescue *r);

/* A person wants a program back: a trial of it is undone, or, if there is none, `current` goes to the
 * previous release; if that cannot be run, or is not older, to the newest older one that can, or to the
 * factory's. 1, or as above; -ENOENT: there is nothing to go back to; -EINVAL: no such program. */
_must_check_ int rescue_rollback(const struct rescue *r, char letter);

#endif
