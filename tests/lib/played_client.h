/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection to an installer that a test plays (--wrap=client_open,client_close): it always comes about.
 * What is said over it is each test's own.
 */
#ifndef TESTS_PLAYED_CLIENT_H
#define TESTS_PLAYED_CLIENT_H

#include "updaterd/client.h"

static char dummy; /* what the pointers point to that nobody looks behind */

int __wrap_client_open(struct client **ret, struct failure *failure);
int __wrap_client_open(struct client **ret, struct failure *failure)
{
	(void)failure;
	*ret = (struct client *)(void *)&dummy;
	return 0;
}

struct client *__wrap_client_close(struct client *c);
struct client *__wrap_client_close(struct client *c)
{
	(void)c;
	return NULL;
}

#endif
