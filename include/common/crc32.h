/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32 of IEEE 802.3: whether a power cut left a state file half written. It proves nothing
 * against people; that is what digests and signatures are for.
 */
#ifndef COMMON_CRC32_H
#define COMMON_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Starts from 0; the result of the bytes so far is what the next ones go on from. */
uint32_t crc32_update(uint32_t crc, const void *bytes, size_t size);

#endif
