/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/history.h"

#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "common/crc32.h"
#include "common/fsutil.h"

#define NEW_FILE       ".#history.ring"
#define DAMAGED_FILE   "history.ring.damaged"
#define HISTORY_MODE   0640
#define MAGIC	       "bmsd-history 1\n"
#define FILE_BYTES     ((uint64_t)HISTORY_RECORD_BYTES * (HISTORY_RECORDS + 1))
#define RECORDS_A_READ 1024
#define MINUTE_MSEC    60000

/* As in the file, little-endian. What does not fit is cut to its limit. */
struct record {
	uint32_t sequence; /* 1 … */
	uint32_t minute;   /* since 1970 */
	uint16_t samples;
	uint16_t valid;
	int32_t voltage[3];
	int32_t current[3];
	uint16_t soc[3];
	int16_t temperature[3];
	uint16_t cells[3];
	uint16_t reserved[3];
	uint32_t crc; /* of all before */
} __attribute__((packed));

struct file_header {
	char magic[16];
	uint32_t record_bytes;
	uint32_t records;
	uint32_t crc; /* of all before */
	uint8_t reserved[HISTORY_RECORD_BYTES - 28];
} __attribute__((packed));

_Static_assert(sizeof(struct record) == HISTORY_RECORD_BYTES, "a record's size is its format");
_Static_assert(sizeof(struct file_header) == HISTORY_RECORD_BYTES, "so is the header's");

/* A second of memory: its last sample. */
struct second {
	uint32_t wall_sec;
	uint32_t uptime_sec;
	int32_t voltage, current;
	uint16_t soc, valid;
	int16_t temperature[3];
	uint16_t cells[3];
};

/* A minute that is being gathered. */
struct gathering {
	uint64_t minute;
	int64_t since_msec;
	uint32_t samples;
	uint32_t counts[HISTORY_FIELDS];
	int64_t sums[HISTORY_FIELDS];
	int32_t min[HISTORY_FIELDS], max[HISTORY_FIELDS];
};

struct history {
	int fd; /* FD_NONE: in memory alone */
	uint32_t sequence;
	bool unsynced;
	int64_t synced_msec;
	struct gathering now;
	uint64_t n_seconds;
	struct second seconds[HISTORY_SECONDS];
};

static const char *const field_names[HISTORY_FIELDS] = {
	[HISTORY_VOLTAGE] = "voltage",	       [HISTORY_CURRENT] = "current", [HISTORY_SOC] = "soc",
	[HISTORY_TEMPERATURE] = "temperature", [HISTORY_CELLS] = "cells",
};

const char *history_field_name(unsigned field)
{
	return field < HISTORY_FIELDS ? field_names[field] : "unknown";
}

/* ---- a record and its bytes ---- */

static int64_t cut(int64_t value, int64_t min, int64_t max)
{
	return value < min ? min : value > max ? max : value;
}

static void put_range32(const struct history_range *r, int32_t ret[3])
{
	ret[0] = (int32_t)htole32((uint32_t)r->min);
	ret[1] = (int32_t)htole32((uint32_t)r->avg);
	ret[2] = (int32_t)htole32((uint32_t)r->max);
}

static struct history_range get_range32(const int32_t *v)
{
	return (struct history_range){ (int32_t)le32toh((uint32_t)v[0]),
				       (int32_t)le32toh((uint32_t)v[1]),
				       (int32_t)le32toh((uint32_t)v[2]) };
}

static void put_range16(const struct history_range *r, uint16_t ret[3])
{
	ret[0] = htole16((uint16_t)cut(r->min, 0, UINT16_MAX));
	ret[1] = htole16((uint16_t)cut(r->avg, 0, UINT16_MAX));
	ret[2] = htole16((uint16_t)cut(r->max, 0, UINT16_MAX));
}

static struct history_range get_range16(const uint16_t *v)
{
	return (struct history_range){ le16toh(v[0]), le16toh(v[1]), le16toh(v[2]) };
}

static void put_signed16(const struct history_range *r, int16_t ret[3])
{
	ret[0] = (int16_t)htole16((uint16_t)cut(r->min, INT16_MIN, INT16_MAX));
	ret[1] = (int16_t)htole16((uint16_t)cut(r->avg, INT16_MIN, INT16_MAX));
	ret[2] = (int16_t)htole16((uint16_t)cut(r->max, INT16_MIN, INT16_MAX));
}

