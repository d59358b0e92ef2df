/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name of one attempt, from the gateway's journal to the server's archive (docs/PROTOCOL.md): a
 * UUID in lower case with dashes.
 */
#ifndef COMMON_TXID_H
#define COMMON_TXID_H

#include <stdbool.h>

#define TXID_LENGTH 36
bool txid_is_valid(const char *txid);

#endif
