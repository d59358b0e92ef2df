/* SPDX-License-Identifier: Apache-2.0 */
#include "release/signer.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "tuf/key.h"

#define PUBLIC_BYTES	  32
#define PEM_MAX_BYTES	  (16u << 10)
#define ENCRYPTED_HEADER  "-----BEGIN ENCRYPTED PRIVATE KEY-----"
/* What OWASP advises for PBKDF2-HMAC-SHA256; libcrypto's default of 2048 dates from 2000. */
#define PBKDF2_ITERATIONS 600000

struct signer {
	EVP_PKEY *key;
	cJSON *object;
	char id[SHA256_HEX_LENGTH + 1];
};

DEFINE_CLEANUP(BIO *, BIO_free);
#define _cleanup_bio_ _cleanup_(BIO_freep)

static void cleanup_pkey(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void cleanup_key_info(PKCS8_PRIV_KEY_INFO **info)
{
	PKCS8_PRIV_KEY_INFO_free(*info);
}

static void cleanup_encrypted(X509_SIG **encrypted)
{
	X509_SIG_free(*encrypted);
}

static void cleanup_md_ctx(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
}

/* A private key as text, wiped when it goes out of scope. */
struct secret {
	char *bytes;
	size_t size;
};

static void secret_done(struct secret *s)
{
	if (s->bytes)
		OPENSSL_cleanse(s->bytes, s->size);
	free(s->bytes);
}

/* libcrypto keeps a queue of errors by thread; what is left there would be found by whoever looks
 * next (libcurl does). */
static int crypto_error(int error)
{
	ERR_clear_error();
	return error;
}

static int key_object(EVP_PKEY *key, cJSON **ret)
{
	uint8_t public_bytes[PUBLIC_BYTES];
	char hex[2 * PUBLIC_BYTES + 1];
	size_t size = sizeof public_bytes;
	_cleanup_json_ cJSON *object = NULL;
	cJSON *value;

	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)
		return -ENOTSUP;
	if (EVP_PKEY_get_raw_public_key(key, public_bytes, &size) != 1 || size != PUBLIC_BYTES)
		return crypto_error(-EBADMSG);
	hex_encode(public_bytes, sizeof public_bytes, hex);
	object = cJSON_CreateObject();
	if (!cJSON_AddStringToObject(object, "keytype", "ed25519") ||
	    !cJSON_AddStringToObject(object, "scheme", "ed25519"))
		return -ENOMEM;
	value = cJSON_AddObjectToObject(object, "keyval");
	if (!cJSON_AddStringToObject(value, "public", hex))
		return -ENOMEM;
	*ret = TAKE_PTR(object);
	return 0;
}

/* Takes key over, also on failure. */
static int signer_new(EVP_PKEY *key, struct signer **ret)
{
	_cleanup_(signer_freep) struct signer *s = calloc(1, sizeof *s);
	int r;

	if (!s) {
		EVP_PKEY_free(key);
		return -ENOMEM;
	}
	s->key = key;
	r = key_object(key, &s->object);
	if (r < 0)
		return r;
	r = tuf_key_id(s->object, s->id);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

int signer_generate(struct signer **ret)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	return key ? signer_new(key, ret) : crypto_error(-EIO);
}

struct signer *signer_free(struct signer *s)
{
	if (!s)
		return NULL;
	EVP_PKEY_free(s->key);
	cJSON_Delete(s->object);
	free(s);
	return NULL;
}

const cJSON *signer_public(const struct signer *s)
{
	return s->object;
}

const char *signer_id(const struct signer *s)
{
	return s->id;
}

int signer_sign(const struct signer *s, const void *bytes, size_t size,
		uint8_t ret[SIGNER_SIGNATURE_BYTES])
{
	_cleanup_(cleanup_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t signature[SIGNER_SIGNATURE_BYTES];
	size_t signature_size = sizeof signature;

	if (!ctx)
		return crypto_error(-ENOMEM);
	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->key) != 1 ||
	    EVP_DigestSign(ctx, signature, &signature_size, bytes, size) != 1 ||
	    signature_size != sizeof signature)
		return crypto_error(-EIO);
	memcpy(ret, signature, sizeof signature);
	return 0;
}

