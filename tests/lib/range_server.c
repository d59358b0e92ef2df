/* SPDX-License-Identifier: Apache-2.0 */
#include "range_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls_server.h"

/* The n-th request (from 1), of all connections. */
struct answering {
	struct range_server_shared *shared;
	unsigned n;
	int stalled_fd;
};

struct request {
	char method[8], path[160];
	bool has_range;
	uint64_t first, last;
};

static SSL_CTX *make_tls(struct range_server *s, const char *directory)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	char certificate[128], key[128];

	assert_non_null(tls);
	assert_int_equal(tls_make_pki(directory), 0);
	(void)snprintf(s->ca_file, sizeof s->ca_file, "%s/ca.pem", directory);
	(void)snprintf(certificate, sizeof certificate, "%s/server.pem", directory);
	(void)snprintf(key, sizeof key, "%s/server.key", directory);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(tls, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM), 1);
	return tls;
}

/* ---- requests ---- */

static bool read_head(SSL *ssl, char *buffer, size_t size)
{
	size_t used = 0;

	while (used + 1 < size) {
		int n = SSL_read(ssl, buffer + used, 1);

		if (n <= 0)
			return false;
		used += (size_t)n;
		buffer[used] = '\0';
		if (used >= 4 && strcmp(buffer + used - 4, "\r\n\r\n") == 0)
			return true;
	}
	return false;
}

static bool parse_request(const char *head, struct request *r)
{
	const char *range = strcasestr(head, "\r\nRange: bytes=");
	unsigned long long first, last;

	memset(r, 0, sizeof *r);
	if (sscanf(head, "%7s %159s", r->method, r->path) != 2)
		return false;
	r->has_range = range && sscanf(range + 15, "%llu-%llu", &first, &last) == 2;
	if (r->has_range) {
		r->first = first;
		r->last = last;
	}
	return true;
}

static bool write_all(SSL *ssl, const void *bytes, size_t size)
{
	return size == 0 || SSL_write(ssl, bytes, (int)size) == (int)size;
}

