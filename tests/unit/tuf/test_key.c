/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ui.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "tuf/key.h"

static const char message[] = "what is signed";

/* ---- every type of key ---- */

enum padding { NO_PADDING, PSS, PKCS1 };

struct kind {
	const char *keytype, *scheme;
	const char *algorithm; /* as OpenSSL calls it */
	const char *curve;
	const char *digest;
	enum padding padding;
	unsigned bits; /* of RSA */
};

static const struct kind ed25519 = { "ed25519", "ed25519", "ED25519", NULL, NULL, NO_PADDING, 0 };
static const struct kind p256 = {
	"ecdsa", "ecdsa-sha2-nistp256", "EC", "P-256", "SHA256", NO_PADDING, 0
};
static const struct kind p256_old = {
	"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "EC", "P-256", "SHA256", NO_PADDING, 0
};
static const struct kind p384 = {
	"ecdsa", "ecdsa-sha2-nistp384", "EC", "P-384", "SHA384", NO_PADDING, 0
};
static const struct kind p384_old = {
	"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "EC", "P-384", "SHA384", NO_PADDING, 0
};
static const struct kind rsa_pss = { "rsa", "rsassa-pss-sha256", "RSA", NULL, "SHA256", PSS, 2048 };
static const struct kind rsa_pss_3072 = { "rsa", "rsassa-pss-sha256", "RSA", NULL, "SHA256", PSS,
					  3072 };
static const struct kind rsa_pkcs1 = { "rsa", "rsa-pkcs1v15-sha256", "RSA", NULL, "SHA256", PKCS1,
				       2048 };
static const struct kind *const kinds[] = { &ed25519,  &p256,	 &p256_old,	&p384,
					    &p384_old, &rsa_pss, &rsa_pss_3072, &rsa_pkcs1 };

static EVP_PKEY *generate_new(const struct kind *kind)
{
	if (kind->curve)
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind->curve);
	if (kind->bits)
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)kind->bits);
	return EVP_PKEY_Q_keygen(NULL, NULL, kind->algorithm);
}

/* Two of each kind and no more, since keys of RSA take long to make: the one and the other in turn. */
static struct {
	const struct kind *kind;
	EVP_PKEY *pkeys[2];
	unsigned next;
} made[24];

static EVP_PKEY *generate(const struct kind *kind)
{
	EVP_PKEY **pkey;
	size_t i = 0;

	while (made[i].kind && made[i].kind != kind)
		i++;
	assert_true(i < ELEMENTSOF(made) - 1);
	made[i].kind = kind;
	pkey = &made[i].pkeys[made[i].next++ % 2];
	if (!*pkey)
		*pkey = generate_new(kind);
	assert_non_null(*pkey);
	assert_int_equal(EVP_PKEY_up_ref(*pkey), 1);
	return *pkey;
}

static int free_made(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(made); i++)
		for (size_t j = 0; j < 2; j++)
			EVP_PKEY_free(made[i].pkeys[j]);
	return 0;
}

static cJSON *key_object(const struct kind *kind, const char *public_text)
{
	cJSON *object = cJSON_CreateObject();

	cJSON_AddStringToObject(object, "keytype", kind->keytype);
	cJSON_AddStringToObject(object, "scheme", kind->scheme);
	cJSON_AddStringToObject(cJSON_AddObjectToObject(object, "keyval"), "public", public_text);
	return object;
}

static int parse_text(const struct kind *kind, const char *public_text, struct tuf_key **ret)
{
	_cleanup_json_ cJSON *object = key_object(kind, public_text);

	return tuf_key_parse(object, ret);
}

static char *take_bio(BIO *bio)
{
	char *data, *text;
	long size = BIO_get_mem_data(bio, &data);

	text = strndup(data, (size_t)size);
	assert_non_null(text);
	BIO_free(bio);
	return text;
}

static char *public_pem(EVP_PKEY *pkey)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
	return take_bio(bio);
}

static char *public_text(EVP_PKEY *pkey)
{
	uint8_t raw[32];
	size_t size = sizeof raw;
	char *text;

	if (!EVP_PKEY_is_a(pkey, "ED25519"))
		return public_pem(pkey);
	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, raw, &size), 1);
	text = malloc(2 * sizeof raw + 1);
	assert_non_null(text);
	hex_encode(raw, sizeof raw, text);
	return text;
}

static struct tuf_key *parse(const struct kind *kind, EVP_PKEY *pkey)
{
	_cleanup_free_ char *text = public_text(pkey);
	struct tuf_key *key = NULL;

	assert_int_equal(parse_text(kind, text, &key), 0);
	return key;
}

/* ---- signatures ---- */

struct signing {
	const char *digest;
	enum padding padding;
	int salt_bytes; /* PSS; or one of RSA_PSS_SALTLEN_… */
	const char *mask_digest;
};

struct signature {
	uint8_t bytes[1100];
	size_t size;
};

static void sign_as(EVP_PKEY *pkey, const struct signing *s, struct signature *ret)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey_ctx = NULL;

	assert_int_equal(EVP_DigestSignInit_ex(ctx, &pkey_ctx, s->digest, NULL, NULL, pkey, NULL),
			 1);
	if (s->padding == PSS) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, s->salt_bytes), 1);
		if (s->mask_digest)
			assert_int_equal(
				EVP_PKEY_CTX_set_rsa_mgf1_md_name(pkey_ctx, s->mask_digest, NULL),
				1);
	}
	ret->size = sizeof ret->bytes;
	assert_int_equal(EVP_DigestSign(ctx, ret->bytes, &ret->size, (const uint8_t *)message,
					sizeof message),
			 1);
	EVP_MD_CTX_free(ctx);
}

static void sign(EVP_PKEY *pkey, const struct kind *kind, struct signature *ret)
{
	const struct signing s = { kind->digest, kind->padding, RSA_PSS_SALTLEN_DIGEST, NULL };

	sign_as(pkey, &s, ret);
}

/* Exactly as long as it is: reading past its end is seen by AddressSanitizer. */
static int verify(const struct tuf_key *key, const uint8_t *signature, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	int r;

	assert_non_null(copy);
	if (size > 0)
		memcpy(copy, signature, size);
	r = tuf_key_verify(key, copy, size, message, sizeof message);
	free(copy);
	return r;
}

static void expect_rejected(const struct tuf_key *key, const uint8_t *signature, size_t size)
{
	assert_int_equal(verify(key, signature, size), -EKEYREJECTED);
}

static void expect_accepted(const struct tuf_key *key, const struct signature *s)
{
	assert_int_equal(verify(key, s->bytes, s->size), 0);
}

/* ---- right, wrong, junk ---- */

static void check_change(const struct tuf_key *key, struct signature *s, size_t at, unsigned change)
{
	s->bytes[at] ^= (uint8_t)change;
	expect_rejected(key, s->bytes, s->size);
	s->bytes[at] ^= (uint8_t)change;
}

/* DER and PSS may hold bits whose change is no change only in theory: every one must matter. */
static void check_every_bit_matters(const struct tuf_key *key, struct signature s)
{
	for (size_t i = 0; i < s.size; i++) {
		for (unsigned bit = 0; bit < 8; bit++)
			check_change(key, &s, i, 1u << bit);
		check_change(key, &s, i, 0xff);
	}
}

