/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/fetch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/clock.h"
#include "common/fsutil.h"
#include "common/log.h"

#define MAP_HEADER_BYTES  128
#define COPY_BYTES	  (64u << 10)
#define ROOM_MARGIN_BYTES (UINT64_C(1) << 20)
#define RETRY_MAX_MSEC	  30000u
/* What a power cut may cost, and how often a slow link's few bytes wear the flash. */
#define SYNC_MSEC	  1000u
#define WRONG_MAX	  2

struct state {
	struct fetch *f;
	struct failure *failure;
	int part_fd, map_fd;
	uint8_t *have;	 /* a byte for each segment: it is in place */
	uint8_t *again;	 /* how often it came wrong */
	uint8_t *buffer; /* the segment that is arriving */
	uint64_t received_before;
	uint64_t done_bytes;
	uint64_t deadline_msec, synced_msec;
	uint64_t retry_after_sec; /* what the last answer asked for */
	bool range_works;	  /* a 206 has been seen */
	bool sink_failed;	  /* the request was ended by us; failure is set */
	uint32_t index;		  /* arriving */
	uint32_t filled;
	uint32_t placed; /* segments put in place by this request */
};

static const struct {
	const char *type;
	uint32_t bytes;
} presets[] = {
	{ "nb-iot", 1024 }, { "2g", 1024 },  { "lte-m", 4096 },
	{ "3g", 4096 },	    { "4g", 10240 }, { "ethernet", 65536 },
};

/* ---- what to ask for ---- */

uint32_t fetch_request_bytes(const char *network_type, uint64_t configured_bytes)
{
	if (configured_bytes > 0)
		return configured_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)configured_bytes;
	for (size_t i = 0; i < ELEMENTSOF(presets); i++)
		if (strcmp(presets[i].type, network_type) == 0)
			return presets[i].bytes;
	return presets[0].bytes;
}

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

uint32_t fetch_next_run(const uint8_t *have, const uint8_t *again, uint32_t count, uint32_t max,
			uint32_t *ret_first)
{
	uint32_t first = 0, length = 1;

	while (first < count && have[first])
		first++;
	if (first == count)
		return 0;
	*ret_first = first;
	if (again[first])
		return 1;
	while (length < max && first + length < count && !have[first + length] &&
	       !again[first + length])
		length++;
	return length;
}

/* ---- the files ---- */

static void file_name(char *ret, size_t size, const uint8_t *sha256, const char *suffix)
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(sha256, SHA256_BYTES, hex);
	(void)snprintf(ret, size, "%s.%s", hex, suffix);
}

static int open_file(int inbox_fd, const uint8_t *sha256, const char *suffix, int flags)
{
	char name[SHA256_HEX_LENGTH + 8];

	file_name(name, sizeof name, sha256, suffix);
	return fs_open_beneath(inbox_fd, name, flags, 0600);
}

static void format_map_header(const struct fetch *f, char ret[MAP_HEADER_BYTES])
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(f->sha256, SHA256_BYTES, hex);
	memset(ret, 0, MAP_HEADER_BYTES);
	(void)snprintf(ret, MAP_HEADER_BYTES, "updaterd-map 1 %s %u %ju\n", hex,
		       f->segments->segment_bytes, (uintmax_t)f->segments->file_bytes);
}

static int mark(struct state *s, uint32_t index)
{
	uint32_t byte = index / 8;
	uint8_t bits = 0;

	for (uint32_t i = 0; i < 8 && byte * 8 + i < s->f->segments->count; i++)
		if (s->have[byte * 8 + i])
			bits = (uint8_t)(bits | (1u << i));
	return fs_pwrite_all(s->map_fd, &bits, 1, MAP_HEADER_BYTES + byte);
}

