/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The installer: the half of updaterd that runs as root, without network, and owns the spaces. These
 * are its entrances, called from main.c; everything else of it is below src/updaterd/installer/.
 */
#ifndef UPDATERD_INSTALLER_H
#define UPDATERD_INSTALLER_H

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"

/* `updaterd --installer`: recovers, serves org.bmsgateway.Updater1 on the system bus, returns when
 * idle. An exit code. */
_must_check_ int installer_serve(const struct conf *conf);

/* `updaterd --adopt B` (package scripts): makes the space if needed, copies the factory release into
 * it by the ordinary stage-check-rename path and, only if there is no `current`, points it there. An
 * existing `current` is never touched, whatever its version. Idempotent. Works without systemd or
 * D-Bus. Root only. An exit code. */
_must_check_ int installer_adopt(const struct conf *conf, char program);

/* `updaterd --disown B` (package purge): removes the space and what is known about the program. An exit code;
 * EXIT_TEMPORARY while an attempt is under way, of whatever program. */
_must_check_ int installer_disown(const struct conf *conf, char program);

/* `updaterd --recover` (at boot, before the programs): finishes or undoes what a crash left. */
_must_check_ int installer_recover(const struct conf *conf);

/* `updaterd --clear-quarantine [VERSION]`: it may be tried again; NULL: all that are. Root only. An exit
 * code. */
_must_check_ int installer_clear_quarantine(const struct conf *conf, const struct version *version);

/* `updaterd --hold [B] [--until T]` and `--unhold [B]`: no upgrade of the program, or (0) of any, until then
 * (NULL: until it is taken back). Root only. An exit code; EXIT_TEMPORARY while an attempt is under way. */
_must_check_ int installer_hold(const struct conf *conf, char program, const char *until);
_must_check_ int installer_unhold(const struct conf *conf, char program);

#endif
