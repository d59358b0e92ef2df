/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/fetch.h"

#include <string.h>
#include <time.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "updaterd/checkpoint.h"
#include "updaterd/pacer.h"

/* Longer than what a slow link carries until the second request is answered, handshake included. */
#define FIRST_RUN_BYTES	   (128u << 10)
/* What a power cut may cost, and how often a slow link's few bytes wear the flash. */
#define SYNC_MSEC	   1000u
/* How long the server may take to end an answer of which all bytes have come. */
#define END_MSEC	   1000u
#define WRONG_MAX	   2u
/* So many wrong segments one after another, and the rest of the answer is not worth having. */
#define WRONG_IN_A_ROW_MAX 2u

/* One request in flight. */
struct run {
	struct engine *engine;
	bool is_active;
	bool is_given_up; /* ended by us, since it brings nothing but wrong segments */
	unsigned round;	  /* of the engine, when it was started */
	uint32_t first, end;
	uint32_t index; /* arriving */
	uint32_t filled;
	uint32_t n_placed, n_wrong, n_wrong_in_a_row;
	uint8_t *buffer; /* the segment that is arriving */
};

/* What the answers say of the file; machines behind one name may have a tag of their own each. */
struct validators {
	char etag[sizeof((struct http_response *)0)->etag];
	char last_modified[sizeof((struct http_response *)0)->last_modified];
	bool are_known, have_changed;
};

struct engine {
	struct fetch *f;
	struct failure *failure;
	int error; /* a sink's verdict that ends the fetch; failure is set */
	struct checkpoint *checkpoint;
	struct pacer pacer;
	struct validators validators;
	uint8_t *taken; /* a byte for each segment: it is in place, or asked for */
	uint8_t *again; /* how often it came wrong */
	struct run runs[FETCH_MAX_IN_FLIGHT];
	unsigned n_active;
	bool range_works;	  /* a 206 has been seen */
	bool is_proven;		  /* a right segment has come since the last failure */
	unsigned round;		  /* failures of runs that were in flight together count once */
	unsigned failures;	  /* in a row, without one new segment */
	uint64_t not_before_msec; /* nothing is asked for until then; 0: at once */
	uint64_t deadline_msec, synced_msec;
};

/* ---- what to ask for ---- */

uint32_t fetch_choose_segment_bytes(const uint32_t *sizes, size_t n, uint32_t wanted_bytes)
{
	uint32_t best = 0, smallest = 0;

	for (size_t i = 0; i < n; i++) {
		if (sizes[i] <= wanted_bytes && sizes[i] > best)
			best = sizes[i];
		if (smallest == 0 || sizes[i] < smallest)
			smallest = sizes[i];
	}
	return best > 0 ? best : smallest;
}

uint32_t fetch_next_run(const uint8_t *taken, const uint8_t *again, uint32_t count, uint32_t max,
			uint32_t *ret_first)
{
	uint32_t first = 0, length = 1;

	while (first < count && taken[first])
		first++;
	if (first == count)
		return 0;
	*ret_first = first;
	if (again[first])
		return 1;
	while (length < max && first + length < count && !taken[first + length] &&
	       !again[first + length])
		length++;
	return length;
}

/* ---- state ---- */

static int allocate(struct engine *e)
{
	const struct segments *segments = e->f->segments;

	e->taken = calloc((size_t)segments->count + 1, 1);
	e->again = calloc((size_t)segments->count + 1, 1);
	if (!e->taken || !e->again)
		return -ENOMEM;
	for (unsigned i = 0; i < e->f->in_flight; i++) {
		e->runs[i].engine = e;
		e->runs[i].buffer = malloc(segments->segment_bytes);
		if (!e->runs[i].buffer)
			return -ENOMEM;
	}
	return 0;
}

/* 0: no limit. */
static uint32_t max_run(const struct fetch *f)
{
	uint64_t max = f->request_bytes / f->segments->segment_bytes;

	if (f->request_bytes == 0)
		return f->request_segments;
	if (f->request_segments > 0 && f->request_segments < max)
		max = f->request_segments;
	return max == 0 ? 1 : max < UINT32_MAX ? (uint32_t)max : UINT32_MAX;
}

