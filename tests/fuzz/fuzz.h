/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. Each target is one file fuzz_<name>.c with libFuzzer's entry point;
 * what it promises stands in check() calls. Linked with libFuzzer by `make fuzz`, and with replay.c
 * into a unit test that runs the kept inputs of corpus/<name>/.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tuf/metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, which is what a fuzzer notices. */
#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The input, taken bit by bit; zeros after its end. */
struct input {
	const uint8_t *at, *end;
};

static inline bool input_is_empty(const struct input *in)
{
	return in->at == in->end;
}

static inline unsigned take_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

/* Less than n, which is 65536 at most. */
static inline size_t take_below(struct input *in, size_t n)
{
	size_t value = take_byte(in);

	if (n > 256)
		value = value << 8 | take_byte(in);
	return n ? value % n : 0;
}

/* A metadata file of one type, and every question that may be asked of it. */
void fuzz_metadata(enum tuf_type type, const uint8_t *data, size_t size);

#endif
