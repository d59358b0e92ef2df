/* SPDX-License-Identifier: Apache-2.0 */
#include "common/txid.h"

#include <string.h>

bool txid_is_valid(const char *txid)
{
	if (strnlen(txid, TXID_LENGTH + 1) != TXID_LENGTH)
		return false;
	for (size_t i = 0; i < TXID_LENGTH; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? txid[i] != '-' : !strchr("0123456789abcdef", txid[i]))
			return false;
	}
	return true;
}
