/* SPDX-License-Identifier: Apache-2.0 */
#include "queryd/server.h"

#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "common/fsutil.h"
#include "common/log.h"
#include "common/unix_socket.h"
#include "queryd/listen.h"

#define PEM_MAX_BYTES	     (1u << 20)
#define MAX_LISTENERS	     2
/* A body over the limit is read on for this many times the limit, and thrown away, so that the client
 * gets its answer and not a reset connection. */
#define DISCARD_FACTOR	     4
/* The same of a part of a backup. */
#define UPLOAD_DISCARD_BYTES (1u << 20)
/* X25519 first: it is the key that clients send unasked, and any other costs them a round trip. */
#define TLS_PRIORITIES                                                                             \
	"SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-GROUP-ALL:+GROUP-X25519:"                  \
	"+GROUP-SECP256R1:+GROUP-SECP384R1:%SERVER_PRECEDENCE"

struct server {
	struct service *service;
	struct MHD_Daemon *daemons[MAX_LISTENERS];
	size_t n_daemons;
	char *cert, *key;
	bool owns_unix_socket;

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t idle;
	unsigned requests; /* begun and not completed */
	bool draining;
};

/* One request while it arrives. */
struct exchange {
	struct server *server;
	char *body;
	size_t body_size;
	uint64_t received_bytes, discarded_bytes;
	/* A body that is taken as it comes. */
	struct backup_upload *upload;
	int upload_error;
	/* The answer stands before the body has come; that is read and thrown away. */
	struct answer refusal;
	bool is_refused;
};

/* ---- counting requests ---- */

static void request_began(struct server *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->requests++;
	(void)pthread_mutex_unlock(&s->lock);
}

static void request_completed(void *userdata, struct MHD_Connection *connection, void **con_cls,
			      enum MHD_RequestTerminationCode code)
{
	struct exchange *x = *con_cls;
	struct server *s = userdata;

	(void)connection;
	(void)code;
	if (!x)
		return;
	(void)backups_abort(x->upload);
	answer_done(&x->refusal);
	free(x->body);
	free(x);
	*con_cls = NULL;
	(void)pthread_mutex_lock(&s->lock);
	if (--s->requests == 0)
		(void)pthread_cond_signal(&s->idle);
	(void)pthread_mutex_unlock(&s->lock);
}

static bool is_draining(struct server *s)
{
	bool draining;

	(void)pthread_mutex_lock(&s->lock);
	draining = s->draining;
	(void)pthread_mutex_unlock(&s->lock);
	return draining;
}

/* ---- answering ---- */

static struct MHD_Response *make_response(struct answer *a)
{
	struct MHD_Response *response;

	if (a->fd >= 0) {
		response = MHD_create_response_from_fd_at_offset64(a->length, a->fd, a->offset);
		if (response)
			a->fd = FD_NONE;
		return response;
	}
	response = MHD_create_response_from_buffer(a->body_size, a->body, MHD_RESPMEM_MUST_FREE);
	if (response)
		a->body = NULL;
	return response;
}

static enum MHD_Result send_answer(struct server *s, struct MHD_Connection *connection,
				   struct answer *a)
{
	struct MHD_Response *response = make_response(a);
	enum MHD_Result ok = MHD_YES;

	if (!response)
		return MHD_NO;
	for (size_t i = 0; ok == MHD_YES && i < a->n_headers; i++)
		ok = MHD_add_response_header(response, a->headers[i].name, a->headers[i].value);
	if (ok == MHD_YES && is_draining(s))
		ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (ok == MHD_YES)
		ok = MHD_queue_response(connection, a->status, response);
	MHD_destroy_response(response);
	return ok;
}

static enum MHD_Result send_too_large(struct server *s, struct MHD_Connection *connection)
{
	_cleanup_(answer_done) struct answer a;

	answer_init(&a);
	answer_error(&a, 413, NULL, "the body is larger than %ju bytes",
		     (uintmax_t)s->service->conf->body_bytes);
	return send_answer(s, connection, &a);
}

