/* SPDX-License-Identifier: Apache-2.0 */
#include "release/signer.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "common/digest.h"
#include "common/fsutil.h"
#include "common/json.h"
#include "release/passphrase.h"
#include "release/signer_token.h"
#include "tuf/key.h"

#define ED25519_PUBLIC_BYTES 32
#define RSA_BITS	     3072
#define PEM_MAX_BYTES	     (16u << 10)
#define FILE_NAME_BYTES	     (SIGNER_NAME_MAX_LENGTH + sizeof ".pub.pem")
#define ENCRYPTED_HEADER     "-----BEGIN ENCRYPTED PRIVATE KEY-----"
/* What OWASP advises for PBKDF2-HMAC-SHA256; libcrypto's default of 2048 dates from 2000. */
#define PBKDF2_ITERATIONS    600000

struct type {
	const char *name;
	const char *keytype, *scheme; /* in metadata */
	const char *algorithm;	      /* OpenSSL's name */
	const char *group;
	const EVP_MD *(*md)(void); /* NULL: the scheme hashes by itself */
};

static const struct type types[_SIGNER_TYPE_MAX] = {
	[SIGNER_ED25519] = { "ed25519", "ed25519", "ed25519", "ED25519", NULL, NULL },
	[SIGNER_ECDSA_P256] = { "ecdsa-p256", "ecdsa", "ecdsa-sha2-nistp256", "EC", "prime256v1",
				EVP_sha256 },
	[SIGNER_ECDSA_P384] = { "ecdsa-p384", "ecdsa", "ecdsa-sha2-nistp384", "EC", "secp384r1",
				EVP_sha384 },
	[SIGNER_RSA_PSS] = { "rsa", "rsa", "rsassa-pss-sha256", "RSA", NULL, EVP_sha256 },
};

struct signer {
	EVP_PKEY *key;
	enum signer_type type;
	bool in_token;
	cJSON *object;
	struct tuf_key *verifier;
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

/* A private key or a PIN as text, wiped when it goes out of scope. */
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

/* ---- names ---- */

int signer_type_from_name(const char *name)
{
	for (int i = 0; i < _SIGNER_TYPE_MAX; i++)
		if (strcmp(types[i].name, name) == 0)
			return i;
	return -EINVAL;
}

const char *signer_type_name(enum signer_type type)
{
	return types[type].name;
}

bool signer_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	return fs_is_safe_name(name) && length <= SIGNER_NAME_MAX_LENGTH &&
	       (length < 4 || strcmp(name + length - 4, ".pub") != 0);
}

static int file_name(const char *name, const char *ending, char ret[FILE_NAME_BYTES])
{
	if (!signer_name_is_valid(name))
		return -EINVAL;
	(void)snprintf(ret, FILE_NAME_BYTES, "%s%s", name, ending);
	return 0;
}

void signer_secrets_done(struct signer_secrets *secrets)
{
	secrets->passphrase = passphrase_free(secrets->passphrase);
	secrets->pin = passphrase_free(secrets->pin);
	free(TAKE_PTR(secrets->pin_token));
}

/* ---- the public half ---- */

static int find_type(const EVP_PKEY *key)
{
	char group[32] = "";

	if (EVP_PKEY_is_a(key, "EC") == 1 &&
	    EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1)
		return crypto_error(-ENOTSUP);
	for (int i = 0; i < _SIGNER_TYPE_MAX; i++)
		if (EVP_PKEY_is_a(key, types[i].algorithm) == 1 &&
		    (!types[i].group || strcmp(types[i].group, group) == 0))
			return i;
	return -ENOTSUP;
}

static int raw_public(EVP_PKEY *key, char **ret)
{
	uint8_t bytes[ED25519_PUBLIC_BYTES];
	size_t size = sizeof bytes;
	char *hex;

	if (EVP_PKEY_get_raw_public_key(key, bytes, &size) != 1 || size != sizeof bytes)
		return crypto_error(-EBADMSG);
	hex = malloc(2 * sizeof bytes + 1);
	if (!hex)
		return -ENOMEM;
	hex_encode(bytes, sizeof bytes, hex);
	*ret = hex;
	return 0;
}

