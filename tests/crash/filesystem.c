/* SPDX-License-Identifier: Apache-2.0 */
#include "filesystem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define KIB UINT64_C(1024)
#define MIB (UINT64_C(1) << 20)

static const char *const make_ext4[] = { "mkfs.ext4",
					 "-q",
					 "-F",
					 "-b",
					 "4096",
					 "-N",
					 "512",
					 "-m",
					 "0",
					 "-J",
					 "size=4",
					 "-O",
					 "^resize_inode",
					 "-E",
					 "lazy_itable_init=0,lazy_journal_init=0",
					 NULL };
static const char *const check_ext4[] = { "e2fsck", "-f", "-n", NULL };
/* Smaller than people are to make one, since most of a mount is reading the log. */
static const char *const make_xfs[] = { "mkfs.xfs", "--unsupported", "-q", "-f", "-l", "size=6m",
					"-d",	    "agcount=2",     NULL };
static const char *const check_xfs[] = { "xfs_repair", "-n", NULL };
static const char *const make_btrfs[] = { "mkfs.btrfs", "-q", "-f", "-m", "single", NULL };
static const char *const check_btrfs[] = { "btrfs", "check", "--readonly", NULL };

static const struct filesystem filesystems[] = {
	/* Without auto_da_alloc a rename over a file does not write that file out. */
	{ "ext4",
	  40 * MIB,
	  { "noauto_da_alloc,data=ordered", "data=ordered", "data=journal" },
	  make_ext4,
	  check_ext4,
	  1,
	  { 1024 },
	  false },
	{ "xfs",
	  96 * MIB,
	  { "nouuid", "nouuid,logbufs=2", "nouuid,wsync" },
	  make_xfs,
	  check_xfs,
	  4,
	  { 0 },
	  false },
	{ "btrfs",
	  128 * MIB,
	  { "rw", "flushoncommit", "notreelog" },
	  make_btrfs,
	  check_btrfs,
	  4,
	  { 64 * KIB, 64 * MIB },
	  true },
};

const struct filesystem *filesystem_find(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(filesystems); i++)
		if (strcmp(filesystems[i].name, name) == 0)
			return &filesystems[i];
	return NULL;
}

bool filesystem_is_superblock(const struct filesystem *fs, uint64_t offset, uint64_t size)
{
	for (size_t i = 0; i < ELEMENTSOF(fs->superblocks); i++)
		if ((i == 0 || fs->superblocks[i] > 0) && fs->superblocks[i] >= offset &&
		    fs->superblocks[i] < offset + size)
			return true;
	return false;
}

static void run(const char *const *command, const char *file)
{
	char *arguments[24];
	size_t n = 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (; command[n]; n++)
		memcpy(&arguments[n], &command[n], sizeof arguments[n]);
	memcpy(&arguments[n], &file, sizeof arguments[n]);
	arguments[n + 1] = NULL;
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(null, STDERR_FILENO);
	(void)setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	(void)execvp(arguments[0], arguments);
	_exit(127);
}

int filesystem_run(const char *const *command, const char *file)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		run(command, file);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

int filesystem_mount(const struct filesystem *fs, const char *device, const char *directory,
		     unsigned round)
{
	const char *options = fs->options[round % ELEMENTSOF(fs->options)];

	return mount(device, directory, fs->name, MS_NOATIME, options) < 0 ? -errno : 0;
}
