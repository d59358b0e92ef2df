/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/poller.h"

#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "bmsd/link.h"

/* A frame that was under way when the line was opened has passed by then. */
#define SETTLE_MSEC	    50
#define RETRY_MIN_MSEC	    250
#define RETRY_MAX_MSEC	    5000
#define STUCK_AFTER_MSEC    5000
/* An adapter may be wedged in a way that only opening it anew cures. */
#define REOPEN_AFTER_FAILED 8
#define READ_BYTES	    512
#define READS_PER_WAKE_UP   8

enum phase {
	PHASE_CLOSED,	  /* open at due time */
	PHASE_CONNECTING, /* connected by due time */
	PHASE_SETTLE,	  /* discard until due time */
	PHASE_IDLE,	  /* next poll or command at due time */
	PHASE_QUIET,	  /* next request of this poll at due time */
	PHASE_WAITING,	  /* an answer by due time */
};

/* From poller_set_fet() until it is done. */
struct command {
	bool waiting;
	bool allowed; /* by the sample of the last poll: it is next */
	bool sent;
	struct poller_command what;
};

struct poller {
	const struct driver *driver;
	void *driver_state;
	struct poller_settings settings;
	struct pack *pack;
	struct sample_gates gates;
	struct command command;
	poller_changed_fn changed;
	void *userdata;

	sd_event *event;
	sd_event_source *timer;
	sd_event_source *io;
	struct link *link;
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
	p->link = link_free(p->link);
}

static void end_command(struct poller *p, int error)
{
	struct command c = p->command;

	p->command = (struct command){};
	if (c.waiting)
		c.what.done(c.what.userdata, c.what.fet, error);
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
	end_command(p, -ENOTCONN);
	p->changed(p->userdata);
}

/* When the board may be asked again, if it has just spoken. The time that we know was cut to
 * milliseconds. */
static int64_t after_quiet_msec(const struct poller *p)
{
	return now_msec(p) + (int64_t)p->driver->quiet_msec + 1;
}

static void poll_soon(struct poller *p)
{
	enter(p, PHASE_IDLE, after_quiet_msec(p));
}

/* The next poll is due one interval after the last one began; periods that were missed are not
 * made up for. */
static void wait_for_next_poll(struct poller *p)
{
	int64_t due = p->poll_started_msec + (int64_t)p->settings.interval_msec;

	poll_soon(p);
	if (!p->command.waiting && due > p->due_msec)
		enter(p, PHASE_IDLE, due);
}

/* What was right when the command was given need not be so now. */
static void review_command(struct poller *p, const struct sample *s)
{
	const struct poller_command *c = &p->command.what;

	if (!p->command.waiting)
		return;
	if (!s)
		end_command(p, -ENODATA);
	else if (c->may && !c->may(c->userdata, c->fet, c->on, s))
		end_command(p, -EBUSY);
	else
		p->command.allowed = true;
}

/* The sample, if it is one and is believed. */
static bool take_sample(struct poller *p, struct sample *s)
{
	char reason[SAMPLE_REASON_BYTES] = "";
	enum sample_gate gate = SAMPLE_GATE_ASLEEP;

	if (p->driver->commit(p->driver_state, s) < 0) {
		pack_errors(p->pack)->n[LINK_ERROR_MALFORMED]++;
		pack_poll_failed(p->pack, "the board's answers do not fit each other");
		return false;
	}
	if (sample_admit(&p->gates, s, &p->settings.limits, now_msec(p), &gate, reason) < 0) {
		pack_poll_refused(p->pack, gate, reason);
		return false;
	}
	pack_poll_good(p->pack, s, now_msec(p));
	return true;
}

static void poll_good(struct poller *p)
{
	struct sample s = {};
	bool believed;

	p->failed_in_a_row = 0;
	p->retry_msec = RETRY_MIN_MSEC;
	believed = take_sample(p, &s);
	review_command(p, believed ? &s : NULL);
	wait_for_next_poll(p);
	p->changed(p->userdata);
}