static void check_truncated(const struct tuf_key *key, const struct signature *s)
{
	for (size_t size = 0; size < s->size; size++)
		expect_rejected(key, s->bytes, size);
	for (size_t from = 1; from < s->size; from++)
		expect_rejected(key, s->bytes + from, s->size - from);
}

static void check_extended(const struct tuf_key *key, const struct signature *s)
{
	struct signature longer = { .size = s->size };

	for (unsigned fill = 0; fill < 256; fill += 51) {
		memset(longer.bytes, (int)fill, sizeof longer.bytes);
		memcpy(longer.bytes, s->bytes, s->size);
		for (size_t more = 1; more <= 16; more++)
			expect_rejected(key, longer.bytes, s->size + more);
		expect_rejected(key, longer.bytes, 2 * s->size);
		memset(longer.bytes, (int)fill, sizeof longer.bytes);
		memcpy(longer.bytes + 1, s->bytes, s->size);
		expect_rejected(key, longer.bytes, s->size + 1);
	}
}

static void check_junk(const struct tuf_key *key, size_t right_size)
{
	static const size_t sizes[] = { 1, 2, 8, 63, 64, 65, 70, 71, 72, 104, 256, 384, 1024 };
	uint8_t junk[1024];

	for (unsigned fill = 0; fill < 256; fill++) {
		memset(junk, (int)fill, sizeof junk);
		expect_rejected(key, junk, right_size);
		if (fill % 85 == 0) /* 00, 55, aa, ff */
			for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
				expect_rejected(key, junk, sizes[i]);
	}
	expect_rejected(key, junk, 0);
	assert_int_equal(tuf_key_verify(key, NULL, 0, message, sizeof message), -EKEYREJECTED);
}

static void check_other_messages(const struct tuf_key *key, const struct signature *s)
{
	char changed[sizeof message];

	for (size_t i = 0; i < sizeof message; i++) {
		memcpy(changed, message, sizeof message);
		changed[i] ^= 1;
		assert_int_equal(tuf_key_verify(key, s->bytes, s->size, changed, sizeof changed),
				 -EKEYREJECTED);
		assert_int_equal(tuf_key_verify(key, s->bytes, s->size, message, i), -EKEYREJECTED);
	}
}

static void check_kind(const struct kind *kind)
{
	EVP_PKEY *pkey = generate(kind), *other = generate(kind);
	_cleanup_(tuf_key_freep) struct tuf_key *key = parse(kind, pkey),
						*wrong = parse(kind, other);
	struct signature s, foreign;

	sign(pkey, kind, &s);
	sign(other, kind, &foreign);
	expect_accepted(key, &s);
	expect_accepted(wrong, &foreign);
	expect_rejected(key, foreign.bytes, foreign.size);
	expect_rejected(wrong, s.bytes, s.size);
	check_every_bit_matters(key, s);
	check_truncated(key, &s);
	check_extended(key, &s);
	check_junk(key, s.size);
	check_other_messages(key, &s);
	expect_accepted(key, &s); /* none of it left anything behind */
	EVP_PKEY_free(pkey);
	EVP_PKEY_free(other);
}

static void test_ed25519(void **state)
{
	(void)state;
	check_kind(&ed25519);
}

static void test_p256(void **state)
{
	(void)state;
	check_kind(&p256);
}

static void test_p256_by_its_old_name(void **state)
{
	(void)state;
	check_kind(&p256_old);
}

static void test_p384(void **state)
{
	(void)state;
	check_kind(&p384);
}

static void test_rsa_pss(void **state)
{
	(void)state;
	check_kind(&rsa_pss);
}

/* One signature in 256 begins with a zero, which is part of it. */
static void test_rsa_pss_that_begins_with_zero(void **state)
{
	EVP_PKEY *pkey = generate(&rsa_pss);
	_cleanup_(tuf_key_freep) struct tuf_key *key = parse(&rsa_pss, pkey);
	struct signature s;

	(void)state;
	do
		sign(pkey, &rsa_pss, &s);
	while (s.bytes[0] != 0);
	expect_accepted(key, &s);
	expect_rejected(key, s.bytes + 1, s.size - 1);
	EVP_PKEY_free(pkey);
}

static void test_rsa_pss_of_3072_bits(void **state)
{
	(void)state;
	check_kind(&rsa_pss_3072);
}

static void test_rsa_pkcs1(void **state)
{
	(void)state;
	check_kind(&rsa_pkcs1);
}

/* A signature that some key of another type made: never taken for one of this type. */
static void test_signatures_of_other_types(void **state)
{
	struct signature signatures[ELEMENTSOF(kinds)];
	struct tuf_key *keys[ELEMENTSOF(kinds)];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		EVP_PKEY *pkey = generate(kinds[i]);

		keys[i] = parse(kinds[i], pkey);
		sign(pkey, kinds[i], &signatures[i]);
		EVP_PKEY_free(pkey);
	}
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		for (size_t j = 0; j < ELEMENTSOF(kinds); j++)
			assert_int_equal(verify(keys[i], signatures[j].bytes, signatures[j].size),
					 i == j ? 0 : -EKEYREJECTED);
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		(void)tuf_key_free(keys[i]);
}

/* RFC 8032, 7.1, test 2. */
static void test_ed25519_vector(void **state)
{
	static const char hex[] =
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
		"085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
	_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
	uint8_t signature[64];

	(void)state;
	assert_int_equal(
		parse_text(&ed25519,
			   "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
			   &key),
		0);
	assert_int_equal(hex_decode(hex, signature, sizeof signature), 0);
	assert_int_equal(tuf_key_verify(key, signature, sizeof signature, "\x72", 1), 0);
	assert_int_equal(tuf_key_verify(key, signature, sizeof signature, "\x73", 1),
			 -EKEYREJECTED);
}

/* ---- only 1 is a yes ---- */

int __real_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sigret, size_t siglen,
			    const unsigned char *tbs, size_t tbslen);
int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sigret, size_t siglen,
			    const unsigned char *tbs, size_t tbslen);
int __real_EVP_DigestVerifyInit(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type, ENGINE *e,
				EVP_PKEY *pkey);
int __wrap_EVP_DigestVerifyInit(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type, ENGINE *e,
				EVP_PKEY *pkey);
EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
int __real_EVP_PKEY_eq(const EVP_PKEY *a, const EVP_PKEY *b);
int __wrap_EVP_PKEY_eq(const EVP_PKEY *a, const EVP_PKEY *b);

/* What the function of that name is to answer next; REAL: its own answer. */
#define REAL 4711
static int verify_answer = REAL, init_answer = REAL, eq_answer = REAL;
static bool is_out_of_contexts;

int __wrap_EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sigret, size_t siglen,
			    const unsigned char *tbs, size_t tbslen)
{
	return verify_answer == REAL ? __real_EVP_DigestVerify(ctx, sigret, siglen, tbs, tbslen)
				     : verify_answer;
}

int __wrap_EVP_DigestVerifyInit(EVP_MD_CTX *ctx, EVP_PKEY_CTX **pctx, const EVP_MD *type, ENGINE *e,
				EVP_PKEY *pkey)
{
	return init_answer == REAL ? __real_EVP_DigestVerifyInit(ctx, pctx, type, e, pkey)
				   : init_answer;
}

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
	return is_out_of_contexts ? NULL : __real_EVP_MD_CTX_new();
}