/* Starts the map again, with what is known to be in place. */
static int write_map(struct state *s)
{
	char header[MAP_HEADER_BYTES];
	uint32_t bytes = (s->f->segments->count + 7) / 8;
	int r;

	if (ftruncate(s->map_fd, 0) < 0 ||
	    ftruncate(s->map_fd, (off_t)MAP_HEADER_BYTES + bytes) < 0)
		return -errno;
	format_map_header(s->f, header);
	r = fs_pwrite_all(s->map_fd, header, sizeof header, 0);
	for (uint32_t byte = 0; r >= 0 && byte < bytes; byte++)
		r = mark(s, byte * 8);
	return r;
}

static int take_up_segment(struct state *s, uint32_t index)
{
	const struct segments *segments = s->f->segments;
	uint32_t length = segments_length(segments, index);
	int r;

	r = fs_pread_all(s->part_fd, s->buffer, length, segments_offset(segments, index));
	if (r == -EIO) /* a block of the disk that is lost is fetched again */
		return 0;
	if (r < 0)
		return r;
	if (segments_check(segments, index, s->buffer, length) < 0)
		return 0;
	s->have[index] = 1;
	s->done_bytes += length;
	s->f->segments_resumed++;
	return 0;
}

/* What an earlier run left, as far as it is true. */
static int take_up(struct state *s)
{
	uint32_t count = s->f->segments->count, bytes = (count + 7) / 8;
	char header[MAP_HEADER_BYTES];
	_cleanup_free_ char *map = NULL;
	size_t size;
	int r;

	format_map_header(s->f, header);
	r = fs_read_fd(s->map_fd, MAP_HEADER_BYTES + bytes, &map, &size);
	if (r == -EFBIG || (r >= 0 && (size != MAP_HEADER_BYTES + bytes ||
				       memcmp(map, header, MAP_HEADER_BYTES) != 0)))
		return write_map(s);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < count; i++) {
		if (!((uint8_t)map[MAP_HEADER_BYTES + i / 8] & (1u << i % 8)))
			continue;
		r = take_up_segment(s, i);
		if (r < 0)
			return r;
	}
	return write_map(s);
}

static int open_state(struct state *s)
{
	struct fetch *f = s->f;
	size_t count = f->segments->count;
	int r;

	s->have = calloc(count + 1, 1);
	s->again = calloc(count + 1, 1);
	s->buffer = malloc(f->segments->segment_bytes);
	if (!s->have || !s->again || !s->buffer)
		return failure_set_errno(s->failure, -ENOMEM, "inbox");
	s->part_fd = open_file(f->inbox_fd, f->sha256, "part", O_RDWR | O_CREAT);
	if (s->part_fd < 0)
		return failure_set_errno(s->failure, s->part_fd, "inbox");
	s->map_fd = open_file(f->inbox_fd, f->sha256, "map", O_RDWR | O_CREAT);
	if (s->map_fd < 0)
		return failure_set_errno(s->failure, s->map_fd, "inbox");
	if (ftruncate(s->part_fd, (off_t)f->segments->file_bytes) < 0)
		return failure_set_errno(s->failure, -errno, "inbox");
	r = take_up(s);
	return r < 0 ? failure_set_errno(s->failure, r, "inbox") : 0;
}

static void close_state(struct state *s)
{
	close_fd(&s->part_fd);
	close_fd(&s->map_fd);
	free(s->have);
	free(s->again);
	free(s->buffer);
}

static int sync_state(struct state *s)
{
	if (fdatasync(s->part_fd) < 0 || fdatasync(s->map_fd) < 0)
		return failure_set_errno(s->failure, -errno, "inbox");
	s->synced_msec = clock_now_msec(CLOCK_BOOTTIME);
	return 0;
}

/* ---- what arrives ---- */