static struct history_range get_signed16(const int16_t *v)
{
	return (struct history_range){ (int16_t)le16toh((uint16_t)v[0]),
				       (int16_t)le16toh((uint16_t)v[1]),
				       (int16_t)le16toh((uint16_t)v[2]) };
}

static struct record encode(const struct history_point *p, uint32_t sequence)
{
	struct record record = {
		.sequence = htole32(sequence),
		.minute = htole32((uint32_t)(p->wall_sec / 60)),
		.samples = htole16((uint16_t)cut(p->samples, 0, UINT16_MAX)),
		.valid = htole16((uint16_t)p->valid),
	};
	int32_t wide[2][3];
	uint16_t narrow[2][3];
	int16_t temperature[3];

	put_range32(&p->fields[HISTORY_VOLTAGE], wide[0]);
	put_range32(&p->fields[HISTORY_CURRENT], wide[1]);
	put_range16(&p->fields[HISTORY_SOC], narrow[0]);
	put_range16(&p->fields[HISTORY_CELLS], narrow[1]);
	put_signed16(&p->fields[HISTORY_TEMPERATURE], temperature);
	memcpy(record.voltage, wide[0], sizeof record.voltage);
	memcpy(record.current, wide[1], sizeof record.current);
	memcpy(record.soc, narrow[0], sizeof record.soc);
	memcpy(record.cells, narrow[1], sizeof record.cells);
	memcpy(record.temperature, temperature, sizeof record.temperature);
	record.crc = htole32(crc32_update(0, &record, offsetof(struct record, crc)));
	return record;
}

/* False if it was torn, or never written. */
static bool decode(const struct record *record, struct history_point *ret)
{
	struct record r = *record;
	int32_t wide[2][3];
	uint16_t narrow[2][3];
	int16_t temperature[3];

	if (le32toh(r.crc) != crc32_update(0, &r, offsetof(struct record, crc)))
		return false;
	*ret = (struct history_point){
		.wall_sec = (uint64_t)le32toh(r.minute) * 60,
		.samples = le16toh(r.samples),
		.valid = le16toh(r.valid),
	};
	memcpy(wide[0], r.voltage, sizeof r.voltage);
	memcpy(wide[1], r.current, sizeof r.current);
	memcpy(narrow[0], r.soc, sizeof r.soc);
	memcpy(narrow[1], r.cells, sizeof r.cells);
	memcpy(temperature, r.temperature, sizeof r.temperature);
	ret->fields[HISTORY_VOLTAGE] = get_range32(wide[0]);
	ret->fields[HISTORY_CURRENT] = get_range32(wide[1]);
	ret->fields[HISTORY_SOC] = get_range16(narrow[0]);
	ret->fields[HISTORY_CELLS] = get_range16(narrow[1]);
	ret->fields[HISTORY_TEMPERATURE] = get_signed16(temperature);
	return true;
}

/* ---- the file ---- */

static struct file_header make_header(void)
{
	struct file_header header = {
		.magic = MAGIC,
		.record_bytes = htole32(HISTORY_RECORD_BYTES),
		.records = htole32(HISTORY_RECORDS),
	};

	header.crc = htole32(crc32_update(0, &header, offsetof(struct file_header, crc)));
	return header;
}

static uint64_t offset_of(uint32_t sequence)
{
	return (uint64_t)HISTORY_RECORD_BYTES * ((sequence - 1) % HISTORY_RECORDS + 1);
}

typedef int (*record_fn)(uint32_t sequence, const struct history_point *point, void *userdata);

/* Good records of places first … end - 1, in the order of the file. */
static int scan_places(int fd, uint32_t first, uint32_t end, record_fn fn, void *userdata)
{
	_cleanup_free_ struct record *records = calloc(RECORDS_A_READ, sizeof *records);
	struct history_point point;
	int r;

	if (!records)
		return -ENOMEM;
	for (uint32_t place = first; place < end; place += RECORDS_A_READ) {
		uint32_t n = end - place < RECORDS_A_READ ? end - place : RECORDS_A_READ;

		r = fs_pread_all(fd, records, n * sizeof *records,
				 (uint64_t)HISTORY_RECORD_BYTES * (place + 1));
		if (r < 0)
			return r;
		for (uint32_t i = 0; i < n; i++) {
			uint32_t sequence = le32toh(records[i].sequence);

			if (sequence == 0 || (sequence - 1) % HISTORY_RECORDS != place + i ||
			    !decode(&records[i], &point))
				continue;
			r = fn(sequence, &point, userdata);
			if (r != 0)
				return r;
		}
	}
	return 0;
}