int __wrap_EVP_PKEY_eq(const EVP_PKEY *a, const EVP_PKEY *b)
{
	return eq_answer == REAL ? __real_EVP_PKEY_eq(a, b) : eq_answer;
}

static const int no_answers[] = { 0, -1, -2, 2, 256, INT32_MAX, INT32_MIN };

static void check_only_one_is_yes(const struct kind *kind)
{
	EVP_PKEY *pkey = generate(kind);
	_cleanup_(tuf_key_freep) struct tuf_key *key = parse(kind, pkey);
	struct signature s;

	sign(pkey, kind, &s);
	for (size_t i = 0; i < ELEMENTSOF(no_answers); i++) {
		verify_answer = no_answers[i];
		expect_rejected(key, s.bytes, s.size);
		verify_answer = REAL;
		init_answer = no_answers[i];
		expect_rejected(key, s.bytes, s.size);
		init_answer = REAL;
		expect_accepted(key, &s);
	}
	/* The wrapped function is the one that decides: else the above shows nothing. */
	verify_answer = 1;
	memset(s.bytes, 'n', s.size);
	expect_accepted(key, &s);
	verify_answer = REAL;
	is_out_of_contexts = true;
	expect_rejected(key, s.bytes, s.size);
	is_out_of_contexts = false;
	EVP_PKEY_free(pkey);
}

static void test_only_one_is_yes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		check_only_one_is_yes(kinds[i]);
}

static void test_only_one_is_equal(void **state)
{
	EVP_PKEY *pkey = generate(&ed25519);
	_cleanup_(tuf_key_freep) struct tuf_key *a = parse(&ed25519, pkey);
	_cleanup_(tuf_key_freep) struct tuf_key *b = parse(&ed25519, pkey);

	(void)state;
	assert_true(tuf_key_equal(a, b));
	for (size_t i = 0; i < ELEMENTSOF(no_answers); i++) {
		eq_answer = no_answers[i];
		assert_false(tuf_key_equal(a, b));
	}
	eq_answer = REAL;
	EVP_PKEY_free(pkey);
}

/* ---- ECDSA: one way to write a signature ---- */

struct der {
	uint8_t bytes[4096];
	size_t size;
};

static void put(struct der *d, const void *bytes, size_t size)
{
	assert_true(d->size + size <= sizeof d->bytes);
	memcpy(d->bytes + d->size, bytes, size);
	d->size += size;
}

static void put_byte(struct der *d, unsigned byte)
{
	const uint8_t b = (uint8_t)byte;

	put(d, &b, 1);
}

static void put_value(struct der *d, unsigned tag, const void *bytes, size_t size)
{
	put_byte(d, tag);
	if (size >= 0x100) {
		put_byte(d, 0x82);
		put_byte(d, (unsigned)(size >> 8));
	} else if (size >= 0x80) {
		put_byte(d, 0x81);
	}
	put_byte(d, (unsigned)size & 0xff);
	put(d, bytes, size);
}

static void put_der(struct der *d, unsigned tag, const struct der *value)
{
	put_value(d, tag, value->bytes, value->size);
}

#define DER_INTEGER    0x02
#define DER_BIT_STRING 0x03
#define DER_NULL       0x05
#define DER_SEQUENCE   0x30

static void put_integer(struct der *d, const BIGNUM *n)
{
	uint8_t bytes[2100] = { 0 };
	size_t size = (size_t)BN_num_bytes(n);

	assert_true(size < sizeof bytes);
	(void)BN_bn2bin(n, bytes + 1);
	if (size == 0)
		put_value(d, DER_INTEGER, "", 1);
	else if (bytes[1] & 0x80)
		put_value(d, DER_INTEGER, bytes, size + 1);
	else
		put_value(d, DER_INTEGER, bytes + 1, size);
}

static struct der ecdsa_der(const BIGNUM *r, const BIGNUM *s)
{
	struct der value = { .size = 0 }, ret = { .size = 0 };

	put_integer(&value, r);
	put_integer(&value, s);
	put_der(&ret, DER_SEQUENCE, &value);
	return ret;
}

/* What is left of DER after the sequence's head: short form only, so a signature of P-256. */
static void split(const struct signature *s, BIGNUM *ret_r, BIGNUM *ret_s)
{
	const uint8_t *r = s->bytes + 2, *second = r + 2 + r[1];

	assert_int_equal(s->bytes[0], DER_SEQUENCE);
	assert_int_equal(s->bytes[1], s->size - 2);
	assert_non_null(BN_bin2bn(r + 2, r[1], ret_r));
	assert_non_null(BN_bin2bn(second + 2, second[1], ret_s));
}

struct ecdsa {
	EVP_PKEY *pkey;
	struct tuf_key *key;
	struct signature signature;
	BIGNUM *r, *s, *n;
};

static int setup_ecdsa(void **state)
{
	static struct ecdsa e;

	e.pkey = generate(&p256);
	e.key = parse(&p256, e.pkey);
	e.r = BN_new();
	e.s = BN_new();
	e.n = NULL;
	/* Both short, so that a byte more is sure to be one that need not be there. */
	do {
		sign(e.pkey, &p256, &e.signature);
		split(&e.signature, e.r, e.s);
	} while (BN_num_bits(e.r) % 8 == 0 || BN_num_bits(e.s) % 8 == 0);
	assert_int_equal(EVP_PKEY_get_bn_param(e.pkey, OSSL_PKEY_PARAM_EC_ORDER, &e.n), 1);
	*state = &e;
	return 0;
}

static int teardown_ecdsa(void **state)
{
	struct ecdsa *e = *state;

	(void)tuf_key_free(e->key);
	EVP_PKEY_free(e->pkey);
	BN_free(e->r);
	BN_free(e->s);
	BN_free(e->n);
	return 0;
}

static void expect_pair(const struct ecdsa *e, const BIGNUM *r, const BIGNUM *s, int result)
{
	const struct der d = ecdsa_der(r, s);

	assert_int_equal(verify(e->key, d.bytes, d.size), result);
}

static void test_ecdsa_numbers(void **state)
{
	const struct ecdsa *e = *state;
	BIGNUM *zero = BN_new(), *one = BN_new(), *x = BN_new(), *y = BN_new();

	BN_zero(zero);
	assert_int_equal(BN_one(one), 1);
	expect_pair(e, e->r, e->s, 0); /* the encoder is right */
	expect_pair(e, e->s, e->r, -EKEYREJECTED);
	expect_pair(e, zero, e->s, -EKEYREJECTED);
	expect_pair(e, e->r, zero, -EKEYREJECTED);
	expect_pair(e, zero, zero, -EKEYREJECTED);
	expect_pair(e, one, one, -EKEYREJECTED);
	expect_pair(e, e->n, e->s, -EKEYREJECTED);
	expect_pair(e, e->r, e->n, -EKEYREJECTED);
	expect_pair(e, e->n, e->n, -EKEYREJECTED);
	expect_pair(e, zero, e->n, -EKEYREJECTED);
	/* Equal modulo n, and out of range. */
	assert_int_equal(BN_add(x, e->r, e->n), 1);
	assert_int_equal(BN_add(y, e->s, e->n), 1);
	expect_pair(e, x, e->s, -EKEYREJECTED);
	expect_pair(e, e->r, y, -EKEYREJECTED);
	assert_int_equal(BN_lshift(x, e->n, 4096), 1);
	expect_pair(e, x, e->s, -EKEYREJECTED);
	BN_free(zero);
	BN_free(one);
	BN_free(x);
	BN_free(y);
}

