/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/journal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/crc32.h"
#include "common/fsutil.h"

#define MAGIC		"bms-journal "
#define FORMAT		1u
#define HEADER_MAX	64u
#define PAYLOAD_MAX	(JOURNAL_SLOT_BYTES - HEADER_MAX)
#define N_SLOTS		2
#define DECIMAL_U64_MAX 20

static const char *const slot_names[N_SLOTS] = { JOURNAL_SLOT_A, JOURNAL_SLOT_B };

/* In memory the payload's lines end in NUL instead of newline, so that a value is a string. */
struct journal {
	int slots[N_SLOTS];
	int newest; /* the slot that holds the last good state; -1: none does */
	uint64_t sequence;
	bool is_damaged;
	size_t size;
	char lines[PAYLOAD_MAX];
};

static const char *const state_names[] = {
	[JOURNAL_IDLE] = "idle",
	[JOURNAL_ACCEPTED] = "accepted",
	[JOURNAL_STAGING] = "staging",
	[JOURNAL_READY] = "ready",
	[JOURNAL_TRIAL] = "trial",
	[JOURNAL_CONFIRMED] = "confirmed",
	[JOURNAL_ROLLED_BACK] = "rolled-back",
};
_Static_assert(ELEMENTSOF(state_names) == _JOURNAL_STATE_MAX, "a state has no name");

/* ---- a slot as bytes ---- */

struct slot {
	uint64_t sequence;
	size_t size;
	const char *payload;
};

/* Exactly digits lower-case hex digits and the character after them. */
static int parse_hex(const char **p, const char *end, unsigned digits, char after, uint64_t *ret)
{
	uint64_t value = 0;

	if ((size_t)(end - *p) < digits + 1u || (*p)[digits] != after)
		return -EBADMSG;
	for (unsigned i = 0; i < digits; i++) {
		char c = (*p)[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint64_t)(c - 'a' + 10);
		else
			return -EBADMSG;
	}
	*p += digits + 1u;
	*ret = value;
	return 0;
}

static int skip_format(const char **p, const char *end)
{
	const char *start = *p;

	while (*p < end && **p >= '0' && **p <= '9')
		(*p)++;
	if (*p == start || *p == end || **p != ' ')
		return -EBADMSG;
	(*p)++;
	return 0;
}

static int parse_slot(const char bytes[JOURNAL_SLOT_BYTES], struct slot *ret)
{
	const char *p = bytes, *end = bytes + HEADER_MAX;
	uint64_t sequence, size, crc;
	size_t covered;

	if (memcmp(p, MAGIC, strlen(MAGIC)) != 0)
		return -EBADMSG;
	p += strlen(MAGIC);
	if (skip_format(&p, end) < 0 || parse_hex(&p, end, 16, ' ', &sequence) < 0 ||
	    parse_hex(&p, end, 4, ' ', &size) < 0)
		return -EBADMSG;
	covered = (size_t)(p - bytes);
	if (parse_hex(&p, end, 8, '\n', &crc) < 0 || size > PAYLOAD_MAX)
		return -EBADMSG;
	if (crc32_update(crc32_update(0, bytes, covered), p, size) != crc)
		return -EBADMSG;
	if (size > 0 && (p[size - 1] != '\n' || memchr(p, 0, size)))
		return -EBADMSG;
	*ret = (struct slot){ .sequence = sequence, .size = size, .payload = p };
	return 0;
}

static void format_slot(const struct journal *j, uint64_t sequence, char ret[JOURNAL_SLOT_BYTES])
{
	char header[HEADER_MAX];
	uint32_t crc;
	size_t n;

	memset(ret, 0, JOURNAL_SLOT_BYTES);
	n = (size_t)snprintf(header, sizeof header, MAGIC "%u %016" PRIx64 " %04zx ", FORMAT,
			     sequence, j->size);
	memcpy(ret, header, n);
	for (size_t i = 0; i < j->size; i++)
		ret[n + 9 + i] = j->lines[i] ? j->lines[i] : '\n';
	crc = crc32_update(crc32_update(0, ret, n), ret + n + 9, j->size);
	(void)snprintf(header, sizeof header, "%08" PRIx32 "\n", crc);
	memcpy(ret + n, header, 9);
}

