/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: the releases that the repository's signed metadata authorises, read from its
 * directory and verified from the trusted root on, as a gateway would. A repository that does not
 * pass changes nothing: the last good releases stay in use.
 *
 * One thread refreshes, any thread reads.
 */
#ifndef QUERYD_CATALOG_H
#define QUERYD_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "queryd/releases.h"

struct catalog;

/* Starts empty; reads nothing yet. */
_must_check_ int catalog_new(const char *repository, const char *trusted_root,
			     struct catalog **ret);
struct catalog *catalog_free(struct catalog *c);
DEFINE_CLEANUP(struct catalog *, catalog_free);

/* Reads the repository again if timestamp.json is another one than last time, or if force. 1 if new
 * releases are in use, 0 if nothing changed, negative if the repository did not pass (then the
 * sentence is catalog_error()). After a failure it is tried again at each change and each
 * CATALOG_RETRY_SEC. now_sec is the time that metadata expires by. */
#define CATALOG_RETRY_SEC 30
_must_check_ int catalog_refresh(struct catalog *c, bool force, int64_t now_sec);
/* For the thread that refreshes. "" if the last reading was good. */
const char *catalog_error(const struct catalog *c);
/* A target that the last reading passed over, "" if none. */
const char *catalog_warning(const struct catalog *c);
/* When the metadata in use expires, 0 if none is. */
int64_t catalog_expires_sec(const struct catalog *c);

/* What is in use now, with a reference of its own. */
struct releases *catalog_acquire(struct catalog *c);
/* Takes releases (its reference) into use. For catalog_refresh() and for tests. */
void catalog_use(struct catalog *c, struct releases *releases);

#endif