/* The one other form of a signature that whoever sees it can make: s and n - s sign the same bytes,
 * by definition of ECDSA. It gives nobody anything, since no id or hash is made of a signature. */
static void test_ecdsa_mirrored(void **state)
{
	const struct ecdsa *e = *state;
	BIGNUM *mirrored = BN_new();

	assert_int_equal(BN_sub(mirrored, e->n, e->s), 1);
	expect_pair(e, e->r, mirrored, 0);
	BN_free(mirrored);
}

static void expect_der_rejected(const struct ecdsa *e, const struct der *value)
{
	struct der d = { .size = 0 };

	put_der(&d, DER_SEQUENCE, value);
	expect_rejected(e->key, d.bytes, d.size);
}

/* r and s behind zeros that are not needed, one or both. */
static void test_ecdsa_not_minimal(void **state)
{
	const struct ecdsa *e = *state;

	for (unsigned which = 1; which <= 3; which++)
		for (size_t zeros = 1; zeros <= 3; zeros++) {
			uint8_t r[40] = { 0 }, s[40] = { 0 };
			size_t r_zeros = which & 1 ? zeros : 0, s_zeros = which & 2 ? zeros : 0;
			size_t r_size = r_zeros + (size_t)BN_bn2bin(e->r, r + r_zeros);
			size_t s_size = s_zeros + (size_t)BN_bn2bin(e->s, s + s_zeros);
			struct der value = { .size = 0 };

			put_value(&value, DER_INTEGER, r, r_size);
			put_value(&value, DER_INTEGER, s, s_size);
			expect_der_rejected(e, &value);
		}
}

static void test_ecdsa_negative(void **state)
{
	const struct ecdsa *e = *state;
	uint8_t r[40] = { 0 }, s[40] = { 0 };
	size_t r_size = (size_t)BN_bn2bin(e->r, r), s_size = (size_t)BN_bn2bin(e->s, s);
	struct der value = { .size = 0 };

	r[0] |= 0x80;
	put_value(&value, DER_INTEGER, r, r_size);
	put_value(&value, DER_INTEGER, s, s_size);
	expect_der_rejected(e, &value);
	r[0] &= 0x7f;
	s[0] |= 0x80;
	value.size = 0;
	put_value(&value, DER_INTEGER, r, r_size);
	put_value(&value, DER_INTEGER, s, s_size);
	expect_der_rejected(e, &value);

	/* Minus r in two's complement. */
	s[0] &= 0x7f;
	for (size_t i = 0; i < r_size; i++)
		r[i] = (uint8_t)~r[i];
	r[r_size - 1]++; /* no carry unless the last byte is 0 */
	value.size = 0;
	put_value(&value, DER_INTEGER, r, r_size);
	put_value(&value, DER_INTEGER, s, s_size);
	expect_der_rejected(e, &value);
}

static void test_ecdsa_other_der(void **state)
{
	const struct ecdsa *e = *state;
	const struct signature *s = &e->signature;
	const uint8_t *value = s->bytes + 2;
	const size_t size = s->size - 2;
	struct der d = { .size = 0 };

	/* More in the sequence than two numbers; then only one; then none. */
	put(&d, value, size);
	put_value(&d, DER_NULL, "", 0);
	expect_der_rejected(e, &d);
	d.size = 0;
	put(&d, value, size);
	put_byte(&d, 0);
	expect_der_rejected(e, &d);
	d.size = 2 + value[1];
	expect_der_rejected(e, &d);
	d.size = 0;
	expect_der_rejected(e, &d);

	/* The length in its long form; of indefinite length; one in another; a set. */
	put_byte(&d, DER_SEQUENCE);
	put_byte(&d, 0x81);
	put_byte(&d, (unsigned)size);
	put(&d, value, size);
	expect_rejected(e->key, d.bytes, d.size);
	d.size = 0;
	put_byte(&d, DER_SEQUENCE);
	put_byte(&d, 0x80);
	put(&d, value, size);
	put(&d, "\0\0", 2);
	expect_rejected(e->key, d.bytes, d.size);
	d.size = 0;
	put(&d, s->bytes, s->size);
	expect_der_rejected(e, &d);
	d.bytes[0] = 0x31;
	expect_rejected(e->key, d.bytes, d.size);

	/* The raw form, r and s of 32 bytes each. */
	d.size = 64;
	assert_int_equal(BN_bn2binpad(e->r, d.bytes, 32), 32);
	assert_int_equal(BN_bn2binpad(e->s, d.bytes + 32, 32), 32);
	expect_rejected(e->key, d.bytes, d.size);
}

/* ---- Ed25519 at its borders ---- */

/* 2^252 + 27742317777372353535851937790883648493 and 2^255 - 19, little endian. */
static const uint8_t ed25519_order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
					   0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
					   0,	 0,    0,    0,	   0,	 0,    0,    0,
					   0,	 0,    0,    0,	   0,	 0,    0,    0x10 };

static unsigned add_little_endian(uint8_t *sum, const uint8_t *summand)
{
	unsigned carry = 0;

	for (size_t i = 0; i < 32; i++) {
		carry += (unsigned)sum[i] + summand[i];
		sum[i] = (uint8_t)carry;
		carry >>= 8;
	}
	return carry;
}

/* s and s + L would both pass a verifier that does not look (RFC 8032, 5.1.7). */
static void test_ed25519_s_out_of_range(void **state)
{
	EVP_PKEY *pkey = generate(&ed25519);
	_cleanup_(tuf_key_freep) struct tuf_key *key = parse(&ed25519, pkey);
	struct signature s;
	unsigned n = 0;

	(void)state;
	sign(pkey, &ed25519, &s);
	expect_accepted(key, &s);
	while (add_little_endian(s.bytes + 32, ed25519_order) == 0) {
		expect_rejected(key, s.bytes, s.size);
		n++;
	}
	assert_true(n >= 14);
	memcpy(s.bytes + 32, ed25519_order, 32);
	expect_rejected(key, s.bytes, s.size);
	memset(s.bytes + 32, 0, 32);
	expect_rejected(key, s.bytes, s.size);
	EVP_PKEY_free(pkey);
}

/* Points whose multiples are eight at most: under such a key, signatures can be made by anybody (for
 * the neutral element, R = 01 00… and s = 0 would sign every message). All their encodings, those
 * with the sign bit set and those that are not reduced included. */
static const char *const small_points[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
};

static void expect_malformed(const struct kind *kind, const char *text)
{
	struct tuf_key *key = NULL;
	int r = parse_text(kind, text, &key);

	if (r != -EBADMSG || key)
		fail_msg("%s key of %zu bytes: %d:\n%.2000s", kind->scheme, strlen(text), r, text);
}