/* ---- slots on the disk ---- */

/* Up to a whole slot; what is missing at the end reads as zeros. */
static int read_slot(int fd, char ret[JOURNAL_SLOT_BYTES])
{
	size_t there;

	memset(ret, 0, JOURNAL_SLOT_BYTES);
	return fs_pread_upto(fd, ret, JOURNAL_SLOT_BYTES, 0, &there);
}

static int write_slot(int fd, const char bytes[JOURNAL_SLOT_BYTES])
{
	int r = fs_pwrite_all(fd, bytes, JOURNAL_SLOT_BYTES, 0);

	if (r < 0)
		return r;
	return fdatasync(fd) < 0 ? -errno : 0;
}

static bool is_blank(const char bytes[JOURNAL_SLOT_BYTES])
{
	for (size_t i = 0; i < JOURNAL_SLOT_BYTES; i++)
		if (bytes[i])
			return false;
	return true;
}

static int load_slot(struct journal *j, int index)
{
	char bytes[JOURNAL_SLOT_BYTES];
	struct slot slot;
	int r;

	r = read_slot(j->slots[index], bytes);
	/* The state before is not what is to be believed because of one accident … */
	if (r == -EIO)
		r = read_slot(j->slots[index], bytes);
	/* … but a block of the disk that is lost must not take the other slot with it. */
	if (r == -EIO) {
		j->is_damaged = true;
		return 0;
	}
	if (r < 0)
		return r;
	if (parse_slot(bytes, &slot) < 0) {
		if (!is_blank(bytes))
			j->is_damaged = true;
		return 0;
	}
	if (j->newest >= 0 && slot.sequence <= j->sequence)
		return 0;
	j->newest = index;
	j->sequence = slot.sequence;
	j->size = slot.size;
	for (size_t i = 0; i < slot.size; i++)
		j->lines[i] = slot.payload[i] == '\n' ? '\0' : slot.payload[i];
	return 0;
}

static int load(struct journal *j)
{
	for (int i = 0; i < N_SLOTS; i++) {
		int r = j->slots[i] < 0 ? 0 : load_slot(j, i);

		if (r < 0)
			return r;
	}
	/* One slot cut in the middle of a write is what the other one is for. */
	if (j->newest >= 0)
		j->is_damaged = false;
	return 0;
}

/* Where a file system would write each time to another place, and need room there: not for this file. */
static void write_in_place(int fd)
{
	int flags = 0;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_NOCOW_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/* Gives a slot all its blocks now, and writes to each, so that no later write can run out of space. */
static int fill_slot(int dirfd, int fd, size_t used)
{
	static const char zeros[JOURNAL_SLOT_BYTES];
	int r;

	write_in_place(fd);
	r = -posix_fallocate(fd, 0, JOURNAL_SLOT_BYTES);
	if (r == 0)
		r = fs_pwrite_all(fd, zeros, sizeof zeros - used, used);
	if (r < 0)
		return r;
	return fsync(fd) < 0 || fsync(dirfd) < 0 ? -errno : 0;
}

static int open_slot(int dirfd, const char *name)
{
	_cleanup_close_ int fd = FD_NONE;
	struct stat st;
	int r;

	fd = openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size >= (off_t)JOURNAL_SLOT_BYTES)
		return TAKE_FD(fd);
	r = fill_slot(dirfd, fd, (size_t)st.st_size);
	return r < 0 ? r : TAKE_FD(fd);
}

static struct journal *journal_new(void)
{
	struct journal *j = calloc(1, sizeof *j);

	if (j) {
		j->newest = -1;
		for (int i = 0; i < N_SLOTS; i++)
			j->slots[i] = FD_NONE;
	}
	return j;
}

