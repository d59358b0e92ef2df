/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/token.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "common/digest.h"
#include "common/fsutil.h"

#define TOKEN_MIN_LENGTH   16
#define TOKEN_MAX_LENGTH   256
#define TOKEN_RANDOM_BYTES 32

int token_read(const char *path, char **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int r;

	r = fs_read_file(AT_FDCWD, path, TOKEN_MAX_LENGTH + 2, &text, &size);
	if (r < 0)
		return r;
	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
		text[--size] = '\0';
	if (size < TOKEN_MIN_LENGTH || size > TOKEN_MAX_LENGTH)
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		if (text[i] <= 0x20 || text[i] >= 0x7f)
			return -EINVAL;
	*ret = TAKE_PTR(text);
	return 0;
}

int token_make(const char *path)
{
	uint8_t bytes[TOKEN_RANDOM_BYTES];
	char text[2 * sizeof bytes + 2];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return -EIO;
	hex_encode(bytes, sizeof bytes, text);
	text[2 * sizeof bytes] = '\n';
	return fs_write_file_atomic(AT_FDCWD, path, text, 2 * sizeof bytes + 1, 0600);
}