static int write_bio(int dirfd, const char *name, BIO *bio, mode_t mode)
{
	char *bytes = NULL;
	long size = BIO_get_mem_data(bio, &bytes);

	if (size <= 0)
		return -EIO;
	return fs_write_file_atomic(dirfd, name, bytes, (size_t)size, mode);
}

static int write_encrypted(BIO *bio, EVP_PKEY *key, const char *passphrase)
{
	_cleanup_(cleanup_key_info) PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	_cleanup_(cleanup_encrypted) X509_SIG *encrypted = NULL;

	if (!info)
		return crypto_error(-EIO);
	encrypted = PKCS8_encrypt(-1, EVP_aes_256_cbc(), passphrase, (int)strlen(passphrase), NULL,
				  0, PBKDF2_ITERATIONS, info);
	if (!encrypted || PEM_write_bio_PKCS8(bio, encrypted) != 1)
		return crypto_error(-EIO);
	return 0;
}

int signer_save(const struct signer *s, int dirfd, const char *name, const char *passphrase)
{
	/* Memory of this kind is wiped when it is freed. */
	_cleanup_bio_ BIO *bio = BIO_new(BIO_s_secmem());
	int r = 0;

	if (!bio)
		return crypto_error(-ENOMEM);
	if (passphrase)
		r = write_encrypted(bio, s->key, passphrase);
	else if (PEM_write_bio_PKCS8PrivateKey(bio, s->key, NULL, NULL, 0, NULL, NULL) != 1)
		r = crypto_error(-EIO);
	return r < 0 ? r : write_bio(dirfd, name, bio, 0600);
}

/* pem_password_cb: without a passphrase it fails instead of asking at the terminal. */
static int give_passphrase(char *buffer, int size, int rwflag, void *passphrase)
{
	size_t length = passphrase ? strlen(passphrase) : 0;

	(void)rwflag;
	if (length == 0 || size < 0 || length > (size_t)size)
		return -1;
	memcpy(buffer, passphrase, length);
	return (int)length;
}

static bool is_encrypted(const char *pem)
{
	return strstr(pem, ENCRYPTED_HEADER) != NULL;
}

int signer_load(int dirfd, const char *name, const char *passphrase, struct signer **ret)
{
	_cleanup_(secret_done) struct secret pem = { 0 };
	_cleanup_free_ char *copy = passphrase ? strdup(passphrase) : NULL;
	_cleanup_bio_ BIO *bio = NULL;
	EVP_PKEY *key;
	bool encrypted;
	int r;

	r = fs_read_file(dirfd, name, PEM_MAX_BYTES, &pem.bytes, &pem.size);
	if (r < 0)
		return r;
	encrypted = is_encrypted(pem.bytes);
	if (encrypted && !passphrase)
		return -ENOKEY;
	bio = BIO_new_mem_buf(pem.bytes, (int)pem.size);
	if (!bio || (passphrase && !copy))
		return crypto_error(-ENOMEM);
	key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, copy);
	if (copy)
		OPENSSL_cleanse(copy, strlen(copy));
	if (!key)
		return crypto_error(encrypted ? -EKEYREJECTED : -EBADMSG);
	return signer_new(key, ret);
}

int signer_is_encrypted(int dirfd, const char *name, bool *ret)
{
	_cleanup_(secret_done) struct secret pem = { 0 };
	int r = fs_read_file(dirfd, name, PEM_MAX_BYTES, &pem.bytes, &pem.size);

	if (r < 0)
		return r;
	*ret = is_encrypted(pem.bytes);
	return 0;
}

int signer_save_public(const struct signer *s, int dirfd, const char *name)
{
	_cleanup_bio_ BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || PEM_write_bio_PUBKEY(bio, s->key) != 1)
		return crypto_error(-EIO);
	return write_bio(dirfd, name, bio, 0644);
}

int signer_load_public(int dirfd, const char *name, cJSON **ret_object)
{
	_cleanup_free_ char *pem = NULL;
	_cleanup_bio_ BIO *bio = NULL;
	_cleanup_(cleanup_pkey) EVP_PKEY *key = NULL;
	size_t size;
	int r;

	r = fs_read_file(dirfd, name, PEM_MAX_BYTES, &pem, &size);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(pem, (int)size);
	if (!bio)
		return crypto_error(-ENOMEM);
	key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	return key ? key_object(key, ret_object) : crypto_error(-EBADMSG);
}