static int pem_public(EVP_PKEY *key, char **ret)
{
	_cleanup_bio_ BIO *bio = BIO_new(BIO_s_mem());
	char *bytes = NULL;
	long size;

	if (!bio || PEM_write_bio_PUBKEY(bio, key) != 1)
		return crypto_error(-EIO);
	size = BIO_get_mem_data(bio, &bytes);
	*ret = size > 0 ? strndup(bytes, (size_t)size) : NULL;
	return *ret ? 0 : -ENOMEM;
}

static int key_object(EVP_PKEY *key, enum signer_type type, cJSON **ret)
{
	_cleanup_json_ cJSON *object = cJSON_CreateObject();
	_cleanup_free_ char *text = NULL;
	cJSON *value;
	int r;

	r = type == SIGNER_ED25519 ? raw_public(key, &text) : pem_public(key, &text);
	if (r < 0)
		return r;
	if (!cJSON_AddStringToObject(object, "keytype", types[type].keytype) ||
	    !cJSON_AddStringToObject(object, "scheme", types[type].scheme))
		return -ENOMEM;
	value = cJSON_AddObjectToObject(object, "keyval");
	if (!cJSON_AddStringToObject(value, "public", text))
		return -ENOMEM;
	*ret = TAKE_PTR(object);
	return 0;
}

int signer_load_public(int dirfd, const char *file, cJSON **ret_object)
{
	_cleanup_free_ char *pem = NULL;
	_cleanup_bio_ BIO *bio = NULL;
	_cleanup_(cleanup_pkey) EVP_PKEY *key = NULL;
	_cleanup_(tuf_key_freep) struct tuf_key *verifier = NULL;
	_cleanup_json_ cJSON *object = NULL;
	size_t size;
	int r, type;

	r = fs_read_file(dirfd, file, PEM_MAX_BYTES, &pem, &size);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(pem, (int)size);
	if (!bio)
		return crypto_error(-ENOMEM);
	key = PEM_read_bio_PUBKEY(bio, NULL, NULL, (void *)(uintptr_t) "");
	if (!key)
		return crypto_error(-EBADMSG);
	type = find_type(key);
	if (type < 0)
		return type;
	r = key_object(key, (enum signer_type)type, &object);
	/* What gateways would never count must not become a key of a role: an RSA key that is too
	 * short, say. */
	if (r == 0)
		r = tuf_key_parse(object, &verifier);
	if (r < 0)
		return r == -EBADMSG ? -ENOTSUP : r;
	*ret_object = TAKE_PTR(object);
	return 0;
}

/* ---- making and freeing ---- */

/* Takes key over, also on failure. */
static int signer_new(EVP_PKEY *key, bool in_token, struct signer **ret)
{
	_cleanup_(signer_freep) struct signer *s = calloc(1, sizeof *s);
	int r;

	if (!s) {
		EVP_PKEY_free(key);
		return -ENOMEM;
	}
	s->key = key;
	s->in_token = in_token;
	r = find_type(key);
	if (r < 0)
		return r;
	s->type = (enum signer_type)r;
	r = key_object(key, s->type, &s->object);
	if (r < 0)
		return r;
	/* What gateways would not verify is no key for us: an RSA key that is too short, say. */
	r = tuf_key_parse(s->object, &s->verifier);
	if (r < 0)
		return r == -EBADMSG ? -ENOTSUP : r;
	r = tuf_key_id(s->object, s->id);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

int signer_generate(enum signer_type type, struct signer **ret)
{
	EVP_PKEY *key = NULL;

	switch (type) {
	case SIGNER_ED25519: key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); break;
	case SIGNER_ECDSA_P256:
	case SIGNER_ECDSA_P384: key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", types[type].group); break;
	case SIGNER_RSA_PSS: key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS); break;
	case _SIGNER_TYPE_MAX: return -EINVAL;
	}
	return key ? signer_new(key, false, ret) : crypto_error(-EIO);
}

struct signer *signer_free(struct signer *s)
{
	if (!s)
		return NULL;
	EVP_PKEY_free(s->key);
	cJSON_Delete(s->object);
	tuf_key_free(s->verifier);
	free(s);
	return NULL;
}

enum signer_type signer_type(const struct signer *s)
{
	return s->type;
}

const cJSON *signer_public(const struct signer *s)
{
	return s->object;
}