static int place_segment(struct state *s)
{
	const struct segments *segments = s->f->segments;
	uint32_t index = s->index, length = segments_length(segments, index);
	int r;

	if (segments_check(segments, index, s->buffer, length) < 0) {
		s->f->segments_again++;
		if (++s->again[index] >= WRONG_MAX)
			return failure_set(s->failure, -EBADMSG, REASON_SEGMENT_HASH,
					   "segment %u of %u was wrong twice", index,
					   segments->count);
		return 0;
	}
	r = fs_pwrite_all(s->part_fd, s->buffer, length, segments_offset(segments, index));
	if (r >= 0) {
		s->have[index] = 1;
		r = mark(s, index);
	}
	if (r < 0)
		return failure_set_errno(s->failure, r, "inbox");
	s->placed++;
	s->f->segments_fetched++;
	s->done_bytes += length;
	r = s->f->progress ? s->f->progress(s->f->userdata, s->done_bytes) : 0;
	return r < 0 ? failure_set(s->failure, r, REASON_INTERRUPTED, "interrupted") : 0;
}

static int take_bytes(struct state *s, const uint8_t *bytes, size_t size)
{
	while (size > 0) {
		uint32_t left = segments_length(s->f->segments, s->index) - s->filled;
		uint32_t n = size < left ? (uint32_t)size : left;

		memcpy(s->buffer + s->filled, bytes, n);
		s->filled += n;
		bytes += n;
		size -= n;
		if (n == left) {
			int r = place_segment(s);

			if (r < 0)
				return r;
			s->index++;
			s->filled = 0;
		}
	}
	if (clock_now_msec(CLOCK_BOOTTIME) > s->deadline_msec)
		return failure_set(s->failure, -ETIMEDOUT, REASON_NETWORK,
				   "not complete after %ju seconds", (uintmax_t)s->f->timeout_sec);
	return 0;
}

static int sink(void *userdata, const void *bytes, size_t size)
{
	struct state *s = userdata;
	int r = take_bytes(s, bytes, size);

	s->sink_failed = r < 0;
	return r;
}

/* ---- one request ---- */

/* An answer that came whole. Its ETag says nothing: segments are judged by their hashes, and the machines
 * behind one name may have a tag of their own each. */
static int judge_answer(struct state *s, const struct http_response *response)
{
	s->retry_after_sec = response->retry_after_sec;
	if (response->status == 408 || response->status == 429 || response->status >= 500)
		return failure_set(s->failure, -EAGAIN, REASON_SERVER_ERROR,
				   "the file server answered %ld", response->status);
	if (response->status != 206)
		return failure_set(s->failure, -EPROTO, REASON_SERVER_ERROR,
				   "the file server answered %ld", response->status);
	s->range_works = true;
	return 0;
}

/* -EAGAIN where it is worth another try. */
static int judge_error(struct state *s, int error)
{
	if (s->sink_failed)
		return error;
	if (error == -ESTALE || (error == -ENOTSUP && s->range_works))
		return failure_set(s->failure, -ESTALE, REASON_FILE_CHANGED,
				   "the file on the server is not the one that was signed");
	if (error == -ENOTSUP)
		return failure_set(s->failure, error, REASON_RANGE_IGNORED,
				   "the file server does not honour Range");
	(void)failure_set_http(s->failure, error, s->f->http, s->f->url);
	return error == -EKEYREJECTED || error == -EKEYEXPIRED || error == -EREMCHG ||
			       error == -EINVAL || error == -ENOMEM
		       ? error
		       : -EAGAIN;
}

static int request_run(struct state *s, uint32_t first, uint32_t length)
{
	const struct segments *segments = s->f->segments;
	_cleanup_(http_response_done) struct http_response response = { 0 };
	uint32_t last = first + length - 1;
	int r;

	s->index = first;
	s->filled = s->placed = 0;
	s->sink_failed = false;
	s->retry_after_sec = 0;
	s->f->requests++;
	r = http_get_range(s->f->http, s->f->url, segments_offset(segments, first),
			   segments_offset(segments, last) + segments_length(segments, last) - 1,
			   segments->file_bytes, NULL, sink, s, &response);
	return r < 0 ? judge_error(s, r) : judge_answer(s, &response);
}