static void forget_board(struct poller *p)
{
	p->driver->init(p->driver_state);
	p->gates = (struct sample_gates){};
}

static void poll_failed(struct poller *p, enum driver_step step, const char *reason)
{
	if (step == DRIVER_ASLEEP)
		pack_poll_asleep(p->pack, "the board is asleep: it answers, but measures nothing");
	else
		pack_poll_failed(p->pack, reason);
	if (++p->failed_in_a_row < REOPEN_AFTER_FAILED) {
		end_command(p, -EAGAIN);
		wait_for_next_poll(p);
	} else {
		p->failed_in_a_row = 0;
		/* After such a silence it may be another board that answers. */
		forget_board(p);
		close_line(p);
		enter(p, PHASE_CLOSED, now_msec(p) + (int64_t)p->settings.interval_msec);
		end_command(p, -ENOTCONN);
	}
	p->changed(p->userdata);
}

static void send_request(struct poller *p, const uint8_t *request, size_t size)
{
	ssize_t n = link_write(p->link, request, size);

	if (n < 0 && n != -EAGAIN) {
		line_lost(p, (int)n);
		return;
	}
	capture_note(p->settings.capture, CAPTURE_TX, request, size, now_msec(p));
	/* A line that takes no bytes gives no answer either: the timeout says so. */
	enter(p, PHASE_WAITING, now_msec(p) + (int64_t)p->settings.timeout_msec);
}

static void send_next(struct poller *p)
{
	uint8_t request[DRIVER_REQUEST_BYTES];

	send_request(p, request, p->driver->next(p->driver_state, request));
}

/* The board took the command or did not; what came of it the next poll shows. */
static void follow_command(struct poller *p, enum driver_step step, int error)
{
	if (step == DRIVER_WAIT)
		return;
	poll_soon(p);
	end_command(p, step == DRIVER_DONE ? 0 : error);
}

static void follow_poll(struct poller *p, enum driver_step step, const char *reason)
{
	switch (step) {
	case DRIVER_WAIT: break;
	case DRIVER_SEND:
		if (p->driver->quiet_msec)
			enter(p, PHASE_QUIET, after_quiet_msec(p));
		else
			send_next(p);
		break;
	case DRIVER_DONE: poll_good(p); break;
	case DRIVER_FAILED:
	case DRIVER_ASLEEP: poll_failed(p, step, reason); break;
	}
}

static void feed(struct poller *p, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size && p->phase == PHASE_WAITING; i++) {
		enum driver_step step = p->driver->rx(p->driver_state, bytes[i],
						      pack_errors(p->pack));

		if (p->command.sent)
			follow_command(p, step, -EREMOTEIO);
		else
			follow_poll(p, step, "the board refuses the request, or answers nonsense");
	}
}

static void nothing_came(struct poller *p)
{
	enum driver_step step = p->driver->timeout(p->driver_state, pack_errors(p->pack));

	if (p->command.sent)
		follow_command(p, step, -ETIMEDOUT);
	else
		follow_poll(p, step, "the board does not answer");
}

static void begin_poll(struct poller *p)
{
	uint8_t request[DRIVER_REQUEST_BYTES];

	p->poll_started_msec = now_msec(p);
	if (p->driver->read_directory) {
		follow_poll(p,
			    p->driver->read_directory(p->driver_state, link_directory(p->link),
						      pack_errors(p->pack)),
			    "no battery is there, or it says nothing");
		return;
	}
	link_discard(p->link);
	send_request(p, request, p->driver->begin(p->driver_state, request));
}

static void begin_command(struct poller *p)
{
	uint8_t request[DRIVER_REQUEST_BYTES];
	const struct poller_command *c = &p->command.what;
	ssize_t size = p->driver->set_fet(p->driver_state, c->fet, c->on, request);

	if (size < 0) {
		end_command(p, (int)size);
		begin_poll(p);
		return;
	}
	p->command.sent = true;
	link_discard(p->link);
	send_request(p, request, (size_t)size);
}