static int note_highest(uint32_t sequence, const struct history_point *point, void *userdata)
{
	uint32_t *highest = userdata;

	(void)point;
	*highest = sequence > *highest ? sequence : *highest;
	return 0;
}

/* -EBADMSG if it is not ours. */
static int check_file(int fd, uint32_t *ret_highest)
{
	struct file_header header, good = make_header();
	uint32_t highest = 0;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != FILE_BYTES)
		return -EBADMSG;
	r = fs_pread_all(fd, &header, sizeof header, 0);
	if (r < 0)
		return r;
	if (memcmp(&header, &good, sizeof header) != 0)
		return -EBADMSG;
	r = scan_places(fd, 0, HISTORY_RECORDS, note_highest, &highest);
	if (r == 0)
		*ret_highest = highest;
	return r;
}

/* Whole and on the medium before it has its name. */
static int make_file(int dirfd)
{
	_cleanup_close_ int fd = FD_NONE;
	struct file_header header = make_header();
	int r;

	fd = fs_open_beneath(dirfd, NEW_FILE, O_RDWR | O_CREAT | O_TRUNC, HISTORY_MODE);
	if (fd < 0)
		return fd;
	r = -posix_fallocate(fd, 0, (off_t)FILE_BYTES);
	if (r == 0)
		r = fs_pwrite_all(fd, &header, sizeof header, 0);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, NEW_FILE, dirfd, HISTORY_FILE) < 0)
		r = -errno;
	if (r == 0)
		return fs_fsync_dir(dirfd, ".");
	(void)unlinkat(dirfd, NEW_FILE, 0); /* gives the room back */
	return r;
}

