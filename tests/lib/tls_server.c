/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(X509 *, X509_free);

/* ---- keys and certificates ---- */

static void path_of(char ret[256], const char *directory, const char *name, const char *suffix)
{
	(void)snprintf(ret, 256, "%s/%s%s", directory, name, suffix);
}

static int write_pem(const char *directory, const char *name, EVP_PKEY *key, X509 *certificate)
{
	char key_path[256], certificate_path[256];
	_cleanup_file_ FILE *key_file = NULL, *certificate_file = NULL;

	path_of(key_path, directory, name, ".key");
	path_of(certificate_path, directory, name, ".pem");
	key_file = fopen(key_path, "we");
	certificate_file = fopen(certificate_path, "we");
	if (!key_file || !certificate_file)
		return -errno;
	if (PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    PEM_write_X509(certificate_file, certificate) != 1)
		return -EIO;
	return 0;
}

static int read_pem(const char *directory, const char *name, EVP_PKEY **ret_key, X509 **ret)
{
	char key_path[256], certificate_path[256];
	_cleanup_file_ FILE *key_file = NULL, *certificate_file = NULL;

	path_of(key_path, directory, name, ".key");
	path_of(certificate_path, directory, name, ".pem");
	key_file = fopen(key_path, "re");
	certificate_file = fopen(certificate_path, "re");
	if (!key_file || !certificate_file)
		return -errno;
	*ret_key = PEM_read_PrivateKey(key_file, NULL, NULL, NULL);
	*ret = PEM_read_X509(certificate_file, NULL, NULL, NULL);
	return *ret_key && *ret ? 0 : -EIO;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	bool ok;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool fill(X509 *certificate, X509 *issuer, EVP_PKEY *key, const char *name,
		 const char *alt_names, long valid_sec)
{
	static long serial = 1;
	bool is_ca = certificate == issuer;
	X509_NAME *subject = X509_get_subject_name(certificate);

	return X509_set_version(certificate, 2) == 1 &&
	       ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), -86400) &&
	       X509_gmtime_adj(X509_getm_notAfter(certificate), valid_sec) &&
	       X509_set_pubkey(certificate, key) == 1 &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
					  -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
	       add_extension(certificate, issuer, NID_basic_constraints,
			     is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
	       add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
	       (!alt_names || add_extension(certificate, issuer, NID_subject_alt_name, alt_names));
}

/* Signed by itself when issuer is NULL. */
static int make_certificate(const char *directory, const char *name, const char *alt_names,
			    long valid_sec, EVP_PKEY *issuer_key, X509 *issuer)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_(X509_freep) X509 *certificate = X509_new();

	if (!key || !certificate ||
	    !fill(certificate, issuer ? issuer : certificate, key, name, alt_names, valid_sec) ||
	    X509_sign(certificate, issuer_key ? issuer_key : key, EVP_sha256()) == 0)
		return -EIO;
	return write_pem(directory, name, key, certificate);
}

int tls_make_certificate(const char *directory, const char *name, const char *alt_names,
			 long valid_sec)
{
	_cleanup_(EVP_PKEY_freep) EVP_PKEY *ca_key = NULL;
	_cleanup_(X509_freep) X509 *ca = NULL;
	int r;

	r = read_pem(directory, "ca", &ca_key, &ca);
	if (r < 0)
		return r;
	return make_certificate(directory, name, alt_names, valid_sec, ca_key, ca);
}

int tls_make_pki(const char *directory)
{
	int r;

	r = make_certificate(directory, "ca", NULL, 86400, NULL, NULL);
	if (r == 0)
		r = make_certificate(directory, "other-ca", NULL, 86400, NULL, NULL);
	if (r == 0)
		r = tls_make_certificate(directory, "server", "DNS:localhost,IP:127.0.0.1", 86400);
	if (r == 0)
		r = tls_make_certificate(directory, "client", NULL, 86400);
	return r;
}

/* ---- the server's process ---- */

struct connection {
	int fd;
	SSL *ssl; /* NULL: plain */
};

static ssize_t connection_read(struct connection *c, void *buffer, size_t size)
{
	return c->ssl ? SSL_read(c->ssl, buffer, (int)size) : read(c->fd, buffer, size);
}