static void test_ed25519_small_points(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(small_points); i++)
		expect_malformed(&ed25519, small_points[i]);
}

/* Two encodings of one point would be two keys for a threshold. */
static void test_ed25519_not_reduced(void **state)
{
	uint8_t raw[32];
	char hex[65];

	(void)state;
	for (unsigned low = 0xed; low <= 0xff; low++)
		for (unsigned sign_bit = 0; sign_bit <= 0x80; sign_bit += 0x80) {
			memset(raw, 0xff, sizeof raw);
			raw[0] = (uint8_t)low;
			raw[31] = (uint8_t)(0x7f | sign_bit);
			hex_encode(raw, sizeof raw, hex);
			expect_malformed(&ed25519, hex);
		}
}

/* Signatures whose R is of small order, under an honest key. */
static void test_ed25519_small_r(void **state)
{
	EVP_PKEY *pkey = generate(&ed25519);
	_cleanup_(tuf_key_freep) struct tuf_key *key = parse(&ed25519, pkey);
	struct signature s;

	(void)state;
	sign(pkey, &ed25519, &s);
	for (size_t i = 0; i < ELEMENTSOF(small_points); i++) {
		assert_int_equal(hex_decode(small_points[i], s.bytes, 32), 0);
		expect_rejected(key, s.bytes, s.size);
		for (size_t j = 0; j < ELEMENTSOF(small_points); j++) {
			uint8_t small[64];

			memcpy(small, s.bytes, 32);
			assert_int_equal(hex_decode(small_points[j], small + 32, 32), 0);
			expect_rejected(key, small, sizeof small);
		}
	}
	EVP_PKEY_free(pkey);
}

/* ---- RSA: padding ---- */

static void expect_signing(const struct kind *kind, EVP_PKEY *pkey, const struct signing *s,
			   int result)
{
	_cleanup_(tuf_key_freep) struct tuf_key *key = parse(kind, pkey);
	struct signature signature;

	sign_as(pkey, s, &signature);
	assert_int_equal(verify(key, signature.bytes, signature.size), result);
}

/* The salt's length is not part of the scheme's name: securesystemslib has signed with the digest's
 * length and with the longest, and reads any. The hashes are. */
static void test_rsa_pss_parameters(void **state)
{
	EVP_PKEY *pkey = generate(&rsa_pss);
	static const struct {
		struct signing signing;
		int result;
	} cases[] = {
		{ { "SHA256", PSS, 0, NULL }, 0 },
		{ { "SHA256", PSS, 20, NULL }, 0 },
		{ { "SHA256", PSS, 32, NULL }, 0 },
		{ { "SHA256", PSS, 64, NULL }, 0 },
		{ { "SHA256", PSS, RSA_PSS_SALTLEN_MAX, NULL }, 0 },
		{ { "SHA1", PSS, 20, NULL }, -EKEYREJECTED },
		{ { "SHA224", PSS, 32, NULL }, -EKEYREJECTED },
		{ { "SHA384", PSS, 32, NULL }, -EKEYREJECTED },
		{ { "SHA512", PSS, 64, NULL }, -EKEYREJECTED },
		{ { "SHA3-256", PSS, 32, NULL }, -EKEYREJECTED },
		{ { "SHA256", PSS, 32, "SHA1" }, -EKEYREJECTED },
		{ { "SHA256", PSS, 32, "SHA512" }, -EKEYREJECTED },
		{ { "SHA512", PSS, 32, "SHA256" }, -EKEYREJECTED },
		{ { "SHA256", PKCS1, 0, NULL }, -EKEYREJECTED },
		{ { "SHA512", PKCS1, 0, NULL }, -EKEYREJECTED },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		expect_signing(&rsa_pss, pkey, &cases[i].signing, cases[i].result);
	EVP_PKEY_free(pkey);
}

static void test_rsa_pkcs1_parameters(void **state)
{
	EVP_PKEY *pkey = generate(&rsa_pkcs1);
	static const struct {
		struct signing signing;
		int result;
	} cases[] = {
		{ { "SHA256", PKCS1, 0, NULL }, 0 },
		{ { "SHA1", PKCS1, 0, NULL }, -EKEYREJECTED },
		{ { "SHA384", PKCS1, 0, NULL }, -EKEYREJECTED },
		{ { "SHA512", PKCS1, 0, NULL }, -EKEYREJECTED },
		{ { "SHA256", PSS, 32, NULL }, -EKEYREJECTED },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(cases); i++)
		expect_signing(&rsa_pkcs1, pkey, &cases[i].signing, cases[i].result);
	EVP_PKEY_free(pkey);
}

/* Signatures of keys of other sizes: longer and shorter than the modulus. */
static void test_rsa_of_another_size(void **state)
{
	EVP_PKEY *small = generate(&rsa_pss), *large = generate(&rsa_pss_3072);
	_cleanup_(tuf_key_freep) struct tuf_key *small_key = parse(&rsa_pss, small);
	_cleanup_(tuf_key_freep) struct tuf_key *large_key = parse(&rsa_pss, large);
	struct signature s;

	(void)state;
	sign(large, &rsa_pss, &s);
	expect_accepted(large_key, &s);
	expect_rejected(small_key, s.bytes, s.size);
	expect_rejected(small_key, s.bytes, 256);
	sign(small, &rsa_pss, &s);
	expect_accepted(small_key, &s);
	memset(s.bytes + s.size, 0, sizeof s.bytes - s.size);
	expect_rejected(large_key, s.bytes, s.size);
	expect_rejected(large_key, s.bytes, 384);
	memmove(s.bytes + 128, s.bytes, 256);
	memset(s.bytes, 0, 128);
	expect_rejected(large_key, s.bytes, 384);
	EVP_PKEY_free(small);
	EVP_PKEY_free(large);
}

/* The signature as a number: 0, 1, n - 1, n and the signature plus n. */
static void test_rsa_numbers(void **state)
{
	static const struct kind *const both[] = { &rsa_pss, &rsa_pkcs1 };
	EVP_PKEY *pkey = generate(&rsa_pss);
	BIGNUM *n = NULL, *x = BN_new();

	(void)state;
	assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	for (size_t i = 0; i < ELEMENTSOF(both); i++) {
		_cleanup_(tuf_key_freep) struct tuf_key *key = parse(both[i], pkey);
		struct signature s;
		uint8_t bytes[257];

		sign(pkey, both[i], &s);
		expect_accepted(key, &s);
		assert_non_null(BN_bin2bn(s.bytes, (int)s.size, x));
		assert_int_equal(BN_add(x, x, n), 1);
		assert_int_equal(BN_bn2binpad(x, bytes, sizeof bytes), sizeof bytes);
		expect_rejected(key, bytes, sizeof bytes);
		expect_rejected(key, bytes + 1, sizeof bytes - 1);
		assert_int_equal(BN_bn2binpad(n, bytes, 256), 256);
		expect_rejected(key, bytes, 256);
		bytes[255]--;
		expect_rejected(key, bytes, 256);
		memset(bytes, 0, sizeof bytes);
		bytes[255] = 1;
		expect_rejected(key, bytes, 256);
	}
	BN_free(n);
	BN_free(x);
	EVP_PKEY_free(pkey);
}

/* ---- malformed keys ---- */

static void expect_parse(const char *text, int result)
{
	_cleanup_json_ cJSON *json = NULL;
	struct tuf_key *key = NULL;

	assert_int_equal(json_parse(text, strlen(text), NULL, &json, NULL), 0);
	assert_int_equal(tuf_key_parse(json, &key), result);
	assert_null(key);
}

#define HEX31 "72378e5bc588793e58f81c8533da64a2e8f1565c1fcc7f253496394ffc5254"

static void test_malformed_objects(void **state)
{
	(void)state;
	expect_parse("{}", -EBADMSG);
	expect_parse("[]", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"keyval\":{}}", -EBADMSG);
	expect_parse("{\"keytype\":7,\"scheme\":\"ed25519\",\"keyval\":{}}", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":[],\"keyval\":{}}", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\"}", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":[]}", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{}}", -EBADMSG);
	expect_parse("{\"keytype\":\"ed25519\",\"scheme\":\"ed25519\",\"keyval\":{\"public\":7}}",
		     -EBADMSG);
}

static void test_malformed_ed25519(void **state)
{
	(void)state;
	expect_malformed(&ed25519, "");
	expect_malformed(&ed25519, HEX31);
	expect_malformed(&ed25519, HEX31 "2");
	expect_malformed(&ed25519, HEX31 "2c0");
	expect_malformed(&ed25519, HEX31 "2c00");
	expect_malformed(&ed25519, HEX31 "zz");
	expect_malformed(&ed25519, HEX31 "2C"); /* hex is written in one way */
	expect_malformed(&ed25519, " " HEX31 "2");
	expect_malformed(&ed25519, HEX31 "2c\n");
	expect_malformed(&ed25519, "-----BEGIN PUBLIC KEY-----\n");
}

static void test_unknown_types(void **state)
{
	static const char *const unknown[][2] = {
		{ "dsa", "dsa" },
		{ "", "" },
		{ "ed25519", "ed25519ph" },
		{ "ed25519", "rsassa-pss-sha256" },
		{ "ed448", "ed448" },
		{ "rsa", "ed25519" },
		{ "rsa", "rsassa-pss-sha1" },
		{ "rsa", "rsassa-pss-md5" },
		{ "ecdsa", "ecdsa-sha2-nistp521" },
		{ "ecdsa", "ed25519" },
		{ "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384" },
		{ "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp256" },
		{ "ED25519", "ed25519" },
		{ "sphincs-shake-128s", "sphincs-shake-128s" },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(unknown); i++) {
		const struct kind kind = { .keytype = unknown[i][0], .scheme = unknown[i][1] };
		struct tuf_key *key = NULL;

		assert_int_equal(parse_text(&kind, HEX31 "2c", &key), -ENOTSUP);
		assert_null(key);
	}
	/* Of a type that is not known, nothing else is looked at but what every key has. */
	expect_parse("{\"keytype\":\"new\",\"scheme\":\"new\",\"keyval\":{}}", -ENOTSUP);
	expect_parse("{\"keytype\":\"new\",\"scheme\":\"new\"}", -EBADMSG);
}

/* A key of one kind that is called another: neither accepted nor a crash. */
static void test_kinds_are_not_confused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		EVP_PKEY *pkey = generate(kinds[i]);
		_cleanup_free_ char *text = public_text(pkey), *pem = public_pem(pkey);

		for (size_t j = 0; j < ELEMENTSOF(kinds); j++) {
			struct tuf_key *key = NULL;
			bool is_same = strcmp(kinds[i]->algorithm, kinds[j]->algorithm) == 0 &&
				       (!kinds[i]->curve ||
					strcmp(kinds[i]->curve, kinds[j]->curve) == 0);

			assert_int_equal(parse_text(kinds[j], text, &key), is_same ? 0 : -EBADMSG);
			key = tuf_key_free(key);
			if (!is_same)
				expect_malformed(kinds[j], pem);
		}
		expect_malformed(&ed25519, pem);
		EVP_PKEY_free(pkey);
	}
}