int journal_open(int dirfd, struct journal **ret)
{
	_cleanup_(journal_closep) struct journal *j = journal_new();
	int r;

	if (!j)
		return -ENOMEM;
	for (int i = 0; i < N_SLOTS; i++) {
		j->slots[i] = open_slot(dirfd, slot_names[i]);
		if (j->slots[i] < 0)
			return j->slots[i];
	}
	r = load(j);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(j);
	return 0;
}

int journal_load(int dirfd, struct journal **ret)
{
	_cleanup_(journal_closep) struct journal *j = journal_new();
	int r;

	if (!j)
		return -ENOMEM;
	for (int i = 0; i < N_SLOTS; i++) {
		j->slots[i] = openat(dirfd, slot_names[i],
				     O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (j->slots[i] < 0 && errno != ENOENT)
			return -errno;
	}
	r = load(j);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(j);
	return 0;
}

struct journal *journal_close(struct journal *j)
{
	if (j) {
		for (int i = 0; i < N_SLOTS; i++)
			close_fd(&j->slots[i]);
		free(j);
	}
	return NULL;
}

bool journal_is_damaged(const struct journal *j)
{
	return j->is_damaged;
}

uint64_t journal_sequence(const struct journal *j)
{
	return j->sequence;
}

int journal_write(struct journal *j)
{
	char bytes[JOURNAL_SLOT_BYTES];
	int target = j->newest == 0 ? 1 : 0;
	int r;

	format_slot(j, j->sequence + 1, bytes);
	r = write_slot(j->slots[target], bytes);
	if (r < 0)
		return r;
	j->sequence++;
	j->newest = target;
	return 0;
}

/* ---- keys ---- */

/* The offset of the key's line, or j->size. */
static size_t find_line(const struct journal *j, const char *key)
{
	size_t n = strlen(key), at = 0;

	while (at < j->size) {
		const char *line = j->lines + at;

		if (strncmp(line, key, n) == 0 && line[n] == '=')
			return at;
		at += strlen(line) + 1;
	}
	return at;
}

const char *journal_get(const struct journal *j, const char *key)
{
	size_t at = find_line(j, key);

	return at < j->size ? j->lines + at + strlen(key) + 1 : NULL;
}

static bool is_key(const char *key)
{
	for (const char *p = key; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
		    !(*p >= '0' && *p <= '9') && *p != '_')
			return false;
	return *key;
}

int journal_set(struct journal *j, const char *key, const char *value)
{
	size_t at, old, new;

	if (!is_key(key) || (value && strchr(value, '\n')))
		return -EINVAL;
	at = find_line(j, key);
	old = at < j->size ? strlen(j->lines + at) + 1 : 0;
	new = value ? strlen(key) + 1 + strlen(value) + 1 : 0;
	if (j->size - old + new > PAYLOAD_MAX)
		return -ENOSPC;
	if (old > 0) {
		memmove(j->lines + at, j->lines + at + old, j->size - at - old);
		j->size -= old;
	}
	if (value) {
		char *p = stpcpy(j->lines + j->size, key);

		*p++ = '=';
		memcpy(p, value, strlen(value) + 1);
		j->size += new;
	}
	return 0;
}

int journal_set_u64(struct journal *j, const char *key, uint64_t value)
{
	char text[DECIMAL_U64_MAX + 1];

	(void)snprintf(text, sizeof text, "%" PRIu64, value);
	return journal_set(j, key, text);
}

uint64_t journal_get_u64(const struct journal *j, const char *key)
{
	const char *text = journal_get(j, key);
	char *end = NULL;
	uint64_t value;

	if (!text || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	value = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' ? value : 0;
}

enum journal_state journal_state(const struct journal *j)
{
	const char *word = journal_get(j, "state");

	if (!word)
		return JOURNAL_IDLE;
	for (size_t i = 0; i < ELEMENTSOF(state_names); i++)
		if (strcmp(word, state_names[i]) == 0)
			return (enum journal_state)i;
	return JOURNAL_UNKNOWN;
}

const char *journal_state_name(enum journal_state state)
{
	return state < _JOURNAL_STATE_MAX ? state_names[state] : "unknown";
}