static enum method method_of(const char *name)
{
	static const struct {
		const char *name;
		enum method method;
	} methods[] = {
		{ "GET", METHOD_GET }, { "HEAD", METHOD_HEAD },	    { "POST", METHOD_POST },
		{ "PUT", METHOD_PUT }, { "DELETE", METHOD_DELETE },
	};

	for (size_t i = 0; i < ELEMENTSOF(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return methods[i].method;
	return METHOD_OTHER;
}

static enum MHD_Result take_argument(void *userdata, enum MHD_ValueKind kind, const char *name,
				     const char *value)
{
	struct request *request = userdata;

	(void)kind;
	if (request->n_arguments == REQUEST_MAX_ARGUMENTS)
		return MHD_NO;
	request->arguments[request->n_arguments++] = (struct request_argument){ name, value ? value
											    : "" };
	return MHD_YES;
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool has_body(struct MHD_Connection *connection)
{
	return header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH) ||
	       header_of(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

static struct request make_request(struct MHD_Connection *connection, const char *url,
				   const char *method)
{
	struct request request = {
		.method = method_of(method),
		.path = url,
		.body = "",
		.announced_body = has_body(connection),
		.authorization = header_of(connection, MHD_HTTP_HEADER_AUTHORIZATION),
		.range = header_of(connection, MHD_HTTP_HEADER_RANGE),
		.if_range = header_of(connection, MHD_HTTP_HEADER_IF_RANGE),
		.if_none_match = header_of(connection, MHD_HTTP_HEADER_IF_NONE_MATCH),
		.content_range = header_of(connection, MHD_HTTP_HEADER_CONTENT_RANGE),
		.content_length = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH),
	};

	(void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_argument, &request);
	return request;
}

static enum MHD_Result answer_request(struct exchange *x, struct MHD_Connection *connection,
				      const char *url, const char *method)
{
	struct request request = make_request(connection, url, method);
	_cleanup_(answer_done) struct answer a;

	answer_init(&a);
	if (x->upload) {
		service_end_upload(x->server->service, TAKE_PTR(x->upload), x->upload_error, &a);
		return send_answer(x->server, connection, &a);
	}
	if (x->body) {
		request.body = x->body;
		request.body_size = x->body_size;
	}
	service_handle(x->server->service, &request, &a);
	return send_answer(x->server, connection, &a);
}

/* ---- collecting ---- */

static uint64_t discard_limit(const struct server *s)
{
	return DISCARD_FACTOR * s->service->conf->body_bytes;
}

static bool announces_more_than(struct MHD_Connection *connection, uint64_t max_bytes)
{
	const char *announced = header_of(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return announced && strtoull(announced, NULL, 10) > max_bytes;
}

/* A refusal that a client would not read, since it is sending, waits until it has sent. */
static enum MHD_Result refuse(struct exchange *x, struct MHD_Connection *connection)
{
	if (announces_more_than(connection, UPLOAD_DISCARD_BYTES))
		return send_answer(x->server, connection, &x->refusal);
	x->is_refused = true;
	return MHD_YES;
}

static enum MHD_Result begin(struct server *s, struct MHD_Connection *connection, const char *url,
			     const char *method, void **con_cls)
{
	struct request request = make_request(connection, url, method);
	struct exchange *x = calloc(1, sizeof *x);
	int r;

	if (!x)
		return MHD_NO;
	x->server = s;
	answer_init(&x->refusal);
	*con_cls = x;
	request_began(s);
	r = service_begin_upload(s->service, &request, &x->upload, &x->refusal);
	if (r < 0)
		return refuse(x, connection);
	if (r == 0 && announces_more_than(connection, discard_limit(s)))
		return send_too_large(s, connection);
	return MHD_YES;
}

/* Keeps the next bytes of the body, or only counts them when it is too large already. */
static enum MHD_Result collect(struct exchange *x, const char *bytes, size_t size)
{
	uint64_t max_bytes = x->server->service->conf->body_bytes;

	if (x->received_bytes > discard_limit(x->server))
		return MHD_NO;
	if (x->received_bytes > max_bytes)
		return MHD_YES;
	if (!x->body) {
		x->body = malloc(max_bytes + 1);
		if (!x->body)
			return MHD_NO;
	}
	memcpy(x->body + x->body_size, bytes, size);
	x->body_size += size;
	x->body[x->body_size] = '\0';
	return MHD_YES;
}

/* After an error, or a refusal, the rest is let pass, within bounds. */
static enum MHD_Result let_pass(struct exchange *x, size_t size)
{
	x->discarded_bytes += size;
	return x->discarded_bytes > UPLOAD_DISCARD_BYTES ? MHD_NO : MHD_YES;
}

static enum MHD_Result take(struct exchange *x, const char *bytes, size_t size)
{
	x->received_bytes += size;
	if (x->is_refused || x->upload_error < 0)
		return let_pass(x, size);
	if (!x->upload)
		return collect(x, bytes, size);
	x->upload_error = backups_write(x->upload, bytes, size);
	return MHD_YES;
}

static enum MHD_Result handle(void *userdata, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *upload_data,
			      size_t *upload_data_size, void **con_cls)
{
	struct server *s = userdata;
	struct exchange *x = *con_cls;

	(void)version;
	if (!x)
		return begin(s, connection, url, method, con_cls);
	if (*upload_data_size > 0) {
		size_t size = *upload_data_size;

		*upload_data_size = 0;
		return take(x, upload_data, size);
	}
	if (x->is_refused)
		return send_answer(s, connection, &x->refusal);
	if (!x->upload && x->received_bytes > s->service->conf->body_bytes)
		return send_too_large(s, connection);
	return answer_request(x, connection, url, method);
}

/* ---- listening ---- */

static void log_library(void *userdata, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static void log_library(void *userdata, const char *format, va_list args)
{
	char text[256];

	(void)userdata;
	(void)vsnprintf(text, sizeof text, format, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

static struct MHD_OptionItem number(enum MHD_OPTION option, uint64_t value)
{
	return (struct MHD_OptionItem){ option, (intptr_t)value, NULL };
}

static struct MHD_OptionItem pointer(enum MHD_OPTION option, void *value)
{
	return (struct MHD_OptionItem){ option, 0, value };
}

/* Takes the descriptor. */
static int start_daemon(struct server *s, int fd, bool tls)
{
	const struct queryd_conf *conf = s->service->conf;
	struct MHD_OptionItem options[16];
	unsigned flags = MHD_USE_ITC | MHD_USE_ERROR_LOG;
	struct MHD_Daemon *daemon;
	size_t n = 0;

	options[n++] = number(MHD_OPTION_LISTEN_SOCKET, (uint64_t)fd);
	options[n++] = number(MHD_OPTION_CONNECTION_LIMIT, conf->connections);
	options[n++] = number(MHD_OPTION_CONNECTION_TIMEOUT, conf->timeout_sec);
	options[n++] = number(MHD_OPTION_STRICT_FOR_CLIENT, 1);
	options[n++] = number(MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1);
	if (conf->connections_per_address > 0)
		options[n++] = number(MHD_OPTION_PER_IP_CONNECTION_LIMIT,
				      conf->connections_per_address);
	if (conf->threads > 1)
		options[n++] = number(MHD_OPTION_THREAD_POOL_SIZE, conf->threads);
	/* Never epoll: libmicrohttpd 0.9.75 asks again and again while a TLS handshake waits for its
	 * client, so that a few that say nothing more keep every thread busy; and where bytes and the end
	 * of the connection come together it misses the end, and an upload that was cut keeps the next one
	 * out until the timeout. */
	flags |= MHD_USE_POLL_INTERNAL_THREAD;
	if (tls) {
		flags |= MHD_USE_TLS;
		options[n++] = pointer(MHD_OPTION_HTTPS_MEM_CERT, s->cert);
		options[n++] = pointer(MHD_OPTION_HTTPS_MEM_KEY, s->key);
		options[n++] = pointer(MHD_OPTION_HTTPS_PRIORITIES,
				       (void *)(uintptr_t)TLS_PRIORITIES);
	}
	options[n] = number(MHD_OPTION_END, 0);
	daemon = MHD_start_daemon(flags, 0, NULL, NULL, handle, s, MHD_OPTION_EXTERNAL_LOGGER,
				  log_library, NULL, MHD_OPTION_NOTIFY_COMPLETED, request_completed,
				  s, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!daemon)
		return -EINVAL;
	s->daemons[s->n_daemons++] = daemon;
	return 0;
}

static int sentence(char **ret_error, int error, const char *what, const char *why)
{
	if (ret_error && asprintf(ret_error, "%s: %s", what, why) < 0)
		*ret_error = NULL;
	return error;
}

static int read_pem(const char *path, char **ret, char **ret_error)
{
	size_t size = 0;
	int r = fs_read_file(AT_FDCWD, path, PEM_MAX_BYTES, ret, &size);

	return r < 0 ? sentence(ret_error, r, path, strerror(-r)) : 0;
}

static int start_tcp(struct server *s, char **ret_error)
{
	const struct queryd_conf *conf = s->service->conf;
	const char *address = conf->address;
	bool tls = conf->cert;
	unsigned port;
	int fd, r;

	if (tls) {
		r = read_pem(conf->cert, &s->cert, ret_error);
		if (r >= 0)
			r = read_pem(conf->key, &s->key, ret_error);
		if (r < 0)
			return r;
	}
	fd = listen_tcp(address, (uint16_t)conf->port);
	if (fd < 0)
		return sentence(ret_error, fd, address, strerror(-fd));
	port = listen_port(fd);
	r = start_daemon(s, fd, tls);
	if (r < 0)
		return sentence(ret_error, r, address,
				tls ? "cannot serve; do cert and key belong together?"
				    : "cannot serve");
	log_info("listening on %s port %u (%s)", address, port, tls ? "https" : "plain http");
	return 0;
}

static int start_unix(struct server *s, char **ret_error)
{
	const char *path = s->service->conf->unix_socket;
	int fd, r;

	/* Open to a web server in front, whoever that runs as: what is not for everybody needs the
	 * token, here as over TCP. */
	fd = unix_socket_listen(path, 0666);
	if (fd < 0)
		return sentence(ret_error, fd, path, strerror(-fd));
	s->owns_unix_socket = true;
	r = start_daemon(s, fd, false);
	if (r < 0)
		return sentence(ret_error, r, path, "cannot serve");
	log_info("listening on %s", path);
	return 0;
}

int server_start(struct service *service, struct server **ret, char **ret_error)
{
	const struct queryd_conf *conf = service->conf;
	struct server *s = calloc(1, sizeof *s);
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->service = service;
	if (pthread_mutex_init(&s->lock, NULL) != 0 || pthread_cond_init(&s->idle, NULL) != 0) {
		free(s);
		return -ENOMEM;
	}
	if (conf->cert || conf->allow_plain_loopback)
		r = start_tcp(s, ret_error);
	if (r >= 0 && conf->unix_socket)
		r = start_unix(s, ret_error);
	if (r < 0) {
		(void)server_stop(s, 0);
		return r;
	}
	*ret = s;
	return 0;
}

/* ---- stopping ---- */

static void wait_until_idle(struct server *s, uint64_t drain_sec)
{
	struct timespec deadline;
	int r = 0;

	(void)clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += (time_t)drain_sec;
	(void)pthread_mutex_lock(&s->lock);
	s->draining = true;
	while (s->requests > 0 && r == 0)
		r = pthread_cond_timedwait(&s->idle, &s->lock, &deadline);
	(void)pthread_mutex_unlock(&s->lock);
}

struct server *server_stop(struct server *s, uint64_t drain_sec)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_daemons; i++) {
		int fd = MHD_quiesce_daemon(s->daemons[i]);

		close_fd(&fd);
	}
	if (s->owns_unix_socket)
		unix_socket_remove(s->service->conf->unix_socket);
	wait_until_idle(s, drain_sec);
	for (size_t i = 0; i < s->n_daemons; i++)
		MHD_stop_daemon(s->daemons[i]);
	(void)pthread_cond_destroy(&s->idle);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->cert);
	if (s->key)
		explicit_bzero(s->key, strlen(s->key));
	free(s->key);
	free(s);
	return NULL;
}
