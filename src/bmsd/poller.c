/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/poller.h"

#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "bmsd/link_serial.h"
#include "common/log.h"

/* A frame that was under way when the line was opened has passed by then. */
#define SETTLE_MSEC	    50
#define RETRY_MIN_MSEC	    250
#define RETRY_MAX_MSEC	    5000
#define STUCK_AFTER_MSEC    5000
/* An adapter may be wedged in a way that only opening it anew cures. */
#define REOPEN_AFTER_FAILED 8
#define READ_BYTES	    256
#define READS_PER_WAKE_UP   8

enum phase {
	PHASE_CLOSED,  /* open at due time */
	PHASE_SETTLE,  /* discard until due time */
	PHASE_IDLE,    /* next poll at due time */
	PHASE_WAITING, /* an answer by due time */
};

struct poller {
	const struct driver *driver;
	void *driver_state;
	struct poller_settings settings;
	struct pack *pack;
	struct sample_gates gates;
	poller_changed_fn changed;
	void *userdata;

	sd_event *event;
	sd_event_source *timer;
	sd_event_source *io;
	int fd;
	enum phase phase;
	int64_t due_msec;
	int64_t progress_msec;
	int64_t poll_started_msec;
	uint64_t retry_msec;
	unsigned failed_in_a_row;
};

static int64_t now_msec(const struct poller *p)
{
	uint64_t usec = 0;

	(void)sd_event_now(p->event, CLOCK_MONOTONIC, &usec);
	return (int64_t)(usec / 1000);
}

static void enter(struct poller *p, enum phase phase, int64_t due_msec)
{
	p->phase = phase;
	p->due_msec = due_msec;
	p->progress_msec = now_msec(p);
	(void)sd_event_source_set_time(p->timer, (uint64_t)due_msec * 1000);
	(void)sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void close_line(struct poller *p)
{
	p->io = sd_event_source_disable_unref(p->io);
	link_serial_close(p->fd);
	p->fd = FD_NONE;
}

static void line_lost(struct poller *p, int error)
{
	char reason[PACK_DETAIL_BYTES];

	p->failed_in_a_row = 0;
	close_line(p);
	(void)snprintf(reason, sizeof reason, "%s: %s", p->settings.device, strerror(-error));
	pack_errors(p->pack)->n[LINK_ERROR_IO]++;
	pack_link_lost(p->pack, reason);
	enter(p, PHASE_CLOSED, now_msec(p) + (int64_t)p->retry_msec);
	p->retry_msec = p->retry_msec * 2 < RETRY_MAX_MSEC ? p->retry_msec * 2 : RETRY_MAX_MSEC;
	p->changed(p->userdata);
}

/* The next poll is due one interval after the last one began; periods that were missed are not
 * made up for. */
static void wait_for_next_poll(struct poller *p)
{
	int64_t now = now_msec(p);
	int64_t due = p->poll_started_msec + (int64_t)p->settings.interval_msec;

	enter(p, PHASE_IDLE, due > now ? due : now + 1);
}

static void poll_good(struct poller *p)
{
	struct sample s = {};
	char reason[SAMPLE_REASON_BYTES] = "";
	enum sample_gate gate = SAMPLE_GATE_ASLEEP;
	int r;

	p->failed_in_a_row = 0;
	p->retry_msec = RETRY_MIN_MSEC;
	r = p->driver->commit(p->driver_state, &s);
	if (r < 0) {
		pack_errors(p->pack)->n[LINK_ERROR_MALFORMED]++;
		pack_poll_failed(p->pack, "the board's answers do not fit each other");
	} else if (sample_admit(&p->gates, &s, &p->settings.limits, now_msec(p), &gate, reason) <
		   0) {
		pack_poll_refused(p->pack, gate, reason);
	} else {
		pack_poll_good(p->pack, &s, now_msec(p));
	}
	wait_for_next_poll(p);
	p->changed(p->userdata);
}

static void poll_failed(struct poller *p, const char *reason)
{
	pack_poll_failed(p->pack, reason);
	if (++p->failed_in_a_row < REOPEN_AFTER_FAILED) {
		wait_for_next_poll(p);
	} else {
		p->failed_in_a_row = 0;
		/* After such a silence it may be another board that answers. */
		p->driver->init(p->driver_state);
		close_line(p);
		enter(p, PHASE_CLOSED, now_msec(p) + (int64_t)p->settings.interval_msec);
	}
	p->changed(p->userdata);
}

static void send_request(struct poller *p, const uint8_t *request, size_t size)
{
	ssize_t n = write(p->fd, request, size);

	if (n < 0 && errno != EAGAIN) {
		line_lost(p, -errno);
		return;
	}
	/* A line that takes no bytes gives no answer either: the timeout says so. */
	enter(p, PHASE_WAITING, now_msec(p) + (int64_t)p->settings.timeout_msec);
}

static void begin_poll(struct poller *p)
{
	uint8_t request[DRIVER_REQUEST_BYTES];

	p->poll_started_msec = now_msec(p);
	link_serial_discard(p->fd);
	send_request(p, request, p->driver->begin(p->driver_state, request));
}

static void follow(struct poller *p, enum driver_step step, const char *reason)
{
	uint8_t request[DRIVER_REQUEST_BYTES];

	switch (step) {
	case DRIVER_WAIT: break;
	case DRIVER_SEND:
		send_request(p, request, p->driver->next(p->driver_state, request));
		break;
	case DRIVER_DONE: poll_good(p); break;
	case DRIVER_FAILED: poll_failed(p, reason); break;
	case DRIVER_ASLEEP: poll_failed(p, "the board is asleep"); break;
	}
}

static void feed(struct poller *p, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size && p->phase == PHASE_WAITING; i++)
		follow(p, p->driver->rx(p->driver_state, bytes[i], pack_errors(p->pack)),
		       "the board refuses the request, or answers nonsense");
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct poller *p = userdata;
	uint8_t bytes[READ_BYTES];

	(void)source;
	/* Bounded, so that a line gone mad cannot keep the loop from everything else. */
	for (unsigned i = 0; i < READS_PER_WAKE_UP; i++) {
		ssize_t n = read(fd, bytes, sizeof bytes);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n <= 0) {
			/* Raw with VMIN 0: end of file is "nothing there" unless the line hung up. */
			if (n < 0 || events & (EPOLLHUP | EPOLLERR))
				line_lost(p, n < 0 ? -errno : -EIO);
			return 0;
		}
		feed(p, bytes, (size_t)n);
		if (p->fd < 0)
			return 0;
	}
	return 0;
}

