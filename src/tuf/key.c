/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <string.h>

#include "common/json.h"
#include "tuf/canonical.h"

#define ED25519_PUBLIC_BYTES 32
#define RSA_MIN_BITS	     2048
#define RSA_MAX_BITS	     8192

struct key_type {
	const char *keytype;
	const char *scheme;
	int (*load)(const char *public_text, EVP_PKEY **ret);
	const EVP_MD *(*md)(void); /* NULL: the scheme hashes by itself */
	bool is_pss;		   /* else an RSA signature is padded as PKCS #1 v1.5 says */
};

struct tuf_key {
	const struct key_type *type;
	EVP_PKEY *pkey;
};

/* The y of the points of small order, little endian: under such a key anybody can make signatures,
 * and OpenSSL takes them. */
static const uint8_t small_order[][ED25519_PUBLIC_BYTES] = {
	{ 0x00 },
	{ 0x01 },
	{ 0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4,
	  0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6,
	  0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05 },
	{ 0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b,
	  0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39,
	  0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a },
	{ 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
};

/* p = 2^255 - 19 and above: a second way of writing a point, so of having one key counted twice. */
static bool is_reduced(const uint8_t y[ED25519_PUBLIC_BYTES])
{
	for (size_t i = ED25519_PUBLIC_BYTES - 1; i > 0; i--)
		if (y[i] != (i == ED25519_PUBLIC_BYTES - 1 ? 0x7f : 0xff))
			return true;
	return y[0] < 0xed;
}

static bool is_strong_point(const uint8_t raw[ED25519_PUBLIC_BYTES])
{
	uint8_t y[ED25519_PUBLIC_BYTES];

	memcpy(y, raw, sizeof y);
	y[sizeof y - 1] &= 0x7f; /* the sign of x */
	for (size_t i = 0; i < ELEMENTSOF(small_order); i++)
		if (memcmp(y, small_order[i], sizeof y) == 0)
			return false;
	return is_reduced(y);
}

static int load_ed25519(const char *public_text, EVP_PKEY **ret)
{
	uint8_t raw[ED25519_PUBLIC_BYTES];

	if (hex_decode(public_text, raw, sizeof raw) < 0 || !is_strong_point(raw))
		return -EBADMSG;
	*ret = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, sizeof raw);
	return *ret ? 0 : -ENOMEM; /* it takes any 32 bytes */
}

/* Without it OpenSSL would ask on the terminal for the passphrase of a PEM that claims to have one. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's pem_password_cb */
static int no_passphrase(char *buffer, int size, int rwflag, void *userdata)
{
	(void)buffer;
	(void)size;
	(void)rwflag;
	(void)userdata;
	return -1;
}

static EVP_PKEY *load_pem(const char *public_text)
{
	BIO *bio = BIO_new_mem_buf(public_text, -1);
	EVP_PKEY *pkey = NULL;

	if (bio)
		pkey = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	(void)BIO_free(bio);
	return pkey;
}

/* A point at infinity is read without complaint, and under it anybody can sign. The quick check is
 * whole where the cofactor is 1. */
