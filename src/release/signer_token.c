/* SPDX-License-Identifier: Apache-2.0 */
/* What replaces engines, a provider for PKCS#11, is not in Debian 12. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "release/signer_token.h"

#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/ui.h>
#include <stdint.h>
#include <string.h>

#include "release/passphrase.h"

#define ENGINE_NAME    "pkcs11"
#define ENGINE_PACKAGE "libengine-pkcs11-openssl"
#define SCHEME	       "pkcs11:"

/* PKCS #11 return values, which the engine gives as reasons of its errors. */
#define CKR_PIN_INCORRECT  0xa0
#define CKR_PIN_INVALID	   0xa1
#define CKR_PIN_LEN_RANGE  0xa2
#define CKR_PIN_LOCKED	   0xa4
#define CKR_DEVICE_REMOVED 0x32
/* And one of its own. */
#define P11_LOAD_MODULE	   1025

/* ---- the URI, RFC 7512 ---- */

struct uri {
	char *key;	  /* what the engine gets: the path without "type", no query */
	char *token;	  /* the part of the path that names the token */
	char *label;	  /* the token's, or its serial number: for people */
	char *pin_value;  /* decoded, as label and the next two */
	char *pin_source; /* a path */
	char *module_path;
	bool names_key;
};

static void uri_done(struct uri *u)
{
	u->pin_value = passphrase_free(u->pin_value);
	free(TAKE_PTR(u->key));
	free(TAKE_PTR(u->token));
	free(TAKE_PTR(u->label));
	free(TAKE_PTR(u->pin_source));
	free(TAKE_PTR(u->module_path));
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)((found - digits) % 16) : -1;
}

/* Percent-decoding; a NUL is no part of any value here. */
static int decode(const char *text, size_t length, char **ret)
{
	char *out = calloc(1, length + 1);
	size_t n = 0;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		int high, low;

		if (text[i] != '%') {
			out[n++] = text[i];
			continue;
		}
		high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
		low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0) {
			passphrase_free(out);
			return -EINVAL;
		}
		out[n++] = (char)(16 * high + low);
		i += 2;
	}
	*ret = out;
	return 0;
}

static const char *value_of(const char *attribute, const char *name)
{
	size_t length = strlen(name);

	return strncmp(attribute, name, length) == 0 && attribute[length] == '='
		       ? attribute + length + 1
		       : NULL;
}

/* Adds an attribute of the path to a list. */
static int append(char **list, const char *attribute, size_t length)
{
	char *longer;

	if (asprintf(&longer, "%s%s%.*s", *list ? *list : "", *list ? ";" : "", (int)length,
		     attribute) < 0)
		return -ENOMEM;
	free(*list);
	*list = longer;
	return 0;
}

static int take_path(struct uri *u, const char *attribute, size_t length)
{
	bool is_key = value_of(attribute, "object") || value_of(attribute, "id");
	const char *label = value_of(attribute, "token");
	int r = 0;

	if (length == 0 || value_of(attribute, "type"))
		return 0;
	u->names_key |= is_key;
	if (!label)
		label = value_of(attribute, "serial");
	if (label && !u->label)
		r = decode(label, length - (size_t)(label - attribute), &u->label);
	if (r == 0)
		r = append(&u->key, attribute, length);
	return r == 0 && !is_key ? append(&u->token, attribute, length) : r;
}

static int take_query(struct uri *u, const char *attribute, size_t length)
{
	static const char *const names[] = { "pin-value", "pin-source", "module-path" };
	char **values[] = { &u->pin_value, &u->pin_source, &u->module_path };

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		const char *value = value_of(attribute, names[i]);

		if (!value)
			continue;
		if (*values[i])
			return -EINVAL;
		return decode(value, length - (size_t)(value - attribute), values[i]);
	}
	return 0;
}

static int split(struct uri *u, const char *text, size_t length, char separator,
		 int (*take)(struct uri *u, const char *attribute, size_t length))
{
	const char *end = text + length;
	int r = 0;

	while (r == 0 && text < end) {
		const char *next = memchr(text, separator, (size_t)(end - text));

		if (!next)
			next = end;
		r = take(u, text, (size_t)(next - text));
		text = next + 1;
	}
	return r;
}