static int open_engine(struct engine *e)
{
	const struct segments *segments = e->f->segments;
	int r;

	r = allocate(e);
	if (r >= 0)
		r = checkpoint_open(e->f->inbox_fd, e->f->sha256, segments, &e->checkpoint);
	if (r < 0)
		return failure_set_errno(e->failure, r, "inbox");
	for (uint32_t i = 0; i < segments->count; i++)
		e->taken[i] = checkpoint_has(e->checkpoint, i);
	e->f->segments_resumed = segments->count - checkpoint_missing(e->checkpoint);
	pacer_begin(&e->pacer, FIRST_RUN_BYTES / segments->segment_bytes, max_run(e->f));
	return 0;
}

static void close_engine(struct engine *e)
{
	for (size_t i = 0; i < ELEMENTSOF(e->runs); i++)
		free(e->runs[i].buffer);
	checkpoint_close(e->checkpoint);
	free(e->taken);
	free(e->again);
}

static int sync_if_due(struct engine *e)
{
	uint64_t now = clock_now_msec(CLOCK_BOOTTIME);
	int r;

	if (now - e->synced_msec < SYNC_MSEC)
		return 0;
	e->synced_msec = now;
	r = checkpoint_sync(e->checkpoint);
	return r < 0 ? failure_set_errno(e->failure, r, "inbox") : 0;
}

static int check_deadline(struct engine *e)
{
	if (clock_now_msec(CLOCK_BOOTTIME) <= e->deadline_msec)
		return 0;
	return failure_set(e->failure, -ETIMEDOUT, REASON_NETWORK, "not complete after %ju seconds",
			   (uintmax_t)e->f->timeout_sec);
}

/* ---- what arrives ---- */

static int refuse_segment(struct run *run)
{
	struct engine *e = run->engine;
	uint32_t count = e->f->segments->count;

	e->f->segments_again++;
	e->taken[run->index] = 0;
	run->n_wrong++;
	run->n_wrong_in_a_row++;
	if (++e->again[run->index] >= WRONG_MAX)
		return failure_set(e->failure, -EBADMSG, REASON_SEGMENT_HASH,
				   "segment %u of %u was wrong twice", run->index, count);
	run->is_given_up = run->n_wrong_in_a_row >= WRONG_IN_A_ROW_MAX;
	return 0;
}

static int place_segment(struct run *run)
{
	struct engine *e = run->engine;
	int r;

	r = checkpoint_place(e->checkpoint, run->index, run->buffer);
	if (r == -EBADMSG)
		return refuse_segment(run);
	if (r < 0)
		return failure_set_errno(e->failure, r, "inbox");
	run->n_placed++;
	run->n_wrong_in_a_row = 0;
	e->is_proven = true;
	e->failures = 0;
	e->f->segments_fetched++;
	r = e->f->progress ? e->f->progress(e->f->userdata, checkpoint_done_bytes(e->checkpoint))
			   : 0;
	return r < 0 ? failure_set(e->failure, r, REASON_INTERRUPTED, "interrupted") : 0;
}

static int take_bytes(struct run *run, const uint8_t *bytes, size_t size)
{
	while (size > 0 && !run->is_given_up) {
		uint32_t left = segments_length(run->engine->f->segments, run->index) - run->filled;
		uint32_t n = size < left ? (uint32_t)size : left;

		memcpy(run->buffer + run->filled, bytes, n);
		run->filled += n;
		bytes += n;
		size -= n;
		if (n == left) {
			int r = place_segment(run);

			if (r < 0)
				return r;
			run->index++;
			run->filled = 0;
		}
	}
	return check_deadline(run->engine);
}

static int sink(void *userdata, const void *bytes, size_t size)
{
	struct run *run = userdata;
	struct engine *e = run->engine;

	if (e->error >= 0)
		e->error = take_bytes(run, bytes, size);
	if (e->error < 0)
		return e->error;
	return run->is_given_up ? -ECANCELED : 0;
}

/* ---- asking ---- */

static int start_run(struct engine *e, struct run *run, uint32_t first, uint32_t length)
{
	const struct segments *segments = e->f->segments;
	uint32_t last = first + length - 1;
	const struct http_range range = {
		.url = e->f->url,
		.first = segments_offset(segments, first),
		.last = segments_offset(segments, last) + segments_length(segments, last) - 1,
		.total = segments->file_bytes,
		.sink = sink,
		.userdata = run,
	};
	int r;

	r = http_start_range(e->f->http, &range);
	if (r < 0)
		return failure_set_http(e->failure, r, e->f->http, e->f->url);
	*run = (struct run){ .engine = e,
			     .is_active = true,
			     .round = e->round,
			     .first = first,
			     .index = first,
			     .end = first + length,
			     .buffer = run->buffer };
	memset(e->taken + first, 1, length);
	e->n_active++;
	e->f->requests++;
	return 0;
}