const char *signer_id(const struct signer *s)
{
	return s->id;
}

/* ---- signing ---- */

static int start(const struct signer *s, EVP_MD_CTX *ctx)
{
	const struct type *type = &types[s->type];
	EVP_PKEY_CTX *key_ctx = NULL;

	if (EVP_DigestSignInit(ctx, &key_ctx, type->md ? type->md() : NULL, NULL, s->key) != 1)
		return crypto_error(-EIO);
	if (s->type == SIGNER_RSA_PSS &&
	    (EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING) != 1 ||
	     EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST) != 1))
		return crypto_error(-EIO);
	return 0;
}

int signer_sign(const struct signer *s, const void *bytes, size_t size, char **ret_hex)
{
	_cleanup_(cleanup_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t signature[SIGNER_SIGNATURE_MAX_BYTES];
	size_t signature_size = sizeof signature;
	char *hex;
	int r;

	if (!ctx)
		return crypto_error(-ENOMEM);
	r = start(s, ctx);
	if (r < 0)
		return r;
	if (EVP_DigestSign(ctx, signature, &signature_size, bytes, size) != 1)
		return crypto_error(-EIO);
	/* A token may hold another private key than the public one beside it. */
	r = tuf_key_verify(s->verifier, signature, signature_size, bytes, size);
	if (r < 0)
		return r;
	hex = malloc(2 * signature_size + 1);
	if (!hex)
		return -ENOMEM;
	hex_encode(signature, signature_size, hex);
	*ret_hex = hex;
	return 0;
}

/* ---- files ---- */

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
	char file[FILE_NAME_BYTES];
	int r;

	if (!bio)
		return crypto_error(-ENOMEM);
	if (s->in_token)
		return -ENOTSUP;
	r = file_name(name, ".pem", file);
	if (r < 0)
		return r;
	if (passphrase)
		r = write_encrypted(bio, s->key, passphrase);
	else if (PEM_write_bio_PKCS8PrivateKey(bio, s->key, NULL, NULL, 0, NULL, NULL) != 1)
		r = crypto_error(-EIO);
	return r < 0 ? r : write_bio(dirfd, file, bio, 0600);
}

int signer_save_public(const struct signer *s, int dirfd, const char *name)
{
	_cleanup_bio_ BIO *bio = BIO_new(BIO_s_mem());
	char file[FILE_NAME_BYTES];
	int r = file_name(name, ".pub.pem", file);

	if (r < 0)
		return r;
	if (!bio || PEM_write_bio_PUBKEY(bio, s->key) != 1)
		return crypto_error(-EIO);
	return write_bio(dirfd, file, bio, 0644);
}

static bool is_encrypted(const char *pem)
{
	return strstr(pem, ENCRYPTED_HEADER) != NULL;
}

