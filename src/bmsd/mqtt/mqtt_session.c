/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <mosquitto.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "bmsd/mqtt.h"
#include "common/backoff.h"
#include "common/log.h"

#define WINDOW	     8
#define QOS	     1
#define LOOP_MSEC    1000
#define FIRST_MSEC   1000
#define GOODBYE_SEC  2
#define AVAILABILITY "availability"
/* Pauses grow up to 16 seconds: the buffer holds minutes only. */
#define FAILURES_MAX 5
#define STEADY_MSEC  30000

/* libmosquitto connects and resolves names in a blocking way, so a thread of its own does that. What
 * happens there comes to the event loop over a pipe, in order; the loop owns everything else. */
enum news {
	NEWS_UP,
	NEWS_DOWN,    /* value: a mosquitto error */
	NEWS_REFUSED, /* value: the broker's reason */
	NEWS_ARRIVED, /* value: message id */
};

struct telegram {
	enum news news;
	int value;
};

struct mqtt_session {
	sd_event *event;
	const struct mqtt_conf *conf;
	void (*on_connected)(void *userdata);
	void *userdata;
	struct mqtt_buffer buffer;
	char availability[MQTT_TOPIC_BYTES];
	bool up;
	bool refused; /* by this connection's broker; that it then ends is no news */
	int said;     /* the failure that was logged last; 0: none */
	uint64_t dropped_said;
	sd_event_source *source;
	int pipe[2];
	int wake_fd; /* ends a pause */
	atomic_bool ending;
	bool thread_runs;
	pthread_t thread;
	pthread_mutex_t lock; /* of client */
	struct mosquitto *client;
};

/* ---- in the thread ---- */

static void tell(struct mqtt_session *s, enum news news, int value)
{
	struct telegram t = { .news = news, .value = value };

	while (write(s->pipe[1], &t, sizeof t) < 0 && errno == EINTR)
		;
}

static void on_connect(struct mosquitto *client, void *userdata, int reason)
{
	(void)client;
	tell(userdata, reason == 0 ? NEWS_UP : NEWS_REFUSED, reason);
}

static void on_publish(struct mosquitto *client, void *userdata, int id)
{
	(void)client;
	tell(userdata, NEWS_ARRIVED, id);
}

static int prepare(struct mqtt_session *s, struct mosquitto *client)
{
	const struct mqtt_conf *c = s->conf;
	int rc;

	rc = mosquitto_threaded_set(client, true);
	if (rc == MOSQ_ERR_SUCCESS && c->username)
		rc = mosquitto_username_pw_set(client, c->username, c->password);
	if (rc == MOSQ_ERR_SUCCESS && c->tls)
		rc = mosquitto_tls_set(client, c->ca_file, NULL, c->cert_file, c->key_file, NULL);
	if (rc == MOSQ_ERR_SUCCESS && c->tls)
		rc = mosquitto_tls_opts_set(client, 1, "tlsv1.2", NULL);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_will_set(client, s->availability, 7, "offline", QOS, true);
	mosquitto_connect_callback_set(client, on_connect);
	mosquitto_publish_callback_set(client, on_publish);
	return rc;
}

static void show_client(struct mqtt_session *s, struct mosquitto *client)
{
	(void)pthread_mutex_lock(&s->lock);
	s->client = client;
	(void)pthread_mutex_unlock(&s->lock);
}

/* One connection, from its beginning to its end; a new client each time, so that the library
 * remembers no message which our buffer has, too. */