/* False if the time would be over then: the next run goes on from here. */
static bool wait_before_retry(const struct state *s, unsigned failures)
{
	uint64_t msec = s->f->retry_wait_msec << (failures < 10 ? failures - 1 : 9);
	struct timespec ts;

	if (msec > RETRY_MAX_MSEC)
		msec = RETRY_MAX_MSEC;
	if (msec < s->retry_after_sec * 1000)
		msec = s->retry_after_sec * 1000;
	if (clock_now_msec(CLOCK_BOOTTIME) + msec > s->deadline_msec)
		return false;
	ts.tv_sec = (time_t)(msec / 1000);
	ts.tv_nsec = (long)(msec % 1000) * 1000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
	return true;
}

/* One request after another. */
static int request_missing(struct state *s)
{
	uint32_t max = s->f->request_segments > 0 ? s->f->request_segments : 1;
	unsigned failures = 0;
	uint32_t first, length;

	while ((length = fetch_next_run(s->have, s->again, s->f->segments->count, max, &first))) {
		int r = request_run(s, first, length);

		if (r < 0 && r != -EAGAIN)
			return r;
		if (clock_now_msec(CLOCK_BOOTTIME) - s->synced_msec >= SYNC_MSEC &&
		    sync_state(s) < 0)
			return -EIO;
		if (r >= 0 || s->placed > 0) {
			failures = 0;
			continue;
		}
		log_debug("fetch: %s", s->failure->text);
		if (++failures >= s->f->attempts || !wait_before_retry(s, failures))
			return r;
	}
	return 0;
}

/* ---- the end ---- */

static int check_whole(int inbox_fd, int fd, const uint8_t *sha256, struct failure *failure)
{
	uint8_t actual[SHA256_BYTES];
	int r;

	r = digest_fd(fd, actual, NULL);
	if (r < 0)
		return failure_set_errno(failure, r, "inbox");
	if (memcmp(actual, sha256, sizeof actual) == 0)
		return open_file(inbox_fd, sha256, "part", O_RDONLY);
	r = fetch_remove(inbox_fd, sha256);
	if (r < 0)
		log_debug("fetch: the inbox cannot be emptied: %s", strerror(-r));
	return failure_set(failure, -EBADMSG, REASON_HASH,
			   "the file is not the one that was signed");
}

int fetch_run(struct fetch *f, struct failure *failure)
{
	_cleanup_(close_state) struct state s = {
		.f = f, .failure = failure, .part_fd = FD_NONE, .map_fd = FD_NONE
	};
	int r;

	s.received_before = http_received_bytes(f->http);
	s.synced_msec = clock_now_msec(CLOCK_BOOTTIME);
	s.deadline_msec = s.synced_msec + f->timeout_sec * 1000;
	r = open_state(&s);
	if (r < 0)
		return r;
	r = request_missing(&s);
	f->received_bytes = http_received_bytes(f->http) - s.received_before;
	if (r < 0) {
		struct failure ignored;

		/* What has come is kept for the next time; the first failure is the one to tell. */
		s.failure = &ignored;
		(void)sync_state(&s);
		return r;
	}
	r = sync_state(&s);
	return r < 0 ? r : check_whole(f->inbox_fd, s.part_fd, f->sha256, failure);
}

