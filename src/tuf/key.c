/* SPDX-License-Identifier: Apache-2.0 */
#include "tuf/key.h"

#include <openssl/bio.h>
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
	bool is_pss;
};

struct tuf_key {
	const struct key_type *type;
	EVP_PKEY *pkey;
};

static int load_ed25519(const char *public_text, EVP_PKEY **ret)
{
	uint8_t raw[ED25519_PUBLIC_BYTES];

	if (hex_decode(public_text, raw, sizeof raw) < 0)
		return -EBADMSG;
	*ret = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, sizeof raw);
	return *ret ? 0 : -EBADMSG;
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

static bool is_p256(const EVP_PKEY *pkey)
{
	char group[32];

	return EVP_PKEY_is_a(pkey, "EC") == 1 &&
	       EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

static bool is_rsa(const EVP_PKEY *pkey)
{
	return EVP_PKEY_is_a(pkey, "RSA") == 1 && EVP_PKEY_get_bits(pkey) >= RSA_MIN_BITS &&
	       EVP_PKEY_get_bits(pkey) <= RSA_MAX_BITS;
}

static int load_pem_checked(const char *public_text, bool (*is_right)(const EVP_PKEY *),
			    EVP_PKEY **ret)
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

static int load_rsa(const char *public_text, EVP_PKEY **ret)
{
	return load_pem_checked(public_text, is_rsa, ret);
}

static const struct key_type key_types[] = {
	{ "ed25519", "ed25519", load_ed25519, NULL, false },
	{ "ecdsa", "ecdsa-sha2-nistp256", load_p256, EVP_sha256, false },
	{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", load_p256, EVP_sha256, false },
	{ "rsa", "rsassa-pss-sha256", load_rsa, EVP_sha256, true },
};

static const struct key_type *find_type(const char *keytype, const char *scheme)
{
	for (size_t i = 0; i < ELEMENTSOF(key_types); i++)
		if (strcmp(key_types[i].keytype, keytype) == 0 &&
		    strcmp(key_types[i].scheme, scheme) == 0)
			return &key_types[i];
	return NULL;
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
	if (r < 0) {
		ERR_clear_error();
		return r;
	}
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
