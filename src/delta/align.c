/* SPDX-License-Identifier: Apache-2.0 */
#include "delta/align.h"

#include <divsufsort.h>
#include <stdbool.h>
#include <string.h>

#include "delta/patch.h"

/* A match must be better by this many bytes than going on with the alignment that there is: a new
 * stretch costs a record. The value is bsdiff's. */
#define WORTH_BYTES	8
/* Longer matches are as good as this: it bounds the work on long runs of one byte. */
#define MATCH_MAX_BYTES (64u << 10)

struct search {
	const struct bytes_view *old_file, *new_file;
	saidx_t *suffixes; /* of the old file, sorted */
};

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t common_prefix(const struct search *s, size_t old_offset, size_t new_offset)
{
	const uint8_t *a = s->old_file->bytes + old_offset, *b = s->new_file->bytes + new_offset;
	size_t max = min_size(s->old_file->size - old_offset, s->new_file->size - new_offset);
	size_t n = 0;

	max = min_size(max, MATCH_MAX_BYTES);
	while (n < max && a[n] == b[n])
		n++;
	return n;
}

static bool suffix_is_smaller(const struct search *s, size_t old_offset, size_t new_offset)
{
	size_t a = s->old_file->size - old_offset, b = s->new_file->size - new_offset;
	size_t n = min_size(min_size(a, b), MATCH_MAX_BYTES);
	int order = memcmp(s->old_file->bytes + old_offset, s->new_file->bytes + new_offset, n);

	return order != 0 ? order < 0 : a < b;
}

/* The longest match of what follows new_offset, by bisection of the sorted suffixes: it is a
 * neighbour of the place where the new file's own suffix would be. */
static size_t longest_match(const struct search *s, size_t new_offset, size_t *ret_old_offset)
{
	size_t low = 0, high = s->old_file->size, best = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (suffix_is_smaller(s, (size_t)s->suffixes[middle], new_offset))
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low > 0 ? low - 1 : 0; i <= low && i < s->old_file->size; i++) {
		size_t n = common_prefix(s, (size_t)s->suffixes[i], new_offset);

		if (n > best) {
			best = n;
			*ret_old_offset = (size_t)s->suffixes[i];
		}
	}
	return best;
}

/* ---- walking through the new file ---- */

struct walk {
	struct search search;
	size_t new_offset, old_offset;	  /* where the present stretch begins */
	size_t scan;			  /* where the next one is looked for */
	size_t match_bytes, match_offset; /* exact match found there */
};

/* Whether the alignment of the present stretch predicts the byte at new_offset. */
static bool is_predicted(const struct walk *w, size_t new_offset)
{
	/* Unsigned arithmetic wraps as it should: an alignment may point before the old file. */
	size_t offset = w->old_offset + (new_offset - w->new_offset);

	return offset < w->search.old_file->size &&
	       w->search.old_file->bytes[offset] == w->search.new_file->bytes[new_offset];
}

/* Moves scan on, over what the present alignment predicts; true where it is to be cut: at a match that
 * is longer than what it predicts there, and at the end. */
static bool find_next(struct walk *w)
{
	size_t new_size = w->search.new_file->size, predicted = 0, counted;

	counted = w->scan += w->match_bytes;
	for (; w->scan < new_size; w->scan++) {
		w->match_bytes = longest_match(&w->search, w->scan, &w->match_offset);
		for (; counted < w->scan + w->match_bytes; counted++)
			predicted += is_predicted(w, counted);
		if (w->match_bytes == predicted && w->match_bytes > 0)
			return false;
		if (w->match_bytes > predicted + WORTH_BYTES)
			return true;
		if (counted > w->scan)
			predicted -= is_predicted(w, w->scan);
	}
	return true;
}