/* "file:/path" or "/path"; a command to run is not offered. */
static int check_pin_source(struct uri *u)
{
	static const char file[] = "file:";

	if (!u->pin_source)
		return 0;
	if (strncmp(u->pin_source, file, strlen(file)) == 0)
		memmove(u->pin_source, u->pin_source + strlen(file),
			strlen(u->pin_source + strlen(file)) + 1);
	return *u->pin_source == '/' ? 0 : -EINVAL;
}

static int parse(const char *text, struct uri *ret)
{
	const char *query = strchr(text, '?');
	size_t path_length = query ? (size_t)(query - text) : strlen(text);
	int r;

	if (strlen(text) >= SIGNER_URI_MAX_LENGTH || strncmp(text, SCHEME, strlen(SCHEME)) != 0)
		return -EINVAL;
	r = split(ret, text + strlen(SCHEME), path_length - strlen(SCHEME), ';', take_path);
	if (r == 0 && query)
		r = split(ret, query + 1, strlen(query + 1), '&', take_query);
	if (r == 0 && (!ret->names_key || !ret->label))
		r = -EINVAL;
	return r < 0 ? r : check_pin_source(ret);
}

static int parse_uri(const char *text, bool allow_pin_value, struct uri *ret,
		     struct problem *problem)
{
	int r = parse(text, ret);

	if (r == -ENOMEM)
		return problem_no_memory(problem);
	/* The text is not repeated: it may hold a PIN. */
	if (r < 0)
		return problem_set(
			problem, -EINVAL,
			"the PKCS#11 URI does not name one token and one key: it is like "
			"'" SCHEME "token=NAME;object=KEY'");
	if (ret->pin_value && !allow_pin_value)
		return problem_set(
			problem, -EINVAL,
			"a PIN in a URI on the command line can be read by every user of "
			"this machine; use --pin-file or pin-source");
	return 0;
}

/* ---- the PIN, when the engine asks for it ---- */

struct asker {
	const struct uri *uri;
	struct signer_secrets *secrets;
	struct problem *problem;
	bool asked;
	int error; /* the PIN could not be had */
};

static int fresh_pin(struct asker *a)
{
	struct signer_secrets *s = a->secrets;
	const char *file = s->pin_file ? s->pin_file : a->uri->pin_source;

	s->pin = passphrase_free(s->pin);
	free(TAKE_PTR(s->pin_token));
	s->pin_token = strdup(a->uri->token);
	if (!s->pin_token)
		return problem_no_memory(a->problem);
	if (a->uri->pin_value && !s->pin_file) {
		s->pin = strdup(a->uri->pin_value);
		return s->pin ? 0 : problem_no_memory(a->problem);
	}
	return passphrase_read_pin(file, a->uri->label, &s->pin, a->problem);
}

static int have_pin(struct asker *a)
{
	const struct signer_secrets *s = a->secrets;

	if (s->pin && s->pin_token && strcmp(s->pin_token, a->uri->token) == 0)
		return 0;
	return fresh_pin(a);
}

static int give_pin(UI *ui, UI_STRING *string)
{
	struct asker *a = UI_get0_user_data(ui);

	if (UI_get_string_type(string) != UIT_PROMPT)
		return 1;
	a->asked = true;
	a->error = have_pin(a);
	if (a->error < 0)
		return 0;
	return UI_set_result(ui, string, a->secrets->pin) == 0;
}

/* ---- the engine ---- */

static void cleanup_engine(ENGINE **engine)
{
	(void)ENGINE_finish(*engine);
	ERR_clear_error();
}

static void cleanup_ui_method(UI_METHOD **method)
{
	UI_destroy_method(*method);
}

