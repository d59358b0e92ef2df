/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where trust starts: [trust] root_file is the operator's word, and what counts beyond it is only what
 * descends from it, root by root, each signed by the one before (TUF specification 5.3). So the
 * chain that was kept ("2.root.json", "3.root.json" …) is walked again by every run, and whatever is
 * damaged, or belongs to another root_file, has no way to count: it is removed, and asked for anew.
 *
 * The newest one is kept as "root.json" as well. If root_file is lost or damaged that one stands in for
 * it: it descended from it once, and nothing says otherwise.
 */
#ifndef UPDATERD_ROOT_CHAIN_H
#define UPDATERD_ROOT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "tuf/client.h"

struct root_start {
	char *bytes; /* the newest root that is trusted */
	size_t size;
	uint64_t version;
	unsigned n_removed; /* roots that were kept and did not follow */
	int file_error;	    /* root_file was not usable: why. 0: it was */
};
void root_start_done(struct root_start *start);

/* dirfd: where the chain is kept. Fails as reading root_file does, with -EBADMSG if it is no root,
 * -EKEYREJECTED if it is not signed by its own threshold; -ENOMEM. */
_must_check_ int root_chain_start(int dirfd, const char *root_file, const struct tuf_limits *limits,
				  struct root_start *ret);

#endif
