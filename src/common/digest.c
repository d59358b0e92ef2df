/* SPDX-License-Identifier: Apache-2.0 */
#include "common/digest.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/fsutil.h"

#define READ_CHUNK_BYTES 16384

struct digest {
	EVP_MD_CTX *context;
	bool ended;
};

int digest_new(struct digest **ret)
{
	_cleanup_(digest_freep) struct digest *d = calloc(1, sizeof *d);

	if (!d)
		return -ENOMEM;
	d->context = EVP_MD_CTX_new();
	if (!d->context)
		return -ENOMEM;
	if (EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1)
		return -EIO;
	*ret = TAKE_PTR(d);
	return 0;
}

struct digest *digest_free(struct digest *d)
{
	if (!d)
		return NULL;
	EVP_MD_CTX_free(d->context);
	free(d);
	return NULL;
}

int digest_update(struct digest *d, const void *bytes, size_t size)
{
	if (d->ended)
		return -EINVAL;
	return EVP_DigestUpdate(d->context, bytes, size) == 1 ? 0 : -EIO;
}

int digest_final(struct digest *d, uint8_t ret[SHA256_BYTES])
{
	if (d->ended)
		return -EINVAL;
	d->ended = true;
	return EVP_DigestFinal_ex(d->context, ret, NULL) == 1 ? 0 : -EIO;
}

int digest_sha256(const void *bytes, size_t size, uint8_t ret[SHA256_BYTES])
{
	return EVP_Digest(bytes, size, ret, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int digest_sha512(const void *bytes, size_t size, uint8_t ret[SHA512_BYTES])
{
	return EVP_Digest(bytes, size, ret, NULL, EVP_sha512(), NULL) == 1 ? 0 : -EIO;
}

int digest_fd(int fd, uint8_t ret[SHA256_BYTES], uint64_t *ret_size)
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	uint8_t chunk[READ_CHUNK_BYTES];
	uint64_t size = 0;
	int r;

	r = digest_new(&d);
	if (r < 0)
		return r;
	for (;;) {
		size_t n = 0;

		r = fs_pread_upto(fd, chunk, sizeof chunk, size, &n);
		if (r == 0)
			r = digest_update(d, chunk, n);
		if (r < 0)
			return r;
		size += n;
		if (n < sizeof chunk)
			break;
	}
	r = digest_final(d, ret);
	if (r < 0)
		return r;
	if (ret_size)
		*ret_size = size;
	return 0;
}

void hex_encode(const uint8_t *bytes, size_t size, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		ret_text[2 * i] = digits[bytes[i] >> 4];
		ret_text[2 * i + 1] = digits[bytes[i] & 0x0f];
	}
	ret_text[2 * size] = '\0';
}

static unsigned hex_digit(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

int hex_decode(const char *text, uint8_t *ret, size_t size)
{
	size_t length = strnlen(text, 2 * size + 1);

	if (length != 2 * size || strspn(text, "0123456789abcdef") != length)
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		ret[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
	return 0;
}