static void begin(struct poller *p)
{
	if (p->command.allowed)
		begin_command(p);
	else
		begin_poll(p);
}

/* ---- the line ---- */

static void line_is_open(struct poller *p)
{
	forget_board(p);
	capture_note(p->settings.capture, CAPTURE_OPEN, NULL, 0, now_msec(p));
	pack_line_opened(p->pack);
	enter(p, PHASE_SETTLE, now_msec(p) + SETTLE_MSEC);
}

static void line_connects(struct poller *p)
{
	int r = link_finish(p->link);

	if (r >= 0)
		r = sd_event_source_set_io_events(p->io, link_events(p->link));
	if (r < 0)
		line_lost(p, r);
	else
		line_is_open(p);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct poller *p = userdata;
	uint8_t bytes[READ_BYTES];

	(void)source, (void)fd;
	if (link_is_connecting(p->link)) {
		line_connects(p);
		return 0;
	}
	/* Bounded, so that a line gone mad cannot keep the loop from everything else. */
	for (unsigned i = 0; i < READS_PER_WAKE_UP; i++) {
		ssize_t n = link_read(p->link, bytes, sizeof bytes);

		if (n == -EAGAIN && events & (EPOLLHUP | EPOLLERR))
			n = -EIO;
		if (n == -EAGAIN || n == -EINTR)
			return 0;
		if (n < 0) {
			line_lost(p, (int)n);
			return 0;
		}
		capture_note(p->settings.capture, CAPTURE_RX, bytes, (size_t)n, now_msec(p));
		feed(p, bytes, (size_t)n);
		if (!p->link)
			return 0;
	}
	return 0;
}

/* A driver that reads directories needs one, and the others need bytes. */
static int watch_line(struct poller *p)
{
	bool is_directory = link_directory(p->link) >= 0;

	if (is_directory != (p->driver->read_directory != NULL))
		return is_directory ? -EISDIR : -ENOTDIR;
	if (is_directory)
		return 0;
	return sd_event_add_io(p->event, &p->io, link_fd(p->link), link_events(p->link), on_ready,
			       p);
}

static void open_line(struct poller *p)
{
	int r = link_open(p->settings.device, p->settings.baud, &p->link);

	if (r >= 0)
		r = watch_line(p);
	if (r < 0)
		line_lost(p, r);
	else if (link_is_connecting(p->link))
		enter(p, PHASE_CONNECTING, now_msec(p) + LINK_CONNECT_MSEC);
	else
		line_is_open(p);
}

static int on_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct poller *p = userdata;

	(void)source;
	(void)usec;
	switch (p->phase) {
	case PHASE_CLOSED: open_line(p); break;
	case PHASE_CONNECTING: line_lost(p, -ETIMEDOUT); break;
	case PHASE_SETTLE:
	case PHASE_IDLE: begin(p); break;
	case PHASE_QUIET: send_next(p); break;
	case PHASE_WAITING: nothing_came(p); break;
	}
	return 0;
}

int poller_set_fet(struct poller *p, const struct poller_command *command)
{
	struct pack_view v;

	if (!p->driver->set_fet)
		return -EOPNOTSUPP;
	if (p->command.waiting)
		return -EBUSY;
	if (!p->link || p->phase == PHASE_CONNECTING)
		return -ENOTCONN;
	pack_look(p->pack, now_msec(p), &v);
	if (!v.present)
		return -ENODATA;
	p->command = (struct command){ .waiting = true, .what = *command };
	if (p->phase == PHASE_IDLE)
		poll_soon(p);
	return 0;
}

int poller_new(sd_event *event, const struct driver *driver, const struct poller_settings *settings,
	       struct pack *pack, poller_changed_fn changed, void *userdata, struct poller **ret)
{
	_cleanup_(poller_freep) struct poller *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
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
