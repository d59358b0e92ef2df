/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <linux/loop.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define FILE_NAME   "disk"
#define FILE_ID	    2u
#define MAX_WRITE   (128u << 10)
#define BUFFER_SIZE (MAX_WRITE + 8192u)
#define MAX_ENTRIES (1u << 20)
#define MAX_DATA    (UINT64_C(2) << 30)
#define LOOP_TRIES  16

static void *shared(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* ---- serving the file ---- */

struct server {
	const struct disk *disk;
	int fd;
	uint64_t *position;
};

static void note(struct server *s, uint64_t offset, const void *bytes, uint32_t size, bool is_flush)
{
	struct disk_log *log = s->disk->log;

	if (!log->is_on)
		return;
	if (log->n == MAX_ENTRIES || log->n_data + size > MAX_DATA) {
		log->is_full = true;
		return;
	}
	if (size > 0)
		memcpy(log->data + log->n_data, bytes, size);
	log->entries[log->n] = (struct disk_entry){
		.offset = offset, .data = log->n_data, .size = size, .is_flush = is_flush
	};
	log->n_data += size;
	__atomic_store_n(&log->n, log->n + 1, __ATOMIC_SEQ_CST);
	if (s->position)
		__atomic_store_n(s->position, log->n, __ATOMIC_SEQ_CST);
}

static void reply(const struct server *s, uint64_t id, int error, const void *bytes, size_t size)
{
	struct fuse_out_header header = { .len = (uint32_t)(sizeof header + size),
					  .error = error,
					  .unique = id };
	struct iovec parts[] = { { &header, sizeof header }, { NULL, size } };

	memcpy(&parts[1].iov_base, &bytes, sizeof bytes);
	(void)!writev(s->fd, parts, size > 0 ? 2 : 1);
}

static struct fuse_attr attributes(const struct server *s, uint64_t node)
{
	struct fuse_attr a = { .ino = node, .nlink = 1, .blksize = DISK_BLOCK };

	a.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
	a.size = node == FUSE_ROOT_ID ? 0 : s->disk->size;
	a.blocks = a.size / DISK_SECTOR;
	return a;
}

static void serve_init(const struct server *s, const struct fuse_in_header *in)
{
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION,
				     .minor = 31,
				     .max_readahead = MAX_WRITE,
				     .flags = FUSE_BIG_WRITES,
				     .max_background = 16,
				     .congestion_threshold = 12,
				     .max_write = MAX_WRITE,
				     .time_gran = 1 };

	reply(s, in->unique, 0, &out, sizeof out);
}

static void serve_lookup(const struct server *s, const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out out = { .nodeid = FILE_ID,
				      .entry_valid = 3600,
				      .attr_valid = 3600,
				      .attr = attributes(s, FILE_ID) };

	if (strcmp(name, FILE_NAME) == 0)
		reply(s, in->unique, 0, &out, sizeof out);
	else
		reply(s, in->unique, -ENOENT, NULL, 0);
}

static void serve_read(const struct server *s, const struct fuse_in_header *in,
		       const struct fuse_read_in *ask)
{
	uint64_t left = ask->offset < s->disk->size ? s->disk->size - ask->offset : 0;

	reply(s, in->unique, 0, s->disk->image + ask->offset, ask->size < left ? ask->size : left);
}

static void serve_write(struct server *s, const struct fuse_in_header *in,
			const struct fuse_write_in *ask)
{
	struct fuse_write_out out = { .size = ask->size };
	const void *bytes = ask + 1;

	if (ask->offset + ask->size > s->disk->size) {
		reply(s, in->unique, -ENOSPC, NULL, 0);
		return;
	}
	memcpy(s->disk->image + ask->offset, bytes, ask->size);
	note(s, ask->offset, bytes, ask->size, false);
	reply(s, in->unique, 0, &out, sizeof out);
}

static void serve(struct server *s, const struct fuse_in_header *in)
{
	const void *body = in + 1;
	struct fuse_attr_out attr = { .attr_valid = 3600, .attr = attributes(s, in->nodeid) };
	struct fuse_open_out open = { .open_flags = FOPEN_DIRECT_IO };

	switch (in->opcode) {
	case FUSE_INIT: serve_init(s, in); return;
	case FUSE_LOOKUP: serve_lookup(s, in, body); return;
	case FUSE_GETATTR: reply(s, in->unique, 0, &attr, sizeof attr); return;
	case FUSE_OPEN:
	case FUSE_OPENDIR: reply(s, in->unique, 0, &open, sizeof open); return;
	case FUSE_READ: serve_read(s, in, body); return;
	case FUSE_WRITE: serve_write(s, in, body); return;
	case FUSE_FSYNC:
		note(s, 0, NULL, 0, true);
		reply(s, in->unique, 0, NULL, 0);
		return;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_ACCESS: reply(s, in->unique, 0, NULL, 0); return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT: return;
	default: reply(s, in->unique, -ENOSYS, NULL, 0);
	}
}

