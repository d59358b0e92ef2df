/* SPDX-License-Identifier: Apache-2.0 */
#include "updaterd/adopt.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "common/fsutil.h"
#include "updaterd/stage.h"

#define STAGE_NAME "factory"

static int read_factory(const struct conf_program *program, int *ret_fd, struct version *ret,
			struct failure *failure)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	_cleanup_close_ int fd = FD_NONE;
	_cleanup_free_ char *error = NULL;
	int r;

	if (!program->factory)
		return failure_set(failure, -ENOENT, REASON_DAMAGED,
				   "program %c has no factory release", program->letter);
	fd = open(program->factory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failure_set_errno(failure, -errno, "'%s'", program->factory);
	r = store_read_manifest(fd, &manifest, &error);
	if (r < 0)
		return failure_set(failure, r, REASON_DAMAGED, "the factory release in '%s': %s",
				   program->factory, error ? error : strerror(-r));
	if (manifest->version.program != program->letter)
		return failure_set(failure, -EINVAL, REASON_WRONG_PROGRAM,
				   "'%s' is %s, no release of program %c", program->factory,
				   manifest->version.text, program->letter);
	*ret = manifest->version;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int copy_factory(int factory_fd, struct store *store, const struct version *version,
			bool is_damaged, struct failure *failure)
{
	_cleanup_close_ int stage_fd = FD_NONE;
	int r;

	stage_fd = store_stage_begin(store, STAGE_NAME);
	if (stage_fd < 0)
		return failure_set_errno(failure, stage_fd, "making the stage");
	r = stage_copy(factory_fd, stage_fd, failure);
	if (r == 0)
		r = stage_check(stage_fd, NULL, failure);
	if (r < 0)
		return r;
	r = is_damaged ? store_stage_replace(store, STAGE_NAME, version)
		       : store_stage_seal(store, STAGE_NAME, version);
	return r < 0 ? failure_set_errno(failure, r, "giving the release its name") : 0;
}

int adopt_factory(const struct conf_program *program, struct store *store, struct version *ret,
		  struct failure *failure)
{
	_cleanup_close_ int factory_fd = FD_NONE;
	struct version version;
	int r;

	r = read_factory(program, &factory_fd, &version, failure);
	if (r < 0)
		return r;
	r = store_check_release(store, &version, NULL);
	if (r < 0 && !fs_is_accident(r))
		r = copy_factory(factory_fd, store, &version, r != -ENOENT, failure);
	else if (r < 0)
		(void)failure_set_errno(failure, r, "checking '%s'", version.text);
	if (r < 0)
		return r;
	*ret = version;
	return 0;
}