static void open_line(struct poller *p)
{
	int r;

	p->fd = link_serial_open(p->settings.device, p->settings.baud);
	if (p->fd < 0) {
		line_lost(p, p->fd);
		return;
	}
	p->driver->init(p->driver_state);
	r = sd_event_add_io(p->event, &p->io, p->fd, EPOLLIN, on_readable, p);
	if (r < 0) {
		line_lost(p, r);
		return;
	}
	enter(p, PHASE_SETTLE, now_msec(p) + SETTLE_MSEC);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct poller *p = userdata;

	(void)source;
	(void)usec;
	switch (p->phase) {
	case PHASE_CLOSED: open_line(p); break;
	case PHASE_SETTLE:
	case PHASE_IDLE: begin_poll(p); break;
	case PHASE_WAITING:
		follow(p, p->driver->timeout(p->driver_state, pack_errors(p->pack)),
		       "the board does not answer");
		break;
	}
	return 0;
}

int poller_new(sd_event *event, const struct driver *driver, const struct poller_settings *settings,
	       struct pack *pack, poller_changed_fn changed, void *userdata, struct poller **ret)
{
	_cleanup_(poller_freep) struct poller *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->fd = FD_NONE;
	p->driver = driver;
	p->settings = *settings;
	p->pack = pack;
	p->changed = changed;
	p->userdata = userdata;
	p->retry_msec = RETRY_MIN_MSEC;
	p->driver_state = calloc(1, driver->state_bytes);
	if (!p->driver_state)
		return -ENOMEM;
	p->event = sd_event_ref(event);
	r = sd_event_add_time(event, &p->timer, CLOCK_MONOTONIC, 0, 1000, on_due, p);
	if (r < 0)
		return r;
	enter(p, PHASE_CLOSED, now_msec(p));
	*ret = TAKE_PTR(p);
	return 0;
}

struct poller *poller_free(struct poller *p)
{
	if (!p)
		return NULL;
	close_line(p);
	sd_event_source_disable_unref(p->timer);
	sd_event_unref(p->event);
	free(p->driver_state);
	free(p);
	return NULL;
}

int64_t poller_progress_msec(const struct poller *p)
{
	return p->progress_msec;
}

bool poller_is_stuck(const struct poller *p, int64_t now)
{
	return now > p->due_msec + STUCK_AFTER_MSEC;
}
