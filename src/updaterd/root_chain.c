/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/root_chain.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "tuf/metadata.h"

#define ROOT_NAME	 "root.json"
#define NAME_MAX_BYTES	 64
#define MAX_NAMES_A_PASS 64

struct root {
	struct tuf_metadata *metadata;
	char *bytes;
	size_t size;
};

static void root_done(struct root *r)
{
	(void)tuf_metadata_free(r->metadata);
	free(r->bytes);
	*r = (struct root){ 0 };
}

static struct root take(struct root *r)
{
	struct root taken = *r;

	*r = (struct root){ 0 };
	return taken;
}

static int is_signed_by(const struct tuf_metadata *m, const struct tuf_metadata *signer)
{
	unsigned n;

	return tuf_role_verify(&signer->roles, tuf_roles_find(&signer->roles, "root"), m, &n);
}

/* Form, and its own threshold. What follows from it is the caller's to see. */
static int read_root(int dirfd, const char *name, const struct tuf_limits *limits, struct root *ret)
{
	_cleanup_(root_done) struct root root = { 0 };
	int r;

	r = fs_read_file(dirfd, name, limits->root_bytes, &root.bytes, &root.size);
	if (r < 0)
		return r;
	r = tuf_metadata_parse(root.bytes, root.size, TUF_ROOT, &root.metadata, NULL);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	r = is_signed_by(root.metadata, root.metadata);
	if (r < 0)
		return r;
	*ret = take(&root);
	return 0;
}

/* Says nothing about the file, and may be over the next time. */
static bool is_passing(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* 0 and *at moves on; -ENOENT where the chain ends, whatever ends it. */
static int step(int dirfd, const struct tuf_limits *limits, struct root *at)
{
	_cleanup_(root_done) struct root next = { 0 };
	char name[NAME_MAX_BYTES];
	int r;

	(void)snprintf(name, sizeof name, "%" PRIu64 "." ROOT_NAME, at->metadata->version + 1);
	r = read_root(dirfd, name, limits, &next);
	if (r == 0)
		r = next.metadata->version == at->metadata->version + 1
			    ? is_signed_by(next.metadata, at->metadata)
			    : -EBADMSG;
	if (r < 0)
		return is_passing(r) ? r : -ENOENT;
	root_done(at);
	*at = take(&next);
	return 0;
}

/* ---- what does not follow ---- */

/* "7.root.json": 7; else 0. */
static uint64_t number_of(const char *name)
{
	char *end = NULL;
	uint64_t number;

	if (*name < '1' || *name > '9')
		return 0;
	errno = 0;
	number = strtoull(name, &end, 10);
	return errno == 0 && strcmp(end, "." ROOT_NAME) == 0 ? number : 0;
}

/* At most so many at a time, since a directory should not be changed while it is read. */
static int remove_some_after(int dirfd, uint64_t version)
{
	uint64_t numbers[MAX_NAMES_A_PASS];
	_cleanup_dir_ DIR *dir = NULL;
	char name[NAME_MAX_BYTES];
	const char *entry;
	int n = 0, r;

	r = fs_open_dir(dirfd, ".", &dir);
	if (r < 0)
		return r;
	while (n < MAX_NAMES_A_PASS && (entry = fs_next_name(dir)))
		if (number_of(entry) > version)
			numbers[n++] = number_of(entry);
	for (int i = 0; i < n; i++) {
		(void)snprintf(name, sizeof name, "%" PRIu64 "." ROOT_NAME, numbers[i]);
		r = fs_remove_tree(dirfd, name);
		if (r < 0)
			return r;
	}
	return n;
}

/* One that stayed would be handed to the installer as the next of another chain. */
static int remove_after(int dirfd, uint64_t version, unsigned *ret_removed)
{
	int n;

	*ret_removed = 0;
	while ((n = remove_some_after(dirfd, version)) > 0)
		*ret_removed += (unsigned)n;
	return n;
}

/* ---- the start ---- */

/* What stands in for root_file should that be lost. It can be done without, so a failure is none. */
static void keep_newest(int dirfd, const struct root *root)
{
	_cleanup_free_ char *kept = NULL;
	size_t size = 0;
	int r;

	r = fs_read_file(dirfd, ROOT_NAME, root->size, &kept, &size);
	if (r == 0 && size == root->size && memcmp(kept, root->bytes, size) == 0)
		return;
	r = fs_write_file_atomic(dirfd, ROOT_NAME, root->bytes, root->size, 0644);
	if (r < 0)
		log_debug("'%s' cannot be kept: %s", ROOT_NAME, strerror(-r));
}

void root_start_done(struct root_start *start)
{
	free(start->bytes);
	*start = (struct root_start){ 0 };
}

static int walk(int dirfd, const struct tuf_limits *limits, struct root *at, unsigned *ret_removed)
{
	int r;

	do
		r = step(dirfd, limits, at);
	while (r == 0);
	if (r == -ENOENT)
		r = remove_after(dirfd, at->metadata->version, ret_removed);
	if (r == 0)
		keep_newest(dirfd, at);
	return r;
}

int root_chain_start(int dirfd, const char *root_file, const struct tuf_limits *limits,
		     struct root_start *ret)
{
	_cleanup_(root_done) struct root root = { 0 };
	struct root_start start = { 0 };
	int r;

	r = read_root(AT_FDCWD, root_file, limits, &root);
	if (r == 0) {
		r = walk(dirfd, limits, &root, &start.n_removed);
	} else if (!is_passing(r)) {
		start.file_error = r;
		r = read_root(dirfd, ROOT_NAME, limits, &root) < 0 ? start.file_error : 0;
	}
	if (r < 0)
		return r;
	start.bytes = TAKE_PTR(root.bytes);
	start.size = root.size;
	start.version = root.metadata->version;
	*ret = start;
	return 0;
}