static int serve(struct mqtt_session *s)
{
	struct mosquitto *client = mosquitto_new(s->conf->client_id, true, s);
	int rc;

	if (!client)
		return MOSQ_ERR_NOMEM;
	rc = prepare(s, client);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_connect(client, s->conf->host, (int)s->conf->port,
				       (int)s->conf->keepalive_sec);
	if (rc == MOSQ_ERR_SUCCESS)
		show_client(s, client);
	while (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_loop(client, LOOP_MSEC, 1);
	show_client(s, NULL);
	mosquitto_destroy(client);
	return rc;
}

static uint64_t monotonic_msec(void)
{
	struct timespec now = {};

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void *run(void *userdata)
{
	struct mqtt_session *s = userdata;
	unsigned failures = 0;

	while (!atomic_load(&s->ending)) {
		struct pollfd wake = { .fd = s->wake_fd, .events = POLLIN };
		uint64_t began = monotonic_msec();
		int rc = serve(s);

		tell(s, NEWS_DOWN, rc);
		/* A connection that lasted was a good one. */
		failures = monotonic_msec() - began > STEADY_MSEC ? 1 : failures + 1;
		if (failures > FAILURES_MAX)
			failures = FAILURES_MAX;
		(void)poll(&wake, 1,
			   FIRST_MSEC / 2 +
				   (int)backoff_msec(failures, FIRST_MSEC, backoff_random()));
	}
	return NULL;
}

/* ---- in the loop ---- */

/* libmosquitto's answer to a message: it is on its way, or was not taken. */
static int send_message(struct mqtt_session *s, const char *topic, const char *payload, bool retain,
			int *ret_id)
{
	int rc = MOSQ_ERR_NO_CONN;

	(void)pthread_mutex_lock(&s->lock);
	if (s->client)
		rc = mosquitto_publish(s->client, ret_id, topic, (int)strlen(payload), payload, QOS,
				       retain);
	(void)pthread_mutex_unlock(&s->lock);
	return rc == MOSQ_ERR_SUCCESS ? 0 : -ENOTCONN;
}

static void flush(struct mqtt_session *s)
{
	struct mqtt_message *m;

	while (s->up && (m = mqtt_buffer_next(&s->buffer, WINDOW)))
		if (send_message(s, m->topic, m->payload, m->retain, &m->id) < 0)
			break;
}

static void say_down(struct mqtt_session *s, int error, const char *why)
{
	if (s->up || s->said != error)
		log_warning("broker %s:%u: %s; going on trying", s->conf->host,
			    (unsigned)s->conf->port, why);
	s->said = error;
	s->up = false;
	mqtt_buffer_rewind(&s->buffer);
}

static void say_up(struct mqtt_session *s)
{
	log_notice("broker %s:%u: connected%s", s->conf->host, (unsigned)s->conf->port,
		   s->conf->tls ? ", with TLS" : "");
	if (s->buffer.dropped != s->dropped_said)
		log_warning("%llu messages were dropped meanwhile, the oldest ones",
			    (unsigned long long)(s->buffer.dropped - s->dropped_said));
	s->dropped_said = s->buffer.dropped;
	s->said = 0;
	s->up = true;
	s->on_connected(s->userdata);
}

static int on_news(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct mqtt_session *s = userdata;
	struct telegram t = {};

	(void)source, (void)events;
	while (read(fd, &t, sizeof t) == (ssize_t)sizeof t) {
		switch (t.news) {
		case NEWS_UP: say_up(s); break;
		case NEWS_ARRIVED: mqtt_buffer_arrived(&s->buffer, t.value); break;
		case NEWS_REFUSED:
			s->refused = true;
			say_down(s, -t.value, mosquitto_connack_string(t.value));
			break;
		case NEWS_DOWN:
			if (!s->refused)
				say_down(s, t.value, mosquitto_strerror(t.value));
			s->refused = false;
			break;
		}
	}
	flush(s);
	return 0;
}

int mqtt_session_publish(struct mqtt_session *s, const char *topic, const char *payload,
			 bool retain)
{
	int r = mqtt_buffer_push(&s->buffer, topic, payload, retain);

	flush(s);
	return r;
}

int mqtt_session_say(struct mqtt_session *s, const char *topic, const char *payload)
{
	int id = 0;

	return s->up ? send_message(s, topic, payload, true, &id) : -ENOTCONN;
}

static int begin(struct mqtt_session *s)
{
	int r;

	/* The thread blocks on a full pipe rather than lose a message; the loop never blocks. */
	if (pipe2(s->pipe, O_CLOEXEC) < 0 || fcntl(s->pipe[0], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return -errno;
	r = sd_event_add_io(s->event, &s->source, s->pipe[0], EPOLLIN, on_news, s);
	if (r < 0)
		return r;
	r = -pthread_create(&s->thread, NULL, run, s);
	s->thread_runs = r == 0;
	return r;
}

int mqtt_session_new(sd_event *event, const struct mqtt_conf *conf,
		     void (*on_connected)(void *userdata), void *userdata,
		     struct mqtt_session **ret)
{
	_cleanup_(mqtt_session_freep) struct mqtt_session *s = calloc(1, sizeof *s);
	int r;

	if (!s)
		return -ENOMEM;
	s->event = sd_event_ref(event);
	s->conf = conf;
	s->on_connected = on_connected;
	s->userdata = userdata;
	s->buffer.max_bytes = conf->buffer_kib * 1024;
	s->pipe[0] = s->pipe[1] = s->wake_fd = FD_NONE;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)snprintf(s->availability, sizeof s->availability, "%s/" AVAILABILITY, conf->topic);
	(void)mosquitto_lib_init();
	r = begin(s);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

/* The will is not sent after a proper end, so it is said. */
static void say_goodbye(struct mqtt_session *s)
{
	if (mqtt_session_say(s, s->availability, "offline") < 0)
		log_debug("nobody hears that we go");
	(void)pthread_mutex_lock(&s->lock);
	if (s->client)
		(void)mosquitto_disconnect(s->client);
	(void)pthread_mutex_unlock(&s->lock);
}

static bool end_thread(struct mqtt_session *s)
{
	struct timespec until = {};
	uint64_t one = 1;

	if (!s->thread_runs)
		return true;
	atomic_store(&s->ending, true);
	say_goodbye(s);
	if (write(s->wake_fd, &one, sizeof one) < 0)
		log_debug("wake: %s", strerror(errno));
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += GOODBYE_SEC;
	return pthread_timedjoin_np(s->thread, NULL, &until) == 0;
}

struct mqtt_session *mqtt_session_free(struct mqtt_session *s)
{
	if (!s)
		return NULL;
	/* It may hang in a connect() to nowhere; the process ends, and all of this with it. */
	if (!end_thread(s))
		return NULL;
	mosquitto_lib_cleanup();
	sd_event_source_disable_unref(s->source);
	sd_event_unref(s->event);
	close_fd(&s->pipe[0]);
	close_fd(&s->pipe[1]);
	close_fd(&s->wake_fd);
	(void)pthread_mutex_destroy(&s->lock);
	mqtt_buffer_clear(&s->buffer);
	free(s);
	return NULL;
}
