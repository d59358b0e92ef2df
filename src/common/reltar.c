/* SPDX-License-Identifier: Apache-2.0 */
#include "reltar_header.h"

#include <stdbool.h>
#include <string.h>

#include "common/fsutil.h"

#define NAME_BYTES   100u
#define PREFIX_BYTES 155u

/* POSIX.1-1988 ustar, as pax(1) defines it. */
struct ustar {
	char name[NAME_BYTES];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link_name[100];
	char magic[6];
	char version[2];
	char user_name[32];
	char group_name[32];
	char device_major[8];
	char device_minor[8];
	char prefix[PREFIX_BYTES];
	char padding[12];
};
_Static_assert(sizeof(struct ustar) == RELTAR_BLOCK_BYTES, "a header is one block");

int reltar_split_path(const char *path, size_t *ret_prefix_length)
{
	size_t length = strlen(path), cut;

	if (length <= NAME_BYTES) {
		*ret_prefix_length = 0;
		return 0;
	}
	cut = length < PREFIX_BYTES ? length - 1 : PREFIX_BYTES;
	while (cut > 0 && path[cut] != '/')
		cut--;
	if (cut == 0 || length - cut - 1 > NAME_BYTES || length - cut - 1 == 0)
		return -ENAMETOOLONG;
	*ret_prefix_length = cut;
	return 0;
}

/* Fills a field with octal digits and a final NUL. */
static void put_octal(char *field, size_t size, uint64_t value)
{
	field[size - 1] = '\0';
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

/* The checksum counts its own field as spaces. It is written as six digits, NUL, space. */
static void put_checksum(struct ustar *h)
{
	const unsigned char *bytes = (const unsigned char *)h;
	unsigned sum = 0;

	memset(h->checksum, ' ', sizeof h->checksum);
	for (size_t i = 0; i < sizeof *h; i++)
		sum += bytes[i];
	put_octal(h->checksum, sizeof h->checksum - 1, sum);
}

int reltar_header_make(const char *path, mode_t mode, uint64_t size_bytes,
		       uint8_t ret[RELTAR_BLOCK_BYTES])
{
	struct ustar h = { .type = '0', .magic = "ustar", .version = { '0', '0' } };
	const char *name = path;
	size_t prefix_length;
	int r;

	if (size_bytes > MANIFEST_MAX_FILE_BYTES)
		return -EFBIG;
	r = reltar_split_path(path, &prefix_length);
	if (r < 0)
		return r;
	if (prefix_length > 0) {
		memcpy(h.prefix, path, prefix_length);
		name += prefix_length + 1;
	}
	memcpy(h.name, name, strlen(name));
	put_octal(h.mode, sizeof h.mode, mode);
	put_octal(h.uid, sizeof h.uid, 0);
	put_octal(h.gid, sizeof h.gid, 0);
	put_octal(h.size, sizeof h.size, size_bytes);
	put_octal(h.mtime, sizeof h.mtime, 0);
	put_octal(h.device_major, sizeof h.device_major, 0);
	put_octal(h.device_minor, sizeof h.device_minor, 0);
	put_checksum(&h);
	memcpy(ret, &h, sizeof h);
	return 0;
}

/* Octal digits, then only NULs and spaces: how strictly it was written is judged when the header is
 * made again. */
static int get_octal(const char *field, size_t size, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	if (i == 0)
		return -EBADMSG;
	for (; i < size; i++)
		if (field[i] != '\0' && field[i] != ' ')
			return -EBADMSG;
	*ret = value;
	return 0;
}

static bool checksum_is_right(const struct ustar *h)
{
	struct ustar copy = *h;

	put_checksum(&copy);
	return memcmp(copy.checksum, h->checksum, sizeof h->checksum) == 0;
}

static void get_path(const struct ustar *h, char ret[RELTAR_MAX_PATH_BYTES + 2])
{
	size_t prefix_length = 0, name_length = strnlen(h->name, sizeof h->name);

	/* GNU's own format keeps other things in the place of the prefix. */
	if (memcmp(h->magic, "ustar", sizeof h->magic) == 0)
		prefix_length = strnlen(h->prefix, sizeof h->prefix);
	if (prefix_length > 0) {
		memcpy(ret, h->prefix, prefix_length);
		ret[prefix_length++] = '/';
	}
	memcpy(ret + prefix_length, h->name, name_length);
	ret[prefix_length + name_length] = '\0';
}

/* Absolute, empty, too long, with an empty or '..' component. The slash that ends a directory's
 * name is no empty component, so that directories are refused for what they are. */
static bool path_escapes(const char *path, bool is_directory)
{
	size_t length = strlen(path);

	if (length == 0 || length > RELTAR_MAX_PATH_BYTES)
		return true;
	if (is_directory && length > 1 && path[length - 1] == '/')
		length--;
	for (const char *p = path; p <= path + length;) {
		size_t n = strcspn(p, "/");

		if (n > (size_t)(path + length - p))
			n = (size_t)(path + length - p);
		if (n == 0 || (n == 2 && p[0] == '.' && p[1] == '.'))
			return true;
		p += n + 1;
	}
	return false;
}

/* The attacks have names of their own; whatever else is not ours comes out as malformed. */
static enum reltar_fault name_attack(const struct ustar *h, const struct reltar_member *member)
{
	if (path_escapes(member->path, h->type == '5'))
		return RELTAR_FAULT_ESCAPE;
	if (h->type == '1' || h->type == '2')
		return RELTAR_FAULT_LINK;
	if (h->type != '0' && h->type != '\0')
		return RELTAR_FAULT_SPECIAL;
	if (member->mode & 07000)
		return RELTAR_FAULT_SETID;
	return RELTAR_OK;
}

enum reltar_fault reltar_header_read(const uint8_t block[RELTAR_BLOCK_BYTES],
				     struct reltar_member *ret)
{
	struct reltar_member member = { 0 };
	uint8_t again[RELTAR_BLOCK_BYTES];
	enum reltar_fault fault;
	uint64_t mode;
	struct ustar h;

	memcpy(&h, block, sizeof h);
	if (!checksum_is_right(&h))
		return RELTAR_FAULT_MALFORMED;
	get_path(&h, member.path);
	if (get_octal(h.mode, sizeof h.mode, &mode) < 0)
		mode = 0;
	member.mode = (mode_t)mode;
	fault = name_attack(&h, &member);
	if (fault != RELTAR_OK)
		return fault;
	if (get_octal(h.size, sizeof h.size, &member.size_bytes) < 0 ||
	    !fs_is_safe_path(member.path) ||
	    reltar_header_make(member.path, member.mode, member.size_bytes, again) < 0 ||
	    memcmp(again, block, sizeof again) != 0)
		return RELTAR_FAULT_MALFORMED;
	*ret = member;
	return RELTAR_OK;
}

const char *reltar_fault_name(enum reltar_fault fault)
{
	switch (fault) {
	case RELTAR_OK: return "ok";
	case RELTAR_FAULT_MALFORMED: return "malformed";
	case RELTAR_FAULT_ESCAPE: return "escape";
	case RELTAR_FAULT_LINK: return "link";
	case RELTAR_FAULT_SPECIAL: return "special";
	case RELTAR_FAULT_SETID: return "setid";
	case RELTAR_FAULT_TOO_BIG: return "too-big";
	case RELTAR_FAULT_CONTENT: return "content";
	}
	return "unknown";
}