static void test_other_keys_of_openssl(void **state)
{
	static const struct kind p521 = { .algorithm = "EC", .curve = "P-521" };
	static const struct kind k256 = { .algorithm = "EC", .curve = "secp256k1" };
	static const struct kind brainpool = { .algorithm = "EC", .curve = "brainpoolP256r1" };
	static const struct kind ed448 = { .algorithm = "ED448" };
	static const struct kind x25519 = { .algorithm = "X25519" };
	static const struct kind sm2 = { .algorithm = "SM2" };
	static const struct kind *const foreign[] = { &p521,  &k256,   &brainpool,
						      &ed448, &x25519, &sm2 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(foreign); i++) {
		EVP_PKEY *pkey = generate(foreign[i]);
		_cleanup_free_ char *pem = public_pem(pkey);

		for (size_t j = 0; j < ELEMENTSOF(kinds); j++)
			expect_malformed(kinds[j], pem);
		EVP_PKEY_free(pkey);
	}
}

/* ---- PEM ---- */

static char *pem_of(const char *label, const struct der *d)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_true(PEM_write_bio(bio, label, "", d->bytes, (long)d->size) > 0);
	return take_bio(bio);
}

static char *private_pem(EVP_PKEY *pkey, const EVP_CIPHER *cipher)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, cipher ? "secret" : NULL,
						       cipher ? 6 : 0, NULL, NULL),
			 1);
	return take_bio(bio);
}

static char *traditional_pem(EVP_PKEY *pkey)
{
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL),
			 1);
	return take_bio(bio);
}

static const struct kind *const pem_kinds[] = { &p256, &p384, &rsa_pss, &rsa_pkcs1 };

/* A private key has no place in metadata; whoever put it there has given it away. */
static void test_private_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(pem_kinds); i++) {
		EVP_PKEY *pkey = generate(pem_kinds[i]);
		_cleanup_free_ char *plain = private_pem(pkey, NULL);
		_cleanup_free_ char *encrypted = private_pem(pkey, EVP_aes_128_cbc());
		_cleanup_free_ char *traditional = traditional_pem(pkey);

		expect_malformed(pem_kinds[i], plain);
		expect_malformed(pem_kinds[i], encrypted);
		expect_malformed(pem_kinds[i], traditional);
		EVP_PKEY_free(pkey);
	}
}

static char *joined(const char *a, const char *b)
{
	char *text = NULL;

	assert_true(asprintf(&text, "%s%s", a, b) >= 0);
	return text;
}

/* Of two in one text only the first is the key, as every reader of PEM has it. */
static void test_two_pems(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(pem_kinds); i++) {
		EVP_PKEY *first = generate(pem_kinds[i]), *second = generate(pem_kinds[i]);
		_cleanup_free_ char *a = public_pem(first), *b = public_pem(second);
		_cleanup_free_ char *both = joined(a, b);
		_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
		struct signature s;

		assert_int_equal(parse_text(pem_kinds[i], both, &key), 0);
		sign(first, pem_kinds[i], &s);
		expect_accepted(key, &s);
		sign(second, pem_kinds[i], &s);
		expect_rejected(key, s.bytes, s.size);
		EVP_PKEY_free(first);
		EVP_PKEY_free(second);
	}
}

