/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/simline.h"

#include <string.h>

#include "bmsd/simwords.h"

#define JUNK_BYTES  6
#define PIECE_BYTES 3
#define ALWAYS	    UINT32_MAX
#define COUNT_MAX   1000000
#define LATE_MAX    600000
/* Both kinds of board begin their frames with one of these: the worst junk looks like it. */
#define START_JBD   0xdd
#define START_DALY  0xa5

static const char *const names[_SIMLINE_FAULT_MAX] = {
	"junk", "split", "drop", "dup", "flip", "late", "echo",
};

/* splitmix64, as the plant's, but of its own: faults of the line leave the pack as it is. */
static uint32_t next_random(struct simline_faults *f)
{
	uint64_t z = f->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ (z >> 31)) >> 32);
}

/* ---- commands ---- */

static int take_count(struct simline_faults *f, enum simline_fault fault, const char *word)
{
	long count = 0;

	if (!word) {
		f->left[fault] = ALWAYS;
		return 0;
	}
	if (simwords_number(word, 0, COUNT_MAX, &count) < 0)
		return -EINVAL;
	f->left[fault] = (uint32_t)count;
	return 0;
}

static int take_split(struct simline_faults *f, const struct simwords *w)
{
	long at = 0;

	f->split_every = w->n == 2 && strcmp(w->at[1], "every") == 0;
	if (w->n == 2 && !f->split_every && simwords_number(w->at[1], 1, SIMLINE_BYTES, &at) < 0)
		return -EINVAL;
	f->split_at = f->split_every ? 1 : (uint32_t)at;
	f->left[SIMLINE_SPLIT] = ALWAYS;
	return 0;
}

static int take_late(struct simline_faults *f, const struct simwords *w)
{
	long msec = 0;

	if (simwords_number(w->at[1], 0, LATE_MAX, &msec) < 0)
		return -EINVAL;
	f->late_msec = (uint32_t)msec;
	return take_count(f, SIMLINE_LATE, w->at[2]);
}

int simline_command(struct simline_faults *f, const char *line)
{
	struct simwords w;
	int r = simwords_split(line, &w);

	if (r < 0)
		return r;
	if (strcmp(w.at[0], "well") == 0) {
		memset(f->left, 0, sizeof f->left);
		return w.n == 1 ? 0 : -EINVAL;
	}
	for (unsigned i = 0; i < _SIMLINE_FAULT_MAX; i++) {
		if (strcmp(w.at[0], names[i]) != 0)
			continue;
		if (w.n > (i == SIMLINE_LATE ? 3 : 2))
			return -EINVAL;
		if (i == SIMLINE_SPLIT)
			return take_split(f, &w);
		return i == SIMLINE_LATE ? take_late(f, &w) : take_count(f, i, w.at[1]);
	}
	return -ENOENT;
}

/* ---- what they do ---- */

static bool strikes(struct simline_faults *f, enum simline_fault fault)
{
	if (f->left[fault] == 0)
		return false;
	if (f->left[fault] != ALWAYS)
		f->left[fault]--;
	f->struck++;
	return true;
}

static void put(struct simline *l, const uint8_t *bytes, size_t size)
{
	if (size > sizeof l->bytes - l->used)
		return;
	memcpy(l->bytes + l->used, bytes, size);
	l->used += size;
}

static void put_junk(struct simline *l, struct simline_faults *f)
{
	uint8_t junk[JUNK_BYTES];
	size_t size = 1 + next_random(f) % JUNK_BYTES;

	for (size_t i = 0; i < size; i++)
		junk[i] = (uint8_t)(next_random(f) & 0xff);
	if (next_random(f) % 2)
		junk[size - 1] = next_random(f) % 2 ? START_JBD : START_DALY;
	put(l, junk, size);
}

static void put_damaged(struct simline *l, struct simline_faults *f, const uint8_t *bytes,
			size_t size)
{
	size_t at = next_random(f) % size;
	bool drop = strikes(f, SIMLINE_DROP), dup = strikes(f, SIMLINE_DUP);
	uint8_t byte = bytes[at];

	if (strikes(f, SIMLINE_FLIP))
		byte ^= (uint8_t)(1 << next_random(f) % 8);
	put(l, bytes, at);
	if (!drop)
		put(l, &byte, 1);
	if (dup)
		put(l, &byte, 1);
	put(l, bytes + at + 1, size - at - 1);
}

void simline_heard(struct simline *l, struct simline_faults *f, const uint8_t *bytes, size_t size)
{
	if (strikes(f, SIMLINE_ECHO))
		put(l, bytes, size);
}

void simline_answer(struct simline *l, struct simline_faults *f, const uint8_t *bytes, size_t size)
{
	if (size == 0)
		return;
	if (strikes(f, SIMLINE_JUNK))
		put_junk(l, f);
	put_damaged(l, f, bytes, size);
	if (strikes(f, SIMLINE_LATE))
		l->delay_msec = f->late_msec;
	l->piece = 0;
	l->pieces_of = 0;
	if (strikes(f, SIMLINE_SPLIT)) {
		l->piece = f->split_at ? f->split_at : PIECE_BYTES;
		l->pieces_of = f->split_at ? 0 : PIECE_BYTES;
		if (f->split_every)
			f->split_at = f->split_at % (uint32_t)l->used + 1;
	}
}

size_t simline_due(const struct simline *l)
{
	return l->piece > 0 && l->piece < l->used ? l->piece : l->used;
}

void simline_written(struct simline *l, size_t size)
{
	l->used -= size < l->used ? size : l->used;
	memmove(l->bytes, l->bytes + size, l->used);
	l->piece = l->pieces_of;
	l->delay_msec = 0;
}