static bool is_sound_point(EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	bool sound = ctx && EVP_PKEY_public_check_quick(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return sound;
}

static bool is_point_of(EVP_PKEY *pkey, const char *curve)
{
	char group[32];

	return EVP_PKEY_is_a(pkey, "EC") == 1 &&
	       EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 &&
	       strcmp(group, curve) == 0 && is_sound_point(pkey);
}

static bool is_p256(EVP_PKEY *pkey)
{
	return is_point_of(pkey, "prime256v1");
}

static bool is_p384(EVP_PKEY *pkey)
{
	return is_point_of(pkey, "secp384r1");
}

/* With an exponent of 1 a signature is its own padding. OpenSSL's own check would also try whether
 * the modulus is prime: that takes long, and proves nothing of who made it. */
static bool is_sound_exponent(const EVP_PKEY *pkey)
{
	BIGNUM *e = NULL;
	bool sound = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_odd(e) &&
		     !BN_is_one(e);

	BN_free(e);
	return sound;
}

static bool is_rsa(EVP_PKEY *pkey)
{
	return EVP_PKEY_is_a(pkey, "RSA") == 1 && EVP_PKEY_get_bits(pkey) >= RSA_MIN_BITS &&
	       EVP_PKEY_get_bits(pkey) <= RSA_MAX_BITS && is_sound_exponent(pkey);
}

static int load_pem_checked(const char *public_text, bool (*is_right)(EVP_PKEY *), EVP_PKEY **ret)
{
	EVP_PKEY *pkey = load_pem(public_text);

	if (!pkey)
		return -EBADMSG;
	if (!is_right(pkey)) {
		EVP_PKEY_free(pkey);
		return -EBADMSG;
	}
	*ret = pkey;
	return 0;
}

static int load_p256(const char *public_text, EVP_PKEY **ret)
{
	return load_pem_checked(public_text, is_p256, ret);
}

static int load_p384(const char *public_text, EVP_PKEY **ret)
{
	return load_pem_checked(public_text, is_p384, ret);
}

static int load_rsa(const char *public_text, EVP_PKEY **ret)
{
	return load_pem_checked(public_text, is_rsa, ret);
}

static const struct key_type key_types[] = {
	{ "ed25519", "ed25519", load_ed25519, NULL, false },
	{ "ecdsa", "ecdsa-sha2-nistp256", load_p256, EVP_sha256, false },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", load_p256, EVP_sha256, false },
	{ "ecdsa", "ecdsa-sha2-nistp384", load_p384, EVP_sha384, false },
	{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", load_p384, EVP_sha384, false },
	{ "rsa", "rsassa-pss-sha256", load_rsa, EVP_sha256, true },
	{ "rsa", "rsa-pkcs1v15-sha256", load_rsa, EVP_sha256, false },
};

static const struct key_type *find_type(const char *keytype, const char *scheme)
{
	for (size_t i = 0; i < ELEMENTSOF(key_types); i++)
		if (strcmp(key_types[i].keytype, keytype) == 0 &&
		    strcmp(key_types[i].scheme, scheme) == 0)
			return &key_types[i];
	return NULL;
}

/* Takes all of OpenSSL's errors. A key that there was no memory for is not a malformed key: of a new
 * root's it would look as if it had been taken away from its role. */
static bool had_no_memory(void)
{
	bool had_none = false;
	unsigned long error;

	while ((error = ERR_get_error()) != 0)
		had_none |= ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
	return had_none;
}

int tuf_key_parse(const cJSON *object, struct tuf_key **ret)
{
	_cleanup_(tuf_key_freep) struct tuf_key *k = NULL;
	const char *keytype, *scheme, *public_text;
	const struct key_type *type;
	const cJSON *keyval;
	struct json_error error;
	int r;

	if (json_get_string(object, "keytype", &keytype, &error) < 0 ||
	    json_get_string(object, "scheme", &scheme, &error) < 0 ||
	    json_get_object(object, "keyval", &keyval, &error) < 0)
		return -EBADMSG;
	type = find_type(keytype, scheme);
	if (!type)
		return -ENOTSUP;
	if (json_get_string(keyval, "public", &public_text, &error) < 0)
		return -EBADMSG;

	k = calloc(1, sizeof *k);
	if (!k)
		return -ENOMEM;
	k->type = type;
	r = type->load(public_text, &k->pkey);
	if (r < 0)
		return had_no_memory() ? -ENOMEM : r;
	*ret = TAKE_PTR(k);
	return 0;
}

struct tuf_key *tuf_key_free(struct tuf_key *k)
{
	if (k) {
		EVP_PKEY_free(k->pkey);
		free(k);
	}
	return NULL;
}

static bool verifies(const struct tuf_key *k, EVP_MD_CTX *ctx, const uint8_t *signature,
		     size_t signature_size, const void *bytes, size_t size)
{
	EVP_PKEY_CTX *pkey_ctx = NULL;

	if (EVP_DigestVerifyInit(ctx, &pkey_ctx, k->type->md ? k->type->md() : NULL, NULL,
				 k->pkey) != 1)
		return false;
	if (k->type->is_pss &&
	    (EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
	     EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_AUTO) != 1))
		return false;
	/* RFC 8017, 8.1.2, step 1: as long as the modulus. OpenSSL takes one without its leading zeros. */
	if (k->type->is_pss && signature_size != (size_t)EVP_PKEY_get_size(k->pkey))
		return false;
	/* It answers 0 or a negative number for what is no signature: only 1 is a yes. */
	return EVP_DigestVerify(ctx, signature, signature_size, bytes, size) == 1;
}

int tuf_key_verify(const struct tuf_key *k, const uint8_t *signature, size_t signature_size,
		   const void *bytes, size_t size)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r = -EKEYREJECTED;

	if (ctx && verifies(k, ctx, signature, signature_size, bytes, size))
		r = 0;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return r;
}

bool tuf_key_equal(const struct tuf_key *a, const struct tuf_key *b)
{
	bool equal = EVP_PKEY_eq(a->pkey, b->pkey) == 1;

	ERR_clear_error();
	return equal;
}

int tuf_key_id(const cJSON *object, char ret_hex[SHA256_HEX_LENGTH + 1])
{
	_cleanup_free_ char *bytes = NULL;
	uint8_t sha256[SHA256_BYTES];
	size_t size;
	int r;

	r = tuf_canonical(object, &bytes, &size);
	if (r < 0)
		return r;
	r = digest_sha256(bytes, size, sha256);
	if (r < 0)
		return r;
	hex_encode(sha256, sizeof sha256, ret_hex);
	return 0;
}
