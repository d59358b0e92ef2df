/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629, section 4 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The character that begins the size bytes at: its bytes, 1 to 4; 0 if there is none. */
size_t utf8_character(const uint8_t *at, size_t size, uint32_t *ret);

#endif