static int open_file(int dirfd, uint32_t *ret_highest)
{
	_cleanup_close_ int fd = FD_NONE;
	int r;

	fd = fs_open_beneath(dirfd, HISTORY_FILE, O_RDWR | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	r = check_file(fd, ret_highest);
	return r < 0 ? r : TAKE_FD(fd);
}

static int open_or_make(struct history *h, int dirfd, bool *ret_damaged)
{
	int r = open_file(dirfd, &h->sequence);

	if (r == -EBADMSG) {
		if (renameat(dirfd, HISTORY_FILE, dirfd, DAMAGED_FILE) < 0)
			return -errno;
		*ret_damaged = true;
		r = -ENOENT;
	}
	if (r == -ENOENT) {
		r = make_file(dirfd);
		if (r == 0)
			r = open_file(dirfd, &h->sequence);
	}
	if (r < 0)
		return r;
	h->fd = r;
	return 0;
}

int history_open(int dirfd, struct history **ret, bool *ret_damaged, int *ret_error)
{
	struct history *h = calloc(1, sizeof *h);
	bool damaged = false;

	if (!h)
		return -ENOMEM;
	h->fd = FD_NONE;
	*ret_error = open_or_make(h, dirfd, &damaged);
	*ret_damaged = damaged;
	*ret = h;
	return 0;
}

struct history *history_free(struct history *h)
{
	if (!h)
		return NULL;
	close_fd(&h->fd);
	free(h);
	return NULL;
}

/* ---- gathering ---- */

static struct history_range range_of(const int64_t *values, size_t n, int64_t unit)
{
	int64_t min = values[0], max = values[0], sum = 0;

	for (size_t i = 0; i < n; i++) {
		min = values[i] < min ? values[i] : min;
		max = values[i] > max ? values[i] : max;
		sum += values[i];
	}
	return (struct history_range){
		(int32_t)cut(min / unit, INT32_MIN, INT32_MAX),
		(int32_t)cut(sum / (int64_t)n / unit, INT32_MIN, INT32_MAX),
		(int32_t)cut(max / unit, INT32_MIN, INT32_MAX),
	};
}

static void set_field(struct history_point *p, enum history_field field, const int64_t *values,
		      size_t n, int64_t unit)
{
	if (n == 0)
		return;
	p->fields[field] = range_of(values, n, unit);
	p->valid |= 1u << field;
}

static struct history_point point_of(const struct sample *s, int soc_centipercent,
				     uint64_t wall_sec)
{
	struct history_point p = { .wall_sec = wall_sec, .samples = 1 };
	int64_t soc = soc_centipercent;

	set_field(&p, HISTORY_VOLTAGE, &s->voltage_uv, sample_has(s, SAMPLE_VOLTAGE), 1000);
	set_field(&p, HISTORY_CURRENT, &s->current_ua, sample_has(s, SAMPLE_CURRENT), 1000);
	set_field(&p, HISTORY_SOC, &soc, soc >= 0, 1);
	set_field(&p, HISTORY_TEMPERATURE, s->temperatures_decicelsius,
		  sample_has(s, SAMPLE_TEMPERATURES) ? s->n_temperatures : 0, 1);
	set_field(&p, HISTORY_CELLS, s->cells_uv, sample_has(s, SAMPLE_CELLS) ? s->n_cells : 0,
		  1000);
	return p;
}

static void remember_second(struct history *h, const struct history_point *p, int64_t uptime_msec)
{
	uint32_t uptime_sec = (uint32_t)(uptime_msec / 1000);
	struct second *second;

	if (h->n_seconds == 0 ||
	    h->seconds[(h->n_seconds - 1) % HISTORY_SECONDS].uptime_sec != uptime_sec)
		h->n_seconds++;
	second = &h->seconds[(h->n_seconds - 1) % HISTORY_SECONDS];
	*second = (struct second){
		.wall_sec = (uint32_t)p->wall_sec,
		.uptime_sec = uptime_sec,
		.voltage = p->fields[HISTORY_VOLTAGE].avg,
		.current = p->fields[HISTORY_CURRENT].avg,
		.soc = (uint16_t)p->fields[HISTORY_SOC].avg,
		.valid = (uint16_t)p->valid,
	};
	put_signed16(&p->fields[HISTORY_TEMPERATURE], second->temperature);
	put_range16(&p->fields[HISTORY_CELLS], second->cells);
}

static void gather(struct gathering *g, const struct history_point *p)
{
	g->samples++;
	for (unsigned i = 0; i < HISTORY_FIELDS; i++) {
		const struct history_range *range = &p->fields[i];

		if (!(p->valid & 1u << i))
			continue;
		if (g->counts[i]++ == 0) {
			g->min[i] = range->min;
			g->max[i] = range->max;
		}
		g->min[i] = range->min < g->min[i] ? range->min : g->min[i];
		g->max[i] = range->max > g->max[i] ? range->max : g->max[i];
		g->sums[i] += range->avg;
	}
}

static struct history_point minute_of(const struct gathering *g)
{
	struct history_point p = { .wall_sec = g->minute * 60, .samples = g->samples };

	for (unsigned i = 0; i < HISTORY_FIELDS; i++) {
		if (g->counts[i] == 0)
			continue;
		p.valid |= 1u << i;
		p.fields[i] = (struct history_range){ g->min[i],
						      (int32_t)(g->sums[i] / (int64_t)g->counts[i]),
						      g->max[i] };
	}
	return p;
}

static int write_minute(struct history *h)
{
	struct history_point p = minute_of(&h->now);
	struct record record;
	int r;

	h->now = (struct gathering){};
	if (p.samples == 0 || h->fd < 0)
		return 0;
	record = encode(&p, h->sequence + 1);
	r = fs_pwrite_all(h->fd, &record, sizeof record, offset_of(h->sequence + 1));
	if (r < 0)
		return r;
	h->sequence++;
	h->unsynced = true;
	return 1;
}

static int sync_file(struct history *h)
{
	if (!h->unsynced)
		return 0;
	h->unsynced = false; /* never tried again: the next minutes get their own */
	return fdatasync(h->fd) < 0 ? -errno : 1;
}

/* The clock may be set at any time, so a minute is over when it says another one, or after a
 * minute. */
int history_tick(struct history *h, uint64_t wall_sec, int64_t uptime_msec)
{
	const struct gathering *g = &h->now;
	int r = 0, s;

	if (g->samples > 0 &&
	    (g->minute != wall_sec / 60 || uptime_msec - g->since_msec >= MINUTE_MSEC))
		r = write_minute(h);
	if (h->synced_msec == 0)
		h->synced_msec = uptime_msec;
	if (r < 0 || uptime_msec - h->synced_msec < HISTORY_SYNC_MSEC)
		return r;
	h->synced_msec = uptime_msec;
	s = sync_file(h);
	return s == 0 ? r : s;
}

int history_add(struct history *h, const struct sample *s, int soc_centipercent, uint64_t wall_sec,
		int64_t uptime_msec)
{
	struct history_point p = point_of(s, soc_centipercent, wall_sec);
	int r = history_tick(h, wall_sec, uptime_msec);

	remember_second(h, &p, uptime_msec);
	if (h->now.samples == 0) {
		h->now.minute = wall_sec / 60;
		h->now.since_msec = uptime_msec;
	}
	gather(&h->now, &p);
	return r;
}

int history_flush(struct history *h)
{
	int r = write_minute(h), s = r < 0 ? r : sync_file(h);

	return s == 0 ? r : s;
}

/* ---- reading ---- */

static struct history_point point_of_second(const struct second *s)
{
	struct history_point p = { .wall_sec = s->wall_sec, .samples = 1, .valid = s->valid };

	p.fields[HISTORY_VOLTAGE] = (struct history_range){ s->voltage, s->voltage, s->voltage };
	p.fields[HISTORY_CURRENT] = (struct history_range){ s->current, s->current, s->current };
	p.fields[HISTORY_SOC] = (struct history_range){ s->soc, s->soc, s->soc };
	p.fields[HISTORY_TEMPERATURE] = get_signed16(s->temperature);
	p.fields[HISTORY_CELLS] = get_range16(s->cells);
	return p;
}

int history_read_seconds(const struct history *h, uint64_t from_sec, uint64_t to_sec, history_fn fn,
			 void *userdata)
{
	uint64_t first = h->n_seconds > HISTORY_SECONDS ? h->n_seconds - HISTORY_SECONDS : 0;

	for (uint64_t i = first; i < h->n_seconds; i++) {
		struct history_point p = point_of_second(&h->seconds[i % HISTORY_SECONDS]);
		int r;

		if (p.wall_sec < from_sec || p.wall_sec > to_sec)
			continue;
		r = fn(&p, userdata);
		if (r != 0)
			return r;
	}
	return 0;
}

struct reading {
	uint64_t from_sec, to_sec;
	uint32_t newest; /* sequence; older than a round before it is another round's */
	history_fn fn;
	void *userdata;
};

static int hand_out(uint32_t sequence, const struct history_point *point, void *userdata)
{
	const struct reading *r = userdata;

	if (sequence > r->newest || r->newest - sequence >= HISTORY_RECORDS)
		return 0;
	if (point->wall_sec + 59 < r->from_sec || point->wall_sec > r->to_sec)
		return 0;
	return r->fn(point, r->userdata);
}

/* From the place after the newest one to the end, then from the beginning: oldest first. */
static int read_ring(int fd, struct reading *reading)
{
	uint32_t next = reading->newest % HISTORY_RECORDS;
	int r = scan_places(fd, next, HISTORY_RECORDS, hand_out, reading);

	return r != 0 ? r : scan_places(fd, 0, next, hand_out, reading);
}

int history_read_minutes(const struct history *h, uint64_t from_sec, uint64_t to_sec, history_fn fn,
			 void *userdata)
{
	struct reading reading = { from_sec, to_sec, h->sequence, fn, userdata };

	return h->fd < 0 ? 0 : read_ring(h->fd, &reading);
}

int history_read_file(int dirfd, uint64_t from_sec, uint64_t to_sec, history_fn fn, void *userdata)
{
	struct reading reading = { from_sec, to_sec, 0, fn, userdata };
	_cleanup_close_ int fd = FD_NONE;
	int r;

	fd = fs_open_regular(dirfd, HISTORY_FILE, NULL);
	if (fd < 0)
		return fd;
	r = check_file(fd, &reading.newest);
	return r < 0 ? r : read_ring(fd, &reading);
}