/* A functional reference; keys of the engine hold theirs. */
static int open_engine(const char *module_path, ENGINE **ret, struct problem *problem)
{
	ENGINE *engine = ENGINE_by_id(ENGINE_NAME);
	bool good;

	if (!engine) {
		ERR_clear_error();
		return problem_set(problem, -ENOTSUP,
				   "keys in tokens need OpenSSL's engine '" ENGINE_NAME
				   "'; install the package '" ENGINE_PACKAGE "'");
	}
	/* It would write to stderr what we say in one sentence. */
	good = ENGINE_ctrl_cmd_string(engine, "QUIET", NULL, 0) == 1 &&
	       (!module_path ||
		ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module_path, 0) == 1) &&
	       ENGINE_init(engine) == 1;
	(void)ENGINE_free(engine);
	ERR_clear_error();
	if (!good)
		return problem_set(problem, -ENODEV,
				   "cannot start OpenSSL's engine '" ENGINE_NAME "'");
	*ret = engine;
	return 0;
}

/* Whether one of the errors in libcrypto's queue is this of the token's. */
static int find_error(void)
{
	static const struct {
		int reason, error;
	} known[] = {
		{ CKR_PIN_INCORRECT, -EKEYREJECTED }, { CKR_PIN_INVALID, -EKEYREJECTED },
		{ CKR_PIN_LEN_RANGE, -EKEYREJECTED }, { CKR_PIN_LOCKED, -EPERM },
		{ CKR_DEVICE_REMOVED, -ENODEV },      { P11_LOAD_MODULE, -ELIBACC },
	};
	unsigned long code;
	int found = 0;

	while ((code = ERR_get_error()) != 0)
		for (size_t i = 0; i < ELEMENTSOF(known) && found == 0; i++)
			if (ERR_GET_LIB(code) >= ERR_LIB_USER &&
			    ERR_GET_REASON(code) == known[i].reason)
				found = known[i].error;
	return found;
}

static int describe_failure(const struct asker *a, struct problem *problem)
{
	const char *token = a->uri->label;
	int r = find_error();

	if (a->error < 0)
		return a->error; /* the sentence is there */
	if (r == -EKEYREJECTED) {
		a->secrets->pin = passphrase_free(a->secrets->pin);
		return problem_set(
			problem, r,
			"wrong PIN for the token '%s'; it was tried once, since tokens lock "
			"themselves",
			token);
	}
	if (r == -EPERM)
		return problem_set(problem, r, "the token '%s' has locked its PIN", token);
	if (r == 0 && a->asked)
		return problem_set(problem, -ENOENT,
				   "the token '%s' has no private key '" SCHEME
				   "%s' that can be used "
				   "(where a token holds an Ed25519 key, none can)",
				   token, a->uri->key);
	if (r == -ELIBACC)
		return problem_set(problem, r, "cannot load the PKCS#11 module%s%s",
				   a->uri->module_path ? " " : "",
				   a->uri->module_path ? a->uri->module_path : "");
	return problem_set(
		problem, -ENODEV,
		"there is no token '%s' at the PKCS#11 module%s%s; module-path= in the URI "
		"names another",
		token, a->uri->module_path ? " " : "s of p11-kit",
		a->uri->module_path ? a->uri->module_path : "");
}

static int load(ENGINE *engine, struct asker *a, EVP_PKEY **ret)
{
	_cleanup_(cleanup_ui_method) UI_METHOD *method = UI_create_method("bms-release");
	_cleanup_free_ char *key_uri = NULL;
	EVP_PKEY *key;

	if (!method || UI_method_set_reader(method, give_pin) != 0 ||
	    asprintf(&key_uri, SCHEME "%s;type=private", a->uri->key) < 0)
		return problem_no_memory(a->problem);
	ERR_clear_error();
	key = ENGINE_load_private_key(engine, key_uri, method, a);
	if (!key)
		return describe_failure(a, a->problem);
	ERR_clear_error();
	*ret = key;
	return 0;
}

int signer_token_load(const char *text, bool allow_pin_value, struct signer_secrets *secrets,
		      EVP_PKEY **ret, struct problem *problem)
{
	_cleanup_(cleanup_engine) ENGINE *engine = NULL;
	_cleanup_(uri_done) struct uri uri = { 0 };
	struct asker asker = { .uri = &uri, .secrets = secrets, .problem = problem };
	int r;

	r = parse_uri(text, allow_pin_value, &uri, problem);
	if (r < 0)
		return r;
	r = open_engine(uri.module_path, &engine, problem);
	if (r < 0)
		return r;
	return load(engine, &asker, ret);
}
