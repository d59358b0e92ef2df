/* SPDX-License-Identifier: Apache-2.0 */
/* The factory release that a package ships becomes a release of the space. */
#ifndef UPDATERD_ADOPT_H
#define UPDATERD_ADOPT_H

#include "common/cleanup.h"
#include "common/version.h"
#include "updaterd/conf.h"
#include "updaterd/failure.h"
#include "updaterd/store.h"

/* Copies it to releases/ unless it is there and complete; a damaged one is replaced, whatever leads to
 * it. -ENOENT if the program has none. `current` is not touched. */
_must_check_ int adopt_factory(const struct conf_program *program, struct store *store,
			       struct version *ret, struct failure *failure);

#endif