static void test_broken_pems(void **state)
{
	EVP_PKEY *pkey = generate(&p256);
	_cleanup_free_ char *pem = public_pem(pkey);
	size_t length = strlen(pem);

	(void)state;
	expect_malformed(&p256, "");
	expect_malformed(&p256, "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n");
	expect_malformed(&p256, "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n");
	expect_malformed(&rsa_pss, "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n");
	/* All but the last line feed is needed. */
	for (size_t i = 0; i < length - 1; i++) {
		_cleanup_free_ char *part = strndup(pem, i);

		expect_malformed(&p256, part);
	}
	EVP_PKEY_free(pkey);
}

/* Every byte of the PEM changed: no crash, and what is still a key is another key or the same. */
static void test_changed_pems(void **state)
{
	EVP_PKEY *pkey = generate(&p256);
	_cleanup_free_ char *pem = public_pem(pkey);
	_cleanup_(tuf_key_freep) struct tuf_key *right = parse(&p256, pkey);
	struct signature s;

	(void)state;
	sign(pkey, &p256, &s);
	for (size_t i = 0; pem[i]; i++)
		for (unsigned flip = 1; flip < 256; flip <<= 1) {
			struct tuf_key *key = NULL;

			pem[i] = (char)(pem[i] ^ (char)flip);
			if (parse_text(&p256, pem, &key) == 0)
				assert_int_equal(verify(key, s.bytes, s.size),
						 tuf_key_equal(key, right) ? 0 : -EKEYREJECTED);
			(void)tuf_key_free(key);
			pem[i] = (char)(pem[i] ^ (char)flip);
		}
	EVP_PKEY_free(pkey);
}

static bool was_asked;

static int note_question(UI *ui)
{
	(void)ui;
	was_asked = true;
	return 0;
}

/* A PEM that claims to be encrypted must not make OpenSSL ask for its passphrase. */
static void test_encrypted_pem(void **state)
{
	UI_METHOD *method = UI_create_method("test");

	(void)state;
	assert_non_null(method);
	(void)UI_method_set_opener(method, note_question);
	UI_set_default_method(method);
	was_asked = false;
	expect_malformed(&p256, "-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n"
				"DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n"
				"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n");
	test_private_keys(state);
	UI_set_default_method(NULL);
	UI_destroy_method(method);
	assert_false(was_asked);
}

/* ---- keys made of numbers ---- */

static char *spki_pem(const char *algorithm, size_t algorithm_size, const struct der *key)
{
	struct der bits = { .size = 0 }, value = { .size = 0 }, spki = { .size = 0 };

	put_byte(&bits, 0);
	put(&bits, key->bytes, key->size);
	put_value(&value, DER_SEQUENCE, algorithm, algorithm_size);
	put_der(&value, DER_BIT_STRING, &bits);
	put_der(&spki, DER_SEQUENCE, &value);
	return pem_of("PUBLIC KEY", &spki);
}

#define OID_EC	 "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
#define OID_P256 "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define OID_P384 "\x06\x05\x2b\x81\x04\x00\x22"
#define OID_RSA	 "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"

static void expect_point(const void *point, size_t size, int result)
{
	static const char algorithm[] = OID_EC OID_P256;
	_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
	struct der d = { .size = 0 };
	_cleanup_free_ char *pem = NULL;

	put(&d, point, size);
	pem = spki_pem(algorithm, sizeof algorithm - 1, &d);
	assert_int_equal(parse_text(&p256, pem, &key), result);
}

static void test_p384_point_at_infinity(void **state)
{
	static const char algorithm[] = OID_EC OID_P384;
	struct der d = { .size = 0 };
	_cleanup_free_ char *pem = NULL;

	(void)state;
	put_byte(&d, 0);
	pem = spki_pem(algorithm, sizeof algorithm - 1, &d);
	expect_malformed(&p384, pem);
	expect_malformed(&p384_old, pem);
}

static void test_points(void **state)
{
	EVP_PKEY *pkey = generate(&p256);
	uint8_t point[66], compressed[33], zero[65] = { 0x04 };
	size_t size = 0;

	(void)state;
	assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point,
							 sizeof point, &size),
			 1);
	assert_int_equal(size, 65);
	expect_point(point, size, 0);
	/* At infinity: u1 G alone would decide, and anybody can make signatures for that. */
	expect_point("\0", 1, -EBADMSG);
	expect_point("", 0, -EBADMSG);
	expect_point(zero, sizeof zero, -EBADMSG);
	expect_point(point, size - 1, -EBADMSG);
	point[size] = 0;
	expect_point(point, size + 1, -EBADMSG);
	/* The compressed form is the same point, and no second key. */
	compressed[0] = (uint8_t)(2 + (point[64] & 1));
	memcpy(compressed + 1, point + 1, 32);
	expect_point(compressed, sizeof compressed, 0);
	/* Off the curve. */
	for (size_t i = 1; i < size; i++) {
		point[i] ^= 1;
		expect_point(point, size, -EBADMSG);
		point[i] ^= 1;
	}
	for (unsigned form = 0; form < 256; form++) {
		point[0] = (uint8_t)form;
		if (form != 4 && form != 6 + (point[64] & 1u)) /* 6, 7: the hybrid form */
			expect_point(point, size, -EBADMSG);
	}
	/* Coordinates that are not reduced. */
	memset(point + 1, 0xff, 64);
	point[0] = 4;
	expect_point(point, size, -EBADMSG);
	EVP_PKEY_free(pkey);
}

/* P-256 but for its generator, which is chosen so that an honest public key belongs to a private key
 * that everybody knows: 1 (CVE-2020-0601). */
static void test_curve_in_the_key(void **state)
{
	EVP_PKEY *pkey = generate(&p256), *evil = NULL;
	static const char *const numbers[] = { OSSL_PKEY_PARAM_EC_P, OSSL_PKEY_PARAM_EC_A,
					       OSSL_PKEY_PARAM_EC_B, OSSL_PKEY_PARAM_EC_ORDER };
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	_cleanup_free_ char *pem = NULL;
	BIGNUM *values[ELEMENTSOF(numbers)] = { NULL };
	OSSL_PARAM *params;
	uint8_t point[65];
	size_t size = 0;

	(void)state;
	assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point,
							 sizeof point, &size),
			 1);
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
		assert_int_equal(EVP_PKEY_get_bn_param(pkey, numbers[i], &values[i]), 1);
		assert_int_equal(OSSL_PARAM_BLD_push_BN(build, numbers[i], values[i]), 1);
	}
	assert_int_equal(OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_EC_FIELD_TYPE,
							 "prime-field", 0),
			 1);
	assert_int_equal(
		OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_EC_GENERATOR, point, size),
		1);
	assert_int_equal(
		OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, size), 1);
	params = OSSL_PARAM_BLD_to_param(build);
	assert_non_null(params);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &evil, EVP_PKEY_PUBLIC_KEY, params), 1);
	pem = public_pem(evil);
	expect_malformed(&p256, pem);
	for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
		BN_free(values[i]);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(evil);
	EVP_PKEY_free(pkey);
}