static bool connection_write(struct connection *c, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = c->ssl ? SSL_write(c->ssl, bytes, (int)size)
				   : write(c->fd, bytes, size);

		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

static size_t body_length(const char *head)
{
	const char *field = strcasestr(head, "\r\nContent-Length:");

	return field ? strtoul(field + 17, NULL, 10) : 0;
}

/* Until the head and the body that it announces are there; of a long body the beginning is kept. */
static bool read_request(struct connection *c, struct tls_server_seen *seen)
{
	char request[sizeof seen->request] = "", dropped[16384];
	size_t size = 0;

	for (;;) {
		const char *end = strstr(request, "\r\n\r\n");
		size_t room = size < sizeof request ? sizeof request - 1 - size : 0;
		ssize_t n;

		if (end && size >= (size_t)(end + 4 - request) + body_length(request))
			break;
		if (room == 0 && !end)
			return false;
		n = room > 0 ? connection_read(c, request + size, room)
			     : connection_read(c, dropped, sizeof dropped);
		if (n <= 0)
			return false;
		size += (size_t)n;
	}
	memcpy(seen->request, request, sizeof request);
	__atomic_add_fetch(&seen->requests, 1, __ATOMIC_SEQ_CST);
	return true;
}

/* True if the connection goes on. */
static bool give_answer(struct connection *c, const struct tls_answer *a)
{
	if (!connection_write(c, a->bytes, a->size ? a->size : strlen(a->bytes)))
		return false;
	switch (a->then) {
	case TLS_KEEP: return true;
	case TLS_CLOSE:
		if (c->ssl)
			(void)SSL_shutdown(c->ssl);
		return false;
	case TLS_DROP: return false;
	case TLS_REPEAT:
		while (connection_write(c, a->again, strlen(a->again)))
			;
		return false;
	case TLS_STALL:
		for (;;)
			(void)pause();
	}
	return false;
}

static SSL *accept_tls(SSL_CTX *context, int fd)
{
	SSL *ssl = SSL_new(context);
	int on = 1;

	/* Session tickets and answer are two writes: Nagle would hold up each test by 40 ms. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

struct work {
	SSL_CTX *context;
	const struct tls_answer *babble;
	const struct tls_answer *answers;
	size_t n_answers;
	struct tls_server_seen *seen;
};

static const struct tls_answer *next_answer(const struct work *w)
{
	unsigned n = __atomic_fetch_add(&w->seen->next, 1, __ATOMIC_SEQ_CST);

	return &w->answers[n < w->n_answers ? n : w->n_answers - 1];
}

static void serve_connection(const struct work *w, int fd)
{
	struct connection c = { .fd = fd };

	if (w->babble) {
		const char *bytes = w->babble->bytes;

		(void)!write(fd, bytes, w->babble->size ? w->babble->size : strlen(bytes));
		return;
	}
	if (w->context)
		c.ssl = accept_tls(w->context, fd);
	if (c.ssl && SSL_session_reused(c.ssl))
		__atomic_add_fetch(&w->seen->resumed, 1, __ATOMIC_SEQ_CST);
	while ((c.ssl || !w->context) && read_request(&c, w->seen))
		if (!give_answer(&c, next_answer(w)))
			break;
	SSL_free(c.ssl);
}

__attribute__((noreturn)) static void serve(int listener, const struct work *w)
{
	(void)signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			_exit(1);
		__atomic_add_fetch(&w->seen->connections, 1, __ATOMIC_SEQ_CST);
		if (fork() == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve_connection(w, fd);
			_exit(0);
		}
		(void)close(fd);
	}
}

/* ---- starting and stopping ---- */

static SSL_CTX *make_context(const struct tls_server_options *o)
{
	const char *name = o->certificate ? o->certificate : "server";
	char certificate[256], key[256], ca[256];
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	path_of(certificate, o->pki_directory, name, ".pem");
	path_of(key, o->pki_directory, name, ".key");
	path_of(ca, o->pki_directory, "ca", ".pem");
	if (!context || SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		goto fail;
	if (o->tls11_only) {
		SSL_CTX_set_security_level(context, 0);
		if (SSL_CTX_set_min_proto_version(context, TLS1_VERSION) != 1 ||
		    SSL_CTX_set_max_proto_version(context, TLS1_1_VERSION) != 1)
			goto fail;
	}
	if (o->wants_client_certificate) {
		if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1)
			goto fail;
		SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
				   NULL);
		(void)SSL_CTX_set_session_id_context(context, (const unsigned char *)"t", 1);
	}
	return context;
fail:
	SSL_CTX_free(context);
	return NULL;
}

static int listen_tcp(char ret_url[64])
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t size = sizeof address;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	(void)snprintf(ret_url, 64, "https://127.0.0.1:%u", ntohs(address.sin_port));
	return TAKE_FD(fd);
}

static int listen_unix(const char *path, char ret_url[64])
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, 16) < 0)
		return -errno;
	(void)strcpy(ret_url, "http://localhost");
	return TAKE_FD(fd);
}

int tls_server_start(const struct tls_server_options *options, const struct tls_answer *answers,
		     size_t n_answers, struct tls_server *ret)
{
	struct tls_server s = { 0 };
	_cleanup_close_ int listener = FD_NONE;
	SSL_CTX *context = NULL;

	listener = options->unix_socket ? listen_unix(options->unix_socket, s.url)
					: listen_tcp(s.url);
	if (listener < 0)
		return listener;
	if (!options->unix_socket) {
		context = make_context(options);
		if (!context)
			return -EIO;
	}
	s.seen = mmap(NULL, sizeof *s.seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (s.seen == MAP_FAILED)
		return -errno;
	s.pid = fork();
	if (s.pid < 0)
		return -errno;
	if (s.pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)signal(SIGPIPE, SIG_IGN);
		serve(listener,
		      &(struct work){ context, options->babble, answers, n_answers, s.seen });
	}
	SSL_CTX_free(context);
	*ret = s;
	return 0;
}

void tls_server_stop(struct tls_server *s)
{
	if (s->pid <= 0)
		return;
	(void)kill(s->pid, SIGKILL);
	(void)waitpid(s->pid, NULL, 0);
	(void)munmap(s->seen, sizeof *s->seen);
	s->pid = 0;
}