static struct run *idle_run(struct engine *e)
{
	unsigned max = e->is_proven ? e->f->in_flight : 1;

	if (e->n_active >= max)
		return NULL;
	for (unsigned i = 0; i < e->f->in_flight; i++)
		if (!e->runs[i].is_active)
			return &e->runs[i];
	return NULL;
}

static int start_runs(struct engine *e)
{
	uint32_t first, length;
	struct run *run;

	if (e->not_before_msec > clock_now_msec(CLOCK_BOOTTIME))
		return 0;
	e->not_before_msec = 0;
	while ((run = idle_run(e))) {
		int r;

		length = fetch_next_run(e->taken, e->again, e->f->segments->count, e->pacer.length,
					&first);
		if (length == 0)
			return 0;
		r = start_run(e, run, first, length);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- how a request ended ---- */

/* What it did not bring may be asked for again. */
static void release(struct engine *e, struct run *run)
{
	run->is_active = false;
	e->n_active--;
	for (uint32_t i = run->index; i < run->end; i++)
		e->taken[i] = checkpoint_has(e->checkpoint, i);
}

static void release_all(struct engine *e)
{
	http_cancel(e->f->http);
	for (size_t i = 0; i < ELEMENTSOF(e->runs); i++)
		if (e->runs[i].is_active)
			release(e, &e->runs[i]);
}

static bool differ(const char *a, const char *b)
{
	return *a && *b && strcmp(a, b) != 0;
}

static void compare_validators(struct validators *v, const struct http_response *response)
{
	if (response->status != 206)
		return;
	if (!v->are_known) {
		memcpy(v->etag, response->etag, sizeof v->etag);
		memcpy(v->last_modified, response->last_modified, sizeof v->last_modified);
		v->are_known = true;
	} else if (differ(v->etag, response->etag) ||
		   differ(v->last_modified, response->last_modified)) {
		if (!v->have_changed)
			log_debug("fetch: the file has another tag or date than it had");
		v->have_changed = true;
	}
}

static int fail_changed(struct engine *e)
{
	return failure_set(e->failure, -ESTALE, REASON_FILE_CHANGED,
			   "the file on the server is not the one that was signed");
}

/* An answer that came whole. */
static int judge_answer(struct engine *e, const struct http_response *response)
{
	long status = response->status;

	if (status == 206) {
		e->range_works = true;
		return 0;
	}
	(void)failure_set(e->failure, -EAGAIN, REASON_SERVER_ERROR, "the file server answered %ld",
			  status);
	e->failure->retry_after_sec = response->retry_after_sec;
	return status == 408 || status == 429 || status >= 500 ? -EAGAIN : -EPROTO;
}

/* -EAGAIN where it is worth another try. */
static int judge_error(struct engine *e, int error)
{
	if (error == -ESTALE || (error == -ENOTSUP && e->range_works))
		return fail_changed(e);
	if (error == -ENOTSUP)
		return failure_set(e->failure, error, REASON_RANGE_IGNORED,
				   "the file server does not honour Range");
	(void)failure_set_http(e->failure, error, e->f->http, e->f->url);
	return error == -EKEYREJECTED || error == -EKEYEXPIRED || error == -EREMCHG ||
			       error == -EINVAL || error == -ENOMEM
		       ? error
		       : -EAGAIN;
}

static void wait_for(struct engine *e, uint64_t msec)
{
	uint64_t until = clock_now_msec(CLOCK_BOOTTIME) + msec;

	if (until > e->not_before_msec)
		e->not_before_msec = until;
}

/* What ends the requests in flight together is one failure, and those that bring something are none
 * to count, but all are waited after, as long as any of them is told to. */
static int retry_later(struct engine *e, const struct run *run, int error, uint64_t retry_after_sec)
{
	uint64_t random = e->f->random ? e->f->random() : backoff_random();

	log_debug("fetch: %s", e->failure->text);
	if (run->round != e->round) {
		wait_for(e, retry_after_sec * 1000);
	} else {
		e->round++;
		pacer_shrink(&e->pacer);
		e->is_proven = false;
		if (run->n_placed == 0 && ++e->failures >= e->f->attempts)
			return error;
		wait_for(e, retry_after_sec * 1000 +
				    backoff_msec(e->failures, e->f->retry_wait_msec, random));
	}
	return e->not_before_msec > e->deadline_msec ? error : 0;
}

static int end_run(struct engine *e, const struct http_ended *ended)
{
	struct run *run = ended->userdata;
	int r;

	release(e, run);
	compare_validators(&e->validators, &ended->response);
	if (e->error < 0)
		return e->failure->reason == REASON_SEGMENT_HASH && e->validators.have_changed
			       ? fail_changed(e)
			       : e->error;
	if (run->is_given_up) {
		pacer_shrink(&e->pacer);
		return 0;
	}
	r = ended->error < 0 ? judge_error(e, ended->error) : judge_answer(e, &ended->response);
	/* One that times out stood still, and so did those beside it. */
	if (ended->error == -ETIMEDOUT)
		release_all(e);
	if (r == -EAGAIN)
		return retry_later(e, run, r, ended->response.retry_after_sec);
	if (r >= 0 && run->n_wrong == 0)
		pacer_grow(&e->pacer);
	else
		pacer_shrink(&e->pacer);
	return r;
}

/* ---- the loop ---- */

static void wait_until(struct engine *e)
{
	uint64_t now = clock_now_msec(CLOCK_BOOTTIME), until = e->not_before_msec;

	e->not_before_msec = 0;
	if (until > now)
		backoff_sleep(until - now);
}

static int step(struct engine *e)
{
	uint64_t now = clock_now_msec(CLOCK_BOOTTIME);
	uint64_t msec = e->not_before_msec > now ? e->not_before_msec - now : SYNC_MSEC;
	struct http_ended ended;
	int r;

	r = http_wait(e->f->http, msec < SYNC_MSEC ? msec : SYNC_MSEC, &ended);
	if (r < 0)
		return failure_set_http(e->failure, r, e->f->http, e->f->url);
	if (r > 0)
		r = end_run(e, &ended);
	return r < 0 ? r : sync_if_due(e);
}

static int request_missing(struct engine *e)
{
	int r = 0;

	while (r >= 0 && checkpoint_missing(e->checkpoint) > 0) {
		r = start_runs(e);
		if (r < 0)
			break;
		if (e->n_active == 0)
			wait_until(e);
		else
			r = step(e);
		if (r >= 0)
			r = check_deadline(e);
	}
	return r;
}

/* All is there; an answer that is read to its end leaves a connection that can be used again. */
static void let_end(struct engine *e)
{
	uint64_t until = clock_now_msec(CLOCK_BOOTTIME) + END_MSEC;

	while (e->n_active > 0 && clock_now_msec(CLOCK_BOOTTIME) < until)
		if (step(e) < 0)
			break;
}

static int run_engine(struct engine *e)
{
	struct failure *failure = e->failure, ignored;
	int r, synced;

	r = request_missing(e);
	e->failure = &ignored;
	if (r >= 0)
		let_end(e);
	e->failure = failure;
	release_all(e);
	/* What has come is kept for the next time; the first failure is the one to tell. */
	synced = checkpoint_sync(e->checkpoint);
	if (r >= 0 && synced < 0)
		return failure_set_errno(failure, synced, "inbox");
	return r;
}

int fetch_run(struct fetch *f, struct failure *failure)
{
	_cleanup_(close_engine) struct engine e = { .f = f, .failure = failure };
	uint64_t received_before = http_received_bytes(f->http);
	int r;

	if (f->in_flight == 0)
		f->in_flight = 1;
	if (f->in_flight > FETCH_MAX_IN_FLIGHT)
		f->in_flight = FETCH_MAX_IN_FLIGHT;
	e.synced_msec = clock_now_msec(CLOCK_BOOTTIME);
	e.deadline_msec = e.synced_msec + f->timeout_sec * 1000;
	r = open_engine(&e);
	if (r < 0)
		return r;
	http_limit_time(f->http, f->timeout_sec);
	r = run_engine(&e);
	http_limit_time(f->http, 0);
	f->received_bytes = http_received_bytes(f->http) - received_before;
	return r < 0 ? r
		     : fetch_check_whole(f->inbox_fd, checkpoint_fd(e.checkpoint), f->sha256,
					 failure);
}