static int copy_bytes(int from_fd, int to_fd, uint64_t length, fetch_progress_fn progress,
		      void *userdata)
{
	_cleanup_free_ uint8_t *buffer = malloc(COPY_BYTES);
	uint64_t done = 0;

	if (!buffer)
		return -ENOMEM;
	while (done < length) {
		size_t n = length - done < COPY_BYTES ? (size_t)(length - done) : COPY_BYTES;
		int r;

		r = fs_pread_all(from_fd, buffer, n, done);
		if (r >= 0)
			r = fs_pwrite_all(to_fd, buffer, n, done);
		if (r < 0)
			return r;
		done += n;
		r = progress ? progress(userdata, done) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int fetch_copy(int from_fd, int inbox_fd, uint64_t length_bytes, const uint8_t *sha256,
	       fetch_progress_fn progress, void *userdata, struct failure *failure)
{
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;
	int r;

	if (fstat(from_fd, &st) < 0)
		return failure_set_errno(failure, -errno, "program file");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != length_bytes)
		return failure_set(failure, -EBADMSG, REASON_LENGTH,
				   "the file has %jd bytes, %ju are signed", (intmax_t)st.st_size,
				   (uintmax_t)length_bytes);
	fd = open_file(inbox_fd, sha256, "part", O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return failure_set_errno(failure, fd, "inbox");
	r = copy_bytes(from_fd, fd, length_bytes, progress, userdata);
	if (r < 0)
		return failure_set_errno(failure, r, "program file");
	if (fdatasync(fd) < 0)
		return failure_set_errno(failure, -errno, "inbox");
	return check_whole(inbox_fd, fd, sha256, failure);
}

/* ---- the inbox ---- */

int fetch_check_room(int inbox_fd, uint64_t length_bytes, uint64_t max_bytes, const uint8_t *sha256,
		     struct failure *failure)
{
	_cleanup_close_ int fd = FD_NONE;
	struct statvfs fs;
	struct stat st;
	uint64_t there = 0, free_bytes, needed;

	if (length_bytes == 0 || length_bytes > max_bytes)
		return failure_set(failure, -EFBIG, REASON_LENGTH,
				   "the file has %ju bytes, [limits] max_program_bytes is %ju",
				   (uintmax_t)length_bytes, (uintmax_t)max_bytes);
	if (fstatvfs(inbox_fd, &fs) < 0)
		return failure_set_errno(failure, -errno, "inbox");
	fd = open_file(inbox_fd, sha256, "part", O_RDONLY);
	if (fd >= 0 && fstat(fd, &st) >= 0)
		there = (uint64_t)st.st_blocks * 512;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	needed = (there < length_bytes ? length_bytes - there : 0) + ROOM_MARGIN_BYTES;
	if (free_bytes < needed)
		return failure_set(failure, -ENOSPC, REASON_NO_SPACE,
				   "the inbox has room for %ju bytes, %ju are needed",
				   (uintmax_t)free_bytes, (uintmax_t)needed);
	return 0;
}

static bool is_of(const char *name, const uint8_t *sha256)
{
	char hex[SHA256_HEX_LENGTH + 1];

	hex_encode(sha256, SHA256_BYTES, hex);
	return strncmp(name, hex, SHA256_HEX_LENGTH) == 0;
}

static bool is_of_any(const char *name, const uint8_t sha256[][SHA256_BYTES], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_of(name, sha256[i]))
			return true;
	return false;
}

/* Removes what is of the files (doomed), or what is not. */
static int remove_files(int inbox_fd, const uint8_t sha256[][SHA256_BYTES], size_t n, bool doomed)
{
	_cleanup_dir_ DIR *dir = NULL;
	const char *name;
	int removed, r;

	r = fs_open_dir(inbox_fd, ".", &dir);
	if (r < 0)
		return r;
	while ((name = fs_next_name(dir))) {
		if (is_of_any(name, sha256, n) != doomed)
			continue;
		removed = fs_remove_tree(inbox_fd, name);
		if (removed < 0)
			r = removed;
	}
	return r;
}

int fetch_clean(int inbox_fd, const uint8_t keep[][SHA256_BYTES], size_t n_keep)
{
	return remove_files(inbox_fd, keep, n_keep, false);
}

int fetch_remove(int inbox_fd, const uint8_t sha256[SHA256_BYTES])
{
	uint8_t one[1][SHA256_BYTES];

	memcpy(one[0], sha256, SHA256_BYTES);
	return remove_files(inbox_fd, one, 1, true);
}