static int parse_rsa_of(const BIGNUM *n, const BIGNUM *e, struct tuf_key **ret)
{
	static const char algorithm[] = OID_RSA "\x05"; /* the terminating NUL ends DER's NULL */
	struct der numbers = { .size = 0 }, key = { .size = 0 };
	_cleanup_free_ char *pem = NULL;

	put_integer(&numbers, n);
	put_integer(&numbers, e);
	put_der(&key, DER_SEQUENCE, &numbers);
	pem = spki_pem(algorithm, sizeof algorithm, &key);
	return parse_text(&rsa_pss, pem, ret);
}

static void expect_rsa(const BIGNUM *n, const char *exponent_hex, int result)
{
	_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
	BIGNUM *e = NULL;

	assert_true(BN_hex2bn(&e, exponent_hex) > 0);
	assert_int_equal(parse_rsa_of(n, e, &key), result);
	BN_free(e);
}

static void test_rsa_exponents(void **state)
{
	EVP_PKEY *pkey = generate(&rsa_pss);
	_cleanup_(tuf_key_freep) struct tuf_key *key = NULL;
	BIGNUM *n = NULL;
	struct signature s;

	(void)state;
	assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	expect_rsa(n, "010001", 0);
	expect_rsa(n, "03", 0);
	/* With 1 a signature is its own padding: anybody can sign. Even ones are no exponents. */
	expect_rsa(n, "00", -EBADMSG);
	expect_rsa(n, "01", -EBADMSG);
	expect_rsa(n, "02", -EBADMSG);
	expect_rsa(n, "04", -EBADMSG);
	expect_rsa(n, "010000", -EBADMSG);
	/* With another exponent it is another key. */
	sign(pkey, &rsa_pss, &s);
	{
		BIGNUM *three = BN_new();

		assert_int_equal(BN_set_word(three, 3), 1);
		assert_int_equal(parse_rsa_of(n, three, &key), 0);
		expect_rejected(key, s.bytes, s.size);
		BN_free(three);
	}
	BN_free(n);
	EVP_PKEY_free(pkey);
}

static BIGNUM *odd_number(int bits)
{
	BIGNUM *n = BN_new();

	assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD), 1);
	return n;
}

static void test_rsa_sizes(void **state)
{
	static const int sizes[] = { 8, 512, 1024, 2040, 2047, 8193, 16384 };

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		BIGNUM *n = odd_number(sizes[i]);

		expect_rsa(n, "010001", -EBADMSG);
		BN_free(n);
	}
}

/* ---- equality and ids ---- */

static void test_equal(void **state)
{
	EVP_PKEY *pkeys[ELEMENTSOF(kinds)];
	struct tuf_key *keys[ELEMENTSOF(kinds)];

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		pkeys[i] = generate(kinds[i]);
		keys[i] = parse(kinds[i], pkeys[i]);
	}
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		_cleanup_(tuf_key_freep) struct tuf_key *again = parse(kinds[i], pkeys[i]);

		assert_true(tuf_key_equal(keys[i], again));
		for (size_t j = 0; j < ELEMENTSOF(kinds); j++)
			assert_int_equal(tuf_key_equal(keys[i], keys[j]), i == j);
	}
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
		(void)tuf_key_free(keys[i]);
		EVP_PKEY_free(pkeys[i]);
	}
}

/* One key under both names of its type, and for both schemes of RSA, is one key. */
static void test_equal_by_any_name(void **state)
{
	EVP_PKEY *ec = generate(&p256), *rsa = generate(&rsa_pss);
	_cleanup_(tuf_key_freep) struct tuf_key *a = parse(&p256, ec), *b = parse(&p256_old, ec);
	_cleanup_(tuf_key_freep) struct tuf_key *c = parse(&rsa_pss, rsa);
	_cleanup_(tuf_key_freep) struct tuf_key *d = parse(&rsa_pkcs1, rsa);

	(void)state;
	assert_true(tuf_key_equal(a, b));
	assert_true(tuf_key_equal(c, d));
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
}

/* The key of the example in the TUF specification, and the id that it has there. */
static void test_key_id(void **state)
{
	static const char object[] = "{ \"scheme\":\"ed25519\", \"keyval\":{\"public\":\"" HEX31
				     "2c\"}, \"keytype\":\"ed25519\" }";
	_cleanup_json_ cJSON *json = NULL, *fraction = cJSON_CreateNumber(0.5);
	char hex[SHA256_HEX_LENGTH + 1];

	(void)state;
	assert_int_equal(json_parse(object, strlen(object), NULL, &json, NULL), 0);
	assert_int_equal(tuf_key_id(json, hex), 0);
	assert_string_equal(hex,
			    "1bf1c6e3cdd3d3a8420b19199e27511999850f4b376c4547b2f32fba7e80fca3");
	assert_int_equal(tuf_key_id(fraction, hex), -EBADMSG);
}

static void test_free_nothing(void **state)
{
	(void)state;
	assert_null(tuf_key_free(NULL));
}

#define ecdsa_test(f) cmocka_unit_test_setup_teardown(f, setup_ecdsa, teardown_ecdsa)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ed25519),
		cmocka_unit_test(test_p256),
		cmocka_unit_test(test_p256_by_its_old_name),
		cmocka_unit_test(test_p384),
		cmocka_unit_test(test_rsa_pss),
		cmocka_unit_test(test_rsa_pss_that_begins_with_zero),
		cmocka_unit_test(test_rsa_pss_of_3072_bits),
		cmocka_unit_test(test_rsa_pkcs1),
		cmocka_unit_test(test_signatures_of_other_types),
		cmocka_unit_test(test_ed25519_vector),
		cmocka_unit_test(test_only_one_is_yes),
		cmocka_unit_test(test_only_one_is_equal),
		ecdsa_test(test_ecdsa_numbers),
		ecdsa_test(test_ecdsa_mirrored),
		ecdsa_test(test_ecdsa_not_minimal),
		ecdsa_test(test_ecdsa_negative),
		ecdsa_test(test_ecdsa_other_der),
		cmocka_unit_test(test_ed25519_s_out_of_range),
		cmocka_unit_test(test_ed25519_small_points),
		cmocka_unit_test(test_ed25519_not_reduced),
		cmocka_unit_test(test_ed25519_small_r),
		cmocka_unit_test(test_rsa_pss_parameters),
		cmocka_unit_test(test_rsa_pkcs1_parameters),
		cmocka_unit_test(test_rsa_of_another_size),
		cmocka_unit_test(test_rsa_numbers),
		cmocka_unit_test(test_malformed_objects),
		cmocka_unit_test(test_malformed_ed25519),
		cmocka_unit_test(test_unknown_types),
		cmocka_unit_test(test_kinds_are_not_confused),
		cmocka_unit_test(test_other_keys_of_openssl),
		cmocka_unit_test(test_private_keys),
		cmocka_unit_test(test_two_pems),
		cmocka_unit_test(test_broken_pems),
		cmocka_unit_test(test_changed_pems),
		cmocka_unit_test(test_encrypted_pem),
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_p384_point_at_infinity),
		cmocka_unit_test(test_curve_in_the_key),
		cmocka_unit_test(test_rsa_exponents),
		cmocka_unit_test(test_rsa_sizes),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_equal_by_any_name),
		cmocka_unit_test(test_key_id),
		cmocka_unit_test(test_free_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, free_made);
}