/* True while a switch that counts down still holds. */
static bool take(unsigned *times)
{
	unsigned left = __atomic_load_n(times, __ATOMIC_SEQ_CST);

	while (left > 0)
		if (__atomic_compare_exchange_n(times, &left, left - 1, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			return true;
	return false;
}

static void stall(SSL *ssl, int stalled_fd)
{
	char byte = 0;

	(void)!write(stalled_fd, &byte, 1);
	(void)SSL_read(ssl, &byte, 1);
}

/* Flips what of bytes first … first+length-1 is to be wrong. */
static void corrupt(struct range_server_shared *x, unsigned char *bytes, uint64_t first,
		    size_t length)
{
	uint64_t from = x->corrupt_offset, n = x->corrupt_length ? x->corrupt_length : 1;

	if (from >= first + length || from + n <= first || !take(&x->corrupt_times))
		return;
	for (uint64_t i = from > first ? from : first; i < from + n && i < first + length; i++)
		bytes[i - first] ^= 1;
}

/* Sends length bytes of body as the faults want it. False: the connection is over. */
static bool send_body(const struct answering *a, SSL *ssl, const unsigned char *bytes,
		      uint64_t first, size_t length)
{
	struct range_server_shared *x = a->shared;
	unsigned char *copy = malloc(length + 1);
	bool ok;

	if (!copy)
		_exit(1);
	memcpy(copy, bytes + first, length);
	corrupt(x, copy, first, length);
	if (x->stall_at && a->n == x->stall_at) {
		(void)write_all(ssl, copy, length / 2);
		stall(ssl, a->stalled_fd);
		ok = false;
	} else if (take(&x->cut_times)) {
		(void)write_all(ssl, copy, length / 2);
		ok = false;
	} else {
		ok = write_all(ssl, copy, length);
	}
	free(copy);
	return ok;
}

static bool answer_status(SSL *ssl, int status, unsigned retry_after_sec)
{
	char head[128], wait[32] = "";
	int n;

	if (retry_after_sec > 0)
		(void)snprintf(wait, sizeof wait, "Retry-After: %u\r\n", retry_after_sec);
	n = snprintf(head, sizeof head, "HTTP/1.1 %d Test\r\n%sContent-Length: 0\r\n\r\n", status,
		     wait);
	return write_all(ssl, head, (size_t)n);
}

static bool answer_file(const struct answering *a, SSL *ssl, const struct request *r,
			const unsigned char *bytes, size_t size)
{
	const struct range_server_shared *x = a->shared;
	const char *etag = x->change_at && a->n >= x->change_at ? "\"two\"" : "\"one\"";
	size_t total = x->lie_at && a->n >= x->lie_at ? size + 1 : size;
	bool ignore = x->ignores_range || (x->ignore_range_at && a->n >= x->ignore_range_at);
	uint64_t shift = x->shift_at && a->n == x->shift_at;
	char head[256];
	int n;

	if (!r->has_range || ignore) {
		n = snprintf(head, sizeof head,
			     "HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: %zu\r\n\r\n", etag,
			     size);
		return write_all(ssl, head, (size_t)n) && send_body(a, ssl, bytes, 0, size);
	}
	if (r->first > r->last || r->last + shift >= size)
		return answer_status(ssl, 416, 0);
	n = snprintf(head, sizeof head,
		     "HTTP/1.1 206 Partial Content\r\nETag: %s\r\nContent-Length: %ju\r\n"
		     "Content-Range: bytes %ju-%ju/%zu\r\n\r\n",
		     etag, (uintmax_t)(r->last - r->first + 1), (uintmax_t)(r->first + shift),
		     (uintmax_t)(r->last + shift), total);
	return write_all(ssl, head, (size_t)n) &&
	       send_body(a, ssl, bytes, r->first + shift, (size_t)(r->last - r->first + 1));
}

static bool answer(const struct range_server *s, SSL *ssl, const struct request *r, int stalled_fd)
{
	struct range_server_shared *x = s->shared;
	unsigned n = __atomic_fetch_add(&x->requests, 1, __ATOMIC_SEQ_CST);
	const struct answering a = { x, n + 1, stalled_fd };

	if (n < RANGE_SERVER_MAX_LOG) {
		x->log[n].first = r->first;
		x->log[n].last = r->last;
		(void)snprintf(x->log[n].path, sizeof x->log[n].path, "%s", r->path);
	}
	if (a.n >= x->fail_from && take(&x->fail_times))
		return answer_status(
			ssl, x->fail_status,
			x->retry_after_at && x->retry_after_at != a.n ? 0 : x->retry_after_sec);
	for (size_t i = 0; i < s->n_files; i++)
		if (strcmp(s->files[i].path, r->path) == 0)
			return answer_file(&a, ssl, r, s->files[i].bytes, s->files[i].size);
	return answer_status(ssl, 404, 0);
}

static void serve_connection(const struct range_server *s, SSL_CTX *tls, int fd, int stalled_fd)
{
	SSL *ssl = SSL_new(tls);
	struct request request;
	char head[8192];

	__atomic_add_fetch(&s->shared->connections, 1, __ATOMIC_SEQ_CST);
	if (s->shared->break_times > 0) {
		s->shared->break_times--;
		return;
	}
	if (ssl && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
		while (read_head(ssl, head, sizeof head) && parse_request(head, &request) &&
		       answer(s, ssl, &request, stalled_fd))
			;
	SSL_free(ssl);
	(void)close(fd);
}

static void serve(const struct range_server *s, SSL_CTX *tls, int listener, int stalled_fd)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int on = 1, fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		if (fork() == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve_connection(s, tls, fd, stalled_fd);
			_exit(0);
		}
		(void)close(fd);
	}
}

/* ---- for the test ---- */

void range_server_add(struct range_server *s, const char *path, const void *bytes, size_t size)
{
	assert_true(s->n_files < RANGE_SERVER_MAX_FILES);
	(void)snprintf(s->files[s->n_files].path, sizeof s->files[0].path, "%s", path);
	s->files[s->n_files].bytes = bytes;
	s->files[s->n_files++].size = size;
}

static int listen_on_loopback(struct range_server *s)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	(void)snprintf(s->base, sizeof s->base, "https://127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

void range_server_start(struct range_server *s, const char *directory)
{
	SSL_CTX *tls = make_tls(s, directory);
	int listener = listen_on_loopback(s), fds[2];

	s->shared = mmap(NULL, sizeof *s->shared, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(s->shared, MAP_FAILED);
	assert_int_equal(pipe(fds), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0)
		serve(s, tls, listener, fds[1]);
	s->stalled_fd = fds[0];
	(void)close(fds[1]);
	(void)close(listener);
	SSL_CTX_free(tls);
}

void range_server_stop(struct range_server *s)
{
	assert_int_equal(kill(s->pid, SIGKILL), 0);
	assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
	(void)close(s->stalled_fd);
	assert_int_equal(munmap(s->shared, sizeof *s->shared), 0);
}

void range_server_wait_stalled(const struct range_server *s)
{
	char byte;

	assert_int_equal(read(s->stalled_fd, &byte, 1), 1);
}
