/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of the kernel's power_supply class. */
#include <fcntl.h>

#include "link_ops.h"

static int directory_open(struct link *l, const char *address, unsigned baud)
{
	(void)baud;
	l->fd = open(address, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return l->fd < 0 ? -errno : 0;
}

const struct link_ops link_ops_directory = {
	.prefix = "/",
	.open = directory_open,
};