/* How far the present stretch goes on from its beginning: where most bytes still agree. */
static size_t extend_forward(const struct walk *w)
{
	const struct bytes_view *old_file = w->search.old_file, *new_file = w->search.new_file;
	ptrdiff_t score = 0, best = 0;
	size_t length = 0;

	for (size_t i = 0; w->new_offset + i < w->scan && w->old_offset + i < old_file->size;) {
		score += old_file->bytes[w->old_offset + i] == new_file->bytes[w->new_offset + i]
				 ? 1
				 : -1;
		i++;
		if (score > best) {
			best = score;
			length = i;
		}
	}
	return length;
}

/* How far the next stretch reaches back before its exact match. */
static size_t extend_backward(const struct walk *w)
{
	const struct bytes_view *old_file = w->search.old_file, *new_file = w->search.new_file;
	ptrdiff_t score = 0, best = 0;
	size_t length = 0;

	if (w->scan >= new_file->size)
		return 0;
	for (size_t i = 1; i <= w->scan - w->new_offset && i <= w->match_offset; i++) {
		score += old_file->bytes[w->match_offset - i] == new_file->bytes[w->scan - i] ? 1
											      : -1;
		if (score > best) {
			best = score;
			length = i;
		}
	}
	return length;
}

/* Both claim the same bytes: gives how many of them the present stretch keeps. */
static size_t split_overlap(const struct walk *w, size_t forward, size_t backward, size_t overlap)
{
	const uint8_t *old_bytes = w->search.old_file->bytes;
	const uint8_t *mine = old_bytes + w->old_offset + forward - overlap;
	const uint8_t *theirs = old_bytes + w->match_offset - backward;
	const uint8_t *wanted = w->search.new_file->bytes + w->scan - backward;
	ptrdiff_t score = 0, best = 0;
	size_t kept = 0;

	for (size_t i = 0; i < overlap; i++) {
		score += (mine[i] == wanted[i]) - (theirs[i] == wanted[i]);
		if (score > best) {
			best = score;
			kept = i + 1;
		}
	}
	return kept;
}

/* Ends the present stretch and begins the next one. */
static struct stretch cut(struct walk *w)
{
	size_t forward = extend_forward(w), backward = extend_backward(w);
	size_t gap = w->scan - w->new_offset;
	struct stretch stretch;

	if (forward + backward > gap) {
		size_t overlap = forward + backward - gap;
		size_t kept = split_overlap(w, forward, backward, overlap);

		forward -= overlap - kept;
		backward -= kept;
	}
	stretch = (struct stretch){ w->old_offset, forward, gap - forward - backward };
	w->new_offset = w->scan - backward;
	w->old_offset = w->match_offset - backward;
	return stretch;
}

static int walk_new_file(struct walk *w, int (*visit)(void *, const struct stretch *),
			 void *userdata)
{
	int r;

	while (w->new_offset < w->search.new_file->size) {
		struct stretch stretch;

		if (!find_next(w))
			continue;
		stretch = cut(w);
		if (stretch.similar_bytes + stretch.extra_bytes == 0)
			continue;
		r = visit(userdata, &stretch);
		if (r != 0)
			return r;
	}
	return 0;
}

int align(const struct bytes_view *old_file, const struct bytes_view *new_file,
	  int (*visit)(void *userdata, const struct stretch *stretch), void *userdata)
{
	struct walk w = { .search = { .old_file = old_file, .new_file = new_file } };
	int r;

	if (old_file->size > PATCH_MAX_FILE_BYTES || new_file->size > PATCH_MAX_FILE_BYTES)
		return -EFBIG;
	w.search.suffixes = malloc((old_file->size + 1) * sizeof *w.search.suffixes);
	if (!w.search.suffixes)
		return -ENOMEM;
	if (old_file->size > 0 &&
	    divsufsort(old_file->bytes, w.search.suffixes, (saidx_t)old_file->size) != 0)
		r = -ENOMEM;
	else
		r = walk_new_file(&w, visit, userdata);
	free(w.search.suffixes);
	return r;
}