static void serve_all(struct server *s)
{
	static uint8_t buffer[BUFFER_SIZE] __attribute__((aligned(8)));
	ssize_t n;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		n = read(s->fd, buffer, sizeof buffer);
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			serve(s, (const struct fuse_in_header *)(const void *)buffer);
		else if (n < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			_exit(0);
	}
}

static int start_server(struct disk *d, uint64_t *position)
{
	struct server s = { .disk = d, .position = position };
	char options[96];

	s.fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (s.fd < 0)
		return -errno;
	(void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", s.fd);
	if (mount("crash", d->directory, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		close_fd(&s.fd);
		return -errno;
	}
	d->is_mounted = true;
	d->server = fork();
	if (d->server == 0)
		serve_all(&s);
	(void)close(s.fd);
	return d->server < 0 ? -errno : 0;
}

/* ---- loop devices ---- */

int disk_attach(const char *file, char ret_device[32], int *ret_fd)
{
	_cleanup_close_ int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int backing = open(file, O_RDWR | O_CLOEXEC);
	struct loop_config config = { .fd = (uint32_t)backing, .block_size = DISK_SECTOR };

	if (control < 0 || backing < 0)
		return -errno;
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	for (int i = 0; i < LOOP_TRIES; i++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), fd;

		if (number < 0)
			return -errno;
		(void)snprintf(ret_device, 32, "/dev/loop%d", number);
		fd = open(ret_device, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
			*ret_fd = fd;
			return 0;
		}
		(void)close(fd);
		/* Somebody else was faster. */
		if (errno != EBUSY)
			return -errno;
	}
	return -EBUSY;
}

void disk_detach(int loop_fd)
{
	(void)ioctl(loop_fd, LOOP_CLR_FD);
	(void)close(loop_fd);
}

void disk_forget_cache(const char *device)
{
	_cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);

	(void)ioctl(fd, BLKFLSBUF);
}

/* ---- the disk ---- */

static int make_memory(struct disk *d)
{
	d->log = shared(sizeof *d->log);
	d->image = shared(d->size);
	if (!d->log || !d->image)
		return -ENOMEM;
	d->log->entries = shared(MAX_ENTRIES * sizeof *d->log->entries);
	d->log->data = shared(MAX_DATA);
	return d->log->entries && d->log->data ? 0 : -ENOMEM;
}

int disk_open(struct disk *d, const char *directory, uint64_t size, uint64_t *position)
{
	char file[128];
	int r;

	memset(d, 0, sizeof *d);
	d->size = size;
	d->loop_fd = -1;
	(void)snprintf(d->directory, sizeof d->directory, "%s", directory);
	r = make_memory(d);
	if (r == 0 && mkdir(directory, 0700) < 0)
		r = -errno;
	if (r == 0)
		r = start_server(d, position);
	(void)snprintf(file, sizeof file, "%s/" FILE_NAME, directory);
	if (r == 0)
		r = disk_attach(file, d->device, &d->loop_fd);
	if (r < 0)
		disk_close(d);
	return r;
}

void disk_close(struct disk *d)
{
	if (d->loop_fd >= 0)
		disk_detach(d->loop_fd);
	if (d->is_mounted)
		(void)umount2(d->directory, MNT_DETACH);
	if (d->server > 0) {
		(void)kill(d->server, SIGKILL);
		(void)waitpid(d->server, NULL, 0);
	}
	(void)rmdir(d->directory);
	if (d->log) {
		if (d->log->entries)
			(void)munmap(d->log->entries, MAX_ENTRIES * sizeof *d->log->entries);
		if (d->log->data)
			(void)munmap(d->log->data, MAX_DATA);
		(void)munmap(d->log, sizeof *d->log);
	}
	if (d->image)
		(void)munmap(d->image, d->size);
	memset(d, 0, sizeof *d);
	d->loop_fd = -1;
}

void disk_log_start(struct disk *d)
{
	d->log->n = d->log->n_data = 0;
	d->log->is_full = false;
	__atomic_store_n(&d->log->is_on, true, __ATOMIC_SEQ_CST);
}

void disk_log_stop(struct disk *d)
{
	__atomic_store_n(&d->log->is_on, false, __ATOMIC_SEQ_CST);
}