static int exists(int dirfd, const char *file)
{
	return faccessat(dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
}

int signer_find(int dirfd, const char *name, enum signer_place *ret)
{
	_cleanup_(secret_done) struct secret pem = { 0 };
	char file[FILE_NAME_BYTES];
	int r = file_name(name, ".pem", file);

	if (r < 0)
		return r;
	r = fs_read_file(dirfd, file, PEM_MAX_BYTES, &pem.bytes, &pem.size);
	if (r == 0) {
		*ret = is_encrypted(pem.bytes) ? SIGNER_ENCRYPTED : SIGNER_PLAIN;
		return 0;
	}
	if (r != -ENOENT)
		return r;
	(void)file_name(name, ".uri", file);
	r = exists(dirfd, file);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = r == 0 ? SIGNER_TOKEN : SIGNER_ELSEWHERE;
	return 0;
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

static int decode_private(const struct secret *pem, char *passphrase, struct signer **ret)
{
	_cleanup_bio_ BIO *bio = BIO_new_mem_buf(pem->bytes, (int)pem->size);
	EVP_PKEY *key;

	if (!bio)
		return crypto_error(-ENOMEM);
	key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, passphrase);
	if (!key)
		return crypto_error(is_encrypted(pem->bytes) ? -EKEYREJECTED : -EBADMSG);
	return signer_new(key, false, ret);
}

static int describe_failure(int error, const char *file, struct problem *problem)
{
	switch (error) {
	case -EKEYREJECTED:
		return problem_set(problem, error, "'%s': wrong passphrase for this key", file);
	case -EBADMSG: return problem_set(problem, error, "'%s' is no private key in PEM", file);
	case -ENOTSUP:
		return problem_set(
			problem, error,
			"the key in '%s' is of a type that is not for signing metadata: "
			"Ed25519, ECDSA P-256, ECDSA P-384 and RSA of 2048 to 8192 bits are",
			file);
	default: return problem_set(problem, error, "cannot read '%s': %s", file, strerror(-error));
	}
}

static int ask_passphrase(const char *file, struct signer_secrets *secrets, struct problem *problem)
{
	_cleanup_free_ char *key = NULL;

	if (asprintf(&key, "the key '%s'", file) < 0)
		return problem_no_memory(problem);
	secrets->passphrase = passphrase_free(secrets->passphrase);
	return passphrase_read(secrets->passphrase_file, key, false, &secrets->passphrase, problem);
}

int signer_open_file(int dirfd, const char *file, struct signer_secrets *secrets,
		     struct signer **ret, struct problem *problem)
{
	_cleanup_(secret_done) struct secret pem = { 0 };
	bool was_asked;
	int r;

	r = fs_read_file(dirfd, file, PEM_MAX_BYTES, &pem.bytes, &pem.size);
	if (r < 0)
		return describe_failure(r, file, problem);
	was_asked = is_encrypted(pem.bytes) && !secrets->passphrase;
	r = was_asked ? ask_passphrase(file, secrets, problem) : 0;
	if (r < 0)
		return r;
	r = decode_private(&pem, secrets->passphrase, ret);
	/* That of the keys before it is not this one's. */
	if (r == -EKEYREJECTED && !was_asked && !secrets->passphrase_file) {
		r = ask_passphrase(file, secrets, problem);
		if (r < 0)
			return r;
		r = decode_private(&pem, secrets->passphrase, ret);
	}
	return r < 0 ? describe_failure(r, file, problem) : 0;
}

/* ---- tokens ---- */

static int open_token(const char *uri, bool allow_pin_value, struct signer_secrets *secrets,
		      struct signer **ret, struct problem *problem)
{
	EVP_PKEY *key;
	int r;

	r = signer_token_load(uri, allow_pin_value, secrets, &key, problem);
	if (r < 0)
		return r;
	r = signer_new(key, true, ret);
	if (r == -ENOTSUP)
		return problem_set(
			problem, r,
			"the key in the token is of a type that is not for signing "
			"metadata: ECDSA P-256, ECDSA P-384 and RSA of 2048 to 8192 bits "
			"are");
	return r < 0 ? problem_set(problem, r, "cannot use the key in the token: %s", strerror(-r))
		     : 0;
}

int signer_open_token(const char *uri, struct signer_secrets *secrets, struct signer **ret,
		      struct problem *problem)
{
	return open_token(uri, false, secrets, ret, problem);
}

static int open_uri_file(int dirfd, const char *file, struct signer_secrets *secrets,
			 struct signer **ret, struct problem *problem)
{
	_cleanup_(secret_done) struct secret uri = { 0 };
	int r = fs_read_file(dirfd, file, SIGNER_URI_MAX_LENGTH, &uri.bytes, &uri.size);

	if (r < 0)
		return describe_failure(r, file, problem);
	uri.bytes[strcspn(uri.bytes, "\r\n")] = 0;
	return open_token(uri.bytes, true, secrets, ret, problem);
}

int signer_open(int dirfd, const char *name, struct signer_secrets *secrets, struct signer **ret,
		struct problem *problem)
{
	char file[FILE_NAME_BYTES];

	if (file_name(name, ".pem", file) < 0)
		return problem_set(problem, -EINVAL, "'%s' is no name of a key", name);
	if (exists(dirfd, file) != -ENOENT)
		return signer_open_file(dirfd, file, secrets, ret, problem);
	(void)file_name(name, ".uri", file);
	if (exists(dirfd, file) != -ENOENT)
		return open_uri_file(dirfd, file, secrets, ret, problem);
	return problem_set(problem, -ENOENT, "neither '%s.pem' nor '%s.uri' is here", name, name);
}
