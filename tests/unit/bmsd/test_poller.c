/* SPDX-License-Identifier: Apache-2.0 */
/* The poller over every kind of link, with a board at the other end in the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <termios.h>
#include <time.h>

#include "bmsd/capture.h"
#include "bmsd/daly.h"
#include "bmsd/jbd.h"
#include "bmsd/link.h"
#include "bmsd/poller.h"
#include "common/fsutil.h"

#define DEADLINE_MSEC 20000
#define MAX_SAMPLES   16

struct fixture {
	char dir[64];
	char device[160];
	sd_event *event;
	sd_event_source *io, *accept;
	int master, slave, listener;
	/* The board. */
	uint8_t request[64];
	size_t used;
	unsigned answers;
	bool silent;
	uint8_t written[4]; /* to the register of the switches */
	size_t n_written;
	uint8_t fets, percent;
	int16_t centiamperes;
	int64_t answered_usec, pause_usec_min;
	/* What came of it. */
	struct pack *pack;
	struct poller *poller;
	size_t n_samples;
	struct sample samples[MAX_SAMPLES];
	uint64_t seen;
	bool commanded, ignores_commands;
	enum fet commanded_fet;
	int command_error;
};

static int64_t clock_usec(void)
{
	struct timespec t;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof f->dir, "/tmp/test-poller-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->master = f->slave = f->listener = FD_NONE;
	f->fets = 3;
	f->percent = 80;
	f->pause_usec_min = INT64_MAX;
	assert_int_equal(sd_event_new(&f->event), 0);
	*state = f;
	return 0;
}

static void hang_up(struct fixture *f)
{
	f->io = sd_event_source_disable_unref(f->io);
	close_fd(&f->slave);
	close_fd(&f->master);
	f->master = f->slave = FD_NONE;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hang_up(f);
	f->accept = sd_event_source_disable_unref(f->accept);
	close_fd(&f->listener);
	(void)poller_free(f->poller);
	(void)pack_free(f->pack);
	sd_event_unref(f->event);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->dir), 0);
	free(f);
	return 0;
}

/* ---- the board ---- */

/* Every answer to the question for the voltage tells another one. */
static size_t answer_jbd(struct fixture *f, uint8_t *frame)
{
	uint8_t basic[JBD_BASIC_BYTES + 2] = { 0x06, 0x18, [21] = 4, [22] = 1, 0x0b, 0x8b };
	static const uint8_t cells[] = { 0x0f, 0x45, 0x0f, 0x3d, 0x0f, 0x37, 0x0f, 0x3d };

	switch (f->request[2]) {
	case JBD_BASIC:
		basic[1] = (uint8_t)(basic[1] + f->answers++);
		basic[2] = (uint8_t)((uint16_t)f->centiamperes >> 8);
		basic[3] = (uint8_t)(f->centiamperes & 0xff);
		basic[19] = f->percent;
		basic[20] = f->fets;
		return jbd_build_answer(JBD_BASIC, 0, basic, sizeof basic, frame);
	case JBD_CELLS: return jbd_build_answer(JBD_CELLS, 0, cells, sizeof cells, frame);
	case JBD_MODEL: return jbd_build_answer(JBD_MODEL, 0, (const uint8_t *)"TEST", 4, frame);
	case JBD_SWITCHES:
		assert_true(f->n_written < sizeof f->written);
		f->written[f->n_written++] = f->request[5];
		f->fets = (uint8_t)(~f->request[5] & 3);
		return jbd_build_answer(JBD_SWITCHES, 0, NULL, 0, frame);
	default: return jbd_build_answer(f->request[2], JBD_STATUS_ERROR, NULL, 0, frame);
	}
}

static size_t answer_daly(struct fixture *f, uint8_t *frames)
{
	static const uint8_t data[256][DALY_DATA_BYTES] = {
		[DALY_STATUS] = { 3 },
		[DALY_BASIC] = { 0, 114, 0, 0, 0x75, 0x30, 3, 0 },
		[DALY_CELLS] = { 1, 0x0e, 0xd8, 0x0e, 0xd8, 0x0e, 0xd8 },
	};
	size_t size = 0;

	for (unsigned i = 1; i <= (f->request[2] == DALY_CODE ? DALY_CODE_FRAMES : 1u); i++) {
		uint8_t one[DALY_DATA_BYTES];

		memcpy(one, data[f->request[2]], sizeof one);
		if (f->request[2] == DALY_CODE)
			one[0] = (uint8_t)i;
		size += daly_build(DALY_BOARD, f->request[2], one, frames + size);
	}
	f->answers += f->request[2] == DALY_BASIC;
	return size;
}

static bool is_whole_request(const struct fixture *f)
{
	if (f->request[0] == DALY_START)
		return f->used == DALY_FRAME_BYTES;
	return f->used >= 4 && f->used == (size_t)f->request[3] + JBD_OVERHEAD_BYTES;
}

static void answer(struct fixture *f)
{
	uint8_t frame[JBD_FRAME_BYTES];
	int64_t now = clock_usec();
	size_t size;

	if (f->answered_usec && now - f->answered_usec < f->pause_usec_min)
		f->pause_usec_min = now - f->answered_usec;
	f->used = 0;
	if (f->silent || (f->ignores_commands && f->request[1] == JBD_WRITE))
		return;
	size = f->request[0] == DALY_START ? answer_daly(f, frame) : answer_jbd(f, frame);
	assert_int_equal(write(f->master, frame, size), (ssize_t)size);
	f->answered_usec = clock_usec();
}

static int on_request(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct fixture *f = userdata;
	uint8_t bytes[64];
	ssize_t n = read(fd, bytes, sizeof bytes);

	(void)source, (void)events;
	for (ssize_t i = 0; i < n; i++) {
		assert_true(f->used < sizeof f->request);
		f->request[f->used++] = bytes[i];
		if (is_whole_request(f))
			answer(f);
	}
	return 0;
}

static void open_terminal(struct fixture *f)
{
	struct termios t;

	f->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(f->master >= 0);
	assert_int_equal(grantpt(f->master), 0);
	assert_int_equal(unlockpt(f->master), 0);
	assert_int_equal(ptsname_r(f->master, f->device, sizeof f->device), 0);
	f->slave = open(f->device, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(f->slave >= 0);
	assert_int_equal(tcgetattr(f->slave, &t), 0);
	cfmakeraw(&t);
	assert_int_equal(tcsetattr(f->slave, TCSANOW, &t), 0);
	assert_int_equal(sd_event_add_io(f->event, &f->io, f->master, EPOLLIN, on_request, f), 0);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct fixture *f = userdata;

	(void)source, (void)events;
	hang_up(f);
	f->used = 0;
	f->master = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(f->master >= 0);
	assert_int_equal(sd_event_add_io(f->event, &f->io, f->master, EPOLLIN, on_request, f), 0);
	return 0;
}

static void listen_at_loopback(struct fixture *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof a;

	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(f->listener >= 0);
	assert_int_equal(bind(f->listener, (const struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(f->listener, 4), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &size), 0);
	(void)snprintf(f->device, sizeof f->device, "tcp:127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(
		sd_event_add_io(f->event, &f->accept, f->listener, EPOLLIN, on_connection, f), 0);
}

/* ---- the poller ---- */

static void on_changed(void *userdata)
{
	struct fixture *f = userdata;
	struct pack_view v;

	pack_look(f->pack, clock_usec() / 1000, &v);
	if (v.samples_ok == f->seen)
		return;
	f->seen = v.samples_ok;
	if (f->n_samples < MAX_SAMPLES)
		f->samples[f->n_samples++] = v.sample;
}

static void start(struct fixture *f, const struct driver *driver, struct capture *capture)
{
	struct poller_settings settings = { .device = f->device,
					    .baud = 9600,
					    .interval_msec = 100,
					    .timeout_msec = 100,
					    .limits = { 1000000, 5000000, 500000000, 0 },
					    .capture = capture };

	f->poller = poller_free(f->poller);
	f->pack = pack_free(f->pack);
	f->n_samples = 0;
	f->seen = 0;
	assert_int_equal(pack_new("test", driver->name, 60000, &f->pack), 0);
	assert_int_equal(
		poller_new(f->event, driver, &settings, f->pack, on_changed, f, &f->poller), 0);
}

static struct pack_view look(struct fixture *f)
{
	struct pack_view v;

	pack_look(f->pack, clock_usec() / 1000, &v);
	return v;
}

#define run_until(f, condition)                                                                    \
	do {                                                                                       \
		int64_t end_ = clock_usec() + DEADLINE_MSEC * 1000;                                \
		while (!(condition)) {                                                             \
			assert_true(clock_usec() < end_);                                          \
			assert_true(sd_event_run((f)->event, 1000000) >= 0);                       \
		}                                                                                  \
	} while (0)

/* ---- serial lines ---- */

static void test_a_serial_line(void **state)
{
	struct fixture *f = *state;
	struct link *other = NULL;

	open_terminal(f);
	start(f, &driver_jbd, NULL);
	run_until(f, f->n_samples == 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(f->samples[i].voltage_uv, (1560 + i) * 10000);
	assert_string_equal(f->samples[0].model, "TEST");
	assert_true(look(f).line_open && look(f).link_up);
	assert_int_equal(look(f).errors.n[LINK_ERROR_TIMEOUT], 0);
	/* Nobody else gets at it: not by opening it, and not who may do so anyway. */
	(void)ioctl(f->slave, TIOCNXCL);
	assert_int_equal(link_open(f->device, 9600, &other), -EBUSY);
	assert_null(other);
	/* And the attempt took nothing from us. */
	run_until(f, f->n_samples == 5);
	hang_up(f);
	run_until(f, !look(f).line_open);
	assert_false(look(f).present);
	assert_int_equal(look(f).lines_lost, 1);
	assert_non_null(strstr(look(f).detail, f->device));
}

static void test_silence_and_a_line_that_is_opened_anew(void **state)
{
	struct fixture *f = *state;

	open_terminal(f);
	f->silent = true;
	start(f, &driver_jbd, NULL);
	run_until(f, look(f).polls_failed == 9);
	assert_false(look(f).link_up);
	assert_true(look(f).line_open);
	assert_int_equal(look(f).lines_lost, 0);
	f->silent = false;
	run_until(f, f->n_samples == 1);
}

static void test_devices_that_are_none(void **state)
{
	struct fixture *f = *state;
	struct link *l = NULL;

	assert_int_equal(link_open("/dev/null", 9600, &l), -ENOTTY);
	assert_int_equal(link_open("/does/not/exist", 9600, &l), -ENOENT);
	open_terminal(f);
	assert_int_equal(link_open(f->device, 1234, &l), -EINVAL);
	assert_null(l);
}

static void test_what_the_line_was_set_to_before(void **state)
{
	struct fixture *f = *state;
	struct link *l = NULL;
	struct termios t;

	open_terminal(f);
	assert_int_equal(tcgetattr(f->slave, &t), 0);
	t.c_iflag |= IXOFF | IXON | IXANY | INPCK | IGNPAR | ISTRIP | INLCR;
	t.c_oflag |= OPOST | ONLCR;
	t.c_lflag |= ECHO | ICANON;
	t.c_cflag |= HUPCL | CSTOPB;
	assert_int_equal(tcsetattr(f->slave, TCSANOW, &t), 0);
	assert_int_equal(link_open(f->device, 9600, &l), 0);
	assert_int_equal(tcgetattr(f->slave, &t), 0);
	assert_int_equal(t.c_iflag, 0);
	assert_int_equal(t.c_oflag & OPOST, 0);
	assert_int_equal(t.c_lflag & (ECHO | ICANON | ISIG | IEXTEN), 0);
	assert_int_equal(t.c_cflag & (HUPCL | CSTOPB | PARENB | CRTSCTS), 0);
	assert_int_equal(t.c_cflag & (CLOCAL | CREAD | CSIZE), CLOCAL | CREAD | CS8);
	(void)link_free(l);
}

/* ---- switching ---- */

static void on_commanded(void *userdata, enum fet fet, int error)
{
	struct fixture *f = userdata;

	assert_false(f->commanded);
	assert_int_equal(fet, f->commanded_fet);
	f->commanded = true;
	f->command_error = error;
}

static bool no_current_flows(void *userdata, enum fet fet, bool on, const struct sample *s)
{
	(void)userdata, (void)fet;
	return on || s->current_ua == 0;
}

static int set_fet(struct fixture *f, enum fet fet, bool on)
{
	const struct poller_command c = {
		.fet = fet, .on = on, .may = no_current_flows, .done = on_commanded, .userdata = f
	};

	f->commanded = false;
	f->commanded_fet = fet;
	return poller_set_fet(f->poller, &c);
}

static void command(struct fixture *f, enum fet fet, bool on)
{
	assert_int_equal(set_fet(f, fet, on), 0);
	assert_int_equal(set_fet(f, fet, on), -EBUSY);
	run_until(f, f->commanded);
}

static void test_a_switch_is_switched_between_polls(void **state)
{
	struct fixture *f = *state;
	size_t before;

	open_terminal(f);
	start(f, &driver_jbd, NULL);
	assert_int_equal(set_fet(f, FET_CHARGE, false), -ENOTCONN);
	run_until(f, f->n_samples == 1);
	command(f, FET_CHARGE, false);
	assert_int_equal(f->command_error, 0);
	assert_int_equal(f->n_written, 1);
	assert_int_equal(f->written[0], JBD_FORCE_CHARGE_OFF);
	/* The next sample shows it. */
	before = f->n_samples;
	run_until(f, f->n_samples > before);
	assert_false(f->samples[before].charge_fet);
	assert_true(f->samples[before].discharge_fet);
	f->ignores_commands = true;
	command(f, FET_CHARGE, true);
	assert_int_equal(f->command_error, -ETIMEDOUT);
	f->silent = true;
	command(f, FET_CHARGE, true);
	assert_int_equal(f->command_error, -EAGAIN);
	assert_int_equal(set_fet(f, FET_CHARGE, true), 0);
	hang_up(f);
	run_until(f, f->commanded);
	assert_int_equal(f->command_error, -ENOTCONN);
}

static void test_what_is_not_right_any_more_is_not_sent(void **state)
{
	struct fixture *f = *state;

	open_terminal(f);
	start(f, &driver_jbd, NULL);
	run_until(f, f->n_samples == 1);
	/* The latest sample knows nothing of it yet. */
	f->centiamperes = -2000;
	command(f, FET_DISCHARGE, false);
	assert_int_equal(f->command_error, -EBUSY);
	f->centiamperes = 0;
	f->percent = 200;
	command(f, FET_DISCHARGE, false);
	assert_int_equal(f->command_error, -ENODATA);
	assert_int_equal(f->n_written, 0);
	f->percent = 80;
	command(f, FET_DISCHARGE, false);
	assert_int_equal(f->command_error, 0);
	assert_int_equal(f->n_written, 1);
	/* Giving back is right at any current. */
	f->centiamperes = 500;
	command(f, FET_DISCHARGE, true);
	assert_int_equal(f->command_error, 0);
}

static void test_a_driver_that_cannot_switch(void **state)
{
	struct fixture *f = *state;

	(void)snprintf(f->device, sizeof f->device, "%s", f->dir);
	start(f, &driver_power_supply, NULL);
	assert_int_equal(set_fet(f, FET_CHARGE, false), -EOPNOTSUPP);
}

static void test_a_board_that_needs_quiet_gets_it(void **state)
{
	struct fixture *f = *state;

	open_terminal(f);
	start(f, &driver_daly, NULL);
	run_until(f, f->n_samples == 3);
	assert_int_equal(f->samples[0].voltage_uv, 11400000);
	/* Timers are never early. */
	assert_true(f->pause_usec_min >= 20000);
}

/* ---- lines behind the network ---- */

static void test_a_line_behind_the_network(void **state)
{
	struct fixture *f = *state;

	listen_at_loopback(f);
	start(f, &driver_jbd, NULL);
	run_until(f, f->n_samples == 3);
	assert_int_equal(f->samples[2].voltage_uv, 15620000);
	hang_up(f);
	run_until(f, look(f).lines_lost == 1);
	assert_false(look(f).present);
	/* It comes back by itself. */
	run_until(f, f->n_samples == 4);
	/* And when nobody listens any more. */
	f->accept = sd_event_source_disable_unref(f->accept);
	close_fd(&f->listener);
	f->listener = FD_NONE;
	hang_up(f);
	run_until(f, strstr(look(f).detail, "refused"));
	assert_false(look(f).line_open);
	assert_false(poller_is_stuck(f->poller, clock_usec() / 1000));
}

static void test_what_was_sent_does_not_arrive_later(void **state)
{
	struct fixture *f = *state;
	struct link *l = NULL;
	struct linger linger = {};
	unsigned unheard_msec = 0;
	socklen_t size = sizeof linger;

	listen_at_loopback(f);
	assert_int_equal(link_open(f->device, 9600, &l), 0);
	assert_int_equal(getsockopt(link_fd(l), SOL_SOCKET, SO_LINGER, &linger, &size), 0);
	assert_true(linger.l_onoff && linger.l_linger == 0);
	size = sizeof unheard_msec;
	assert_int_equal(
		getsockopt(link_fd(l), IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_msec, &size), 0);
	assert_int_equal(unheard_msec, 5000);
	(void)link_free(l);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *device;
		int expected;
	} table[] = {
		{ "/dev/ttyUSB0", 0 },
		{ "tcp:192.0.2.7:2000", 0 },
		{ "tcp:[2001:db8::7]:65535", 0 },
		{ "replay:/tmp/x", 0 },
		{ "replay-fast:/tmp/x", 0 },
		{ "tcp:gateway.example:2000", -EINVAL }, /* no names */
		{ "tcp:2001:db8::7:2000", -EINVAL },
		{ "tcp:[192.0.2.7]:2000", -EINVAL },
		{ "tcp:192.0.2.7", -EINVAL },
		{ "tcp:192.0.2.7:", -EINVAL },
		{ "tcp:192.0.2.7:0", -EINVAL },
		{ "tcp:192.0.2.7:65536", -EINVAL },
		{ "tcp:192.0.2.7:20x", -EINVAL },
		{ "tcp:192.0.2.7:+20", -EINVAL },
		{ "tcp::2000", -EINVAL },
		{ "tcp:[]:2000", -EINVAL },
		{ "tcp:", -EINVAL },
		{ "tcp:1111111111111111111111111111111111111111111111111111:1", -EINVAL },
		{ "replay:x", -EINVAL },
		{ "replay:", -EINVAL },
		{ "ttyUSB0", -EINVAL },
		{ "", -EINVAL },
		{ "udp:192.0.2.7:2000", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		const char *error = NULL;

		assert_int_equal(link_check(table[i].device, &error), table[i].expected);
		assert_true((error != NULL) == (table[i].expected < 0));
	}
}

/* ---- recordings ---- */

static void put(struct fixture *f, const char *name, const char *value)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(value, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_a_recording_gives_the_same_samples_again(void **state)
{
	static const char *const kinds[] = { "replay", "replay-fast" };
	struct fixture *f = *state;
	struct sample recorded[5];
	struct capture *capture = NULL;
	char path[128];

	(void)snprintf(path, sizeof path, "%s/session.jsonl", f->dir);
	assert_int_equal(capture_open(path, 1 << 20, &capture), 0);
	listen_at_loopback(f);
	start(f, &driver_jbd, capture);
	run_until(f, f->n_samples == 5);
	memcpy(recorded, f->samples, sizeof recorded);
	f->poller = poller_free(f->poller);
	(void)capture_free(capture);
	for (size_t k = 0; k < ELEMENTSOF(kinds); k++) {
		(void)snprintf(f->device, sizeof f->device, "%s:%s", kinds[k], path);
		start(f, &driver_jbd, NULL);
		run_until(f, look(f).lines_lost == 1);
		assert_true(f->n_samples >= 5);
		for (size_t i = 0; i < 5; i++)
			assert_memory_equal(&f->samples[i], &recorded[i], sizeof recorded[i]);
		/* And from its beginning. */
		f->n_samples = 0;
		run_until(f, f->n_samples == 1);
		assert_memory_equal(&f->samples[0], &recorded[0], sizeof recorded[0]);
	}
}

/* What the recording gives to a request, waited for; "" for nothing. */
static void give_and_take(struct link *l, const char *request, const char *expected)
{
	struct pollfd waiting = { .fd = link_fd(l), .events = POLLIN };
	size_t size = strlen(expected);
	char bytes[8] = "";

	assert_int_equal(link_write(l, request, strlen(request)), (ssize_t)strlen(request));
	for (size_t at = 0; at < size; at++) {
		assert_int_equal(poll(&waiting, 1, DEADLINE_MSEC), 1);
		/* One by one: what is not taken stays. */
		assert_int_equal(link_read(l, bytes, 1), 1);
		assert_int_equal(bytes[0], expected[at]);
	}
	assert_int_equal(poll(&waiting, 1, 0), 0);
	assert_int_equal(link_read(l, bytes, 1), -EAGAIN);
}

static void test_requests_find_their_answers(void **state)
{
	static const char session[] = "{\"t_msec\":0,\"dir\":\"open\",\"hex\":\"\"}\n"
				      "{\"t_msec\":1,\"dir\":\"rx\",\"hex\":\"ff\"}\n"
				      "{\"t_msec\":2,\"dir\":\"tx\",\"hex\":\"4142\"}\n"
				      "{\"t_msec\":3,\"dir\":\"rx\",\"hex\":\"6162\"}\n"
				      "{\"t_msec\":4,\"dir\":\"rx\",\"hex\":\"63\"}\n"
				      "{\"t_msec\":5,\"dir\":\"tx\",\"hex\":\"4143\"}\n"
				      "{\"t_msec\":6,\"dir\":\"rx\",\"hex\":\"64\"}\n"
				      "{\"t_msec\":7,\"dir\":\"tx\",\"hex\":\"4142\"}\n"
				      "{\"t_msec\":8,\"dir\":\"open\",\"hex\":\"\"}\n"
				      "{\"t_msec\":9,\"dir\":\"tx\",\"hex\":\"41\"}\n"
				      "{\"t_msec\":9,\"dir\":\"rx\",\"hex\":\"65\"}\n"
				      "{\"t_msec\":10,\"dir\":\"rx\",\"hex\":\"6";
	struct fixture *f = *state;
	char blank[4096] = "";
	struct link *l = NULL;

	put(f, "session", session);
	for (unsigned fast = 0; fast < 2; fast++) {
		(void)snprintf(f->device, sizeof f->device, "replay%s:%s/session",
			       fast ? "-fast" : "", f->dir);
		assert_int_equal(link_open(f->device, 9600, &l), 0);
		give_and_take(l, "AB", "abc");
		give_and_take(l, "AC", "d");
		give_and_take(l, "AB", "");
		give_and_take(l, "A", "e");
		assert_int_equal(link_write(l, "AB", 2), -ENODATA);
		l = link_free(l);
		/* What nobody asks for any more is passed over. */
		assert_int_equal(link_open(f->device, 9600, &l), 0);
		give_and_take(l, "AC", "d");
		give_and_take(l, "A", "e");
		l = link_free(l);
	}
	/* No line is taken into memory but those that are records. */
	memset(blank, ' ', sizeof blank - 1);
	put(f, "session", blank);
	assert_int_equal(link_open(f->device, 9600, &l), 0);
	assert_int_equal(link_write(l, "A", 1), -EBADMSG);
	l = link_free(l);
	put(f, "session", "{\"t_msec\":0}\n{\"t_msec\":2,\"dir\":\"tx\",\"hex\":\"41\"}\n");
	assert_int_equal(link_open(f->device, 9600, &l), 0);
	assert_int_equal(link_write(l, "A", 1), -EBADMSG);
	(void)link_free(l);
}

static void test_a_search_has_an_end(void **state)
{
	static const char other[] = "{\"t_msec\":1,\"dir\":\"tx\",\"hex\":\"42\"}\n";
	static const char asked[] = "{\"t_msec\":2,\"dir\":\"tx\",\"hex\":\"41\"}\n";
	static const unsigned counts[] = { 4000, 6000 };
	char *session = malloc(6000 * sizeof other + sizeof asked);
	struct fixture *f = *state;

	assert_non_null(session);
	(void)snprintf(f->device, sizeof f->device, "replay:%s/session", f->dir);
	for (unsigned i = 0; i < ELEMENTSOF(counts); i++) {
		struct link *l = NULL;
		char *at = session;

		for (unsigned n = 0; n < counts[i]; n++)
			at = stpcpy(at, other);
		(void)strcpy(at, asked);
		put(f, "session", session);
		assert_int_equal(link_open(f->device, 9600, &l), 0);
		assert_int_equal(link_write(l, "A", 1), i == 0 ? 1 : -ENODATA);
		(void)link_free(l);
	}
	free(session);
}

static void test_recordings_that_are_none(void **state)
{
	struct fixture *f = *state;
	struct link *l = NULL;
	char device[160];

	assert_int_equal(link_open("replay:/does/not/exist", 9600, &l), -ENOENT);
	assert_int_equal(link_open("replay:/dev/null", 9600, &l), -EINVAL);
	(void)snprintf(device, sizeof device, "replay:%s", f->dir);
	assert_int_equal(link_open(device, 9600, &l), -EINVAL);
	assert_null(l);
}

/* ---- directories ---- */

static void test_a_directory_and_a_driver_must_fit(void **state)
{
	struct fixture *f = *state;

	(void)snprintf(f->device, sizeof f->device, "%s", f->dir);
	start(f, &driver_jbd, NULL);
	run_until(f, look(f).errors.n[LINK_ERROR_IO] > 0);
	assert_non_null(strstr(look(f).detail, strerror(EISDIR)));
	hang_up(f);
	open_terminal(f);
	start(f, &driver_power_supply, NULL);
	run_until(f, look(f).errors.n[LINK_ERROR_IO] > 0);
	assert_non_null(strstr(look(f).detail, strerror(ENOTDIR)));
}

static void test_a_directory_is_polled(void **state)
{
	struct fixture *f = *state;

	put(f, "voltage_now", "12000000\n");
	put(f, "capacity", "50\n");
	(void)snprintf(f->device, sizeof f->device, "%s", f->dir);
	start(f, &driver_power_supply, NULL);
	run_until(f, f->n_samples == 1);
	assert_int_equal(f->samples[0].voltage_uv, 12000000);
	put(f, "present", "0\n");
	run_until(f, look(f).polls_failed >= 9);
	put(f, "present", "1\n");
	run_until(f, f->n_samples >= 2 && look(f).link_up);
}

/* Its directory is another one then, of the same name. */
static void test_a_gauge_that_was_plugged_in_anew(void **state)
{
	struct fixture *f = *state;

	(void)snprintf(f->device, sizeof f->device, "%s/gauge", f->dir);
	assert_int_equal(mkdir(f->device, 0755), 0);
	put(f, "gauge/type", "Battery\n");
	put(f, "gauge/voltage_now", "12000000\n");
	start(f, &driver_power_supply, NULL);
	run_until(f, f->n_samples == 1);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->device), 0);
	run_until(f, !look(f).link_up);
	assert_int_equal(mkdir(f->device, 0755), 0);
	put(f, "gauge/type", "Battery\n");
	put(f, "gauge/voltage_now", "11000000\n");
	run_until(f, f->n_samples > 0 && f->samples[f->n_samples - 1].voltage_uv == 11000000);
	assert_true(look(f).link_up);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_serial_line),
		TEST(test_silence_and_a_line_that_is_opened_anew),
		TEST(test_devices_that_are_none),
		TEST(test_what_the_line_was_set_to_before),
		TEST(test_a_switch_is_switched_between_polls),
		TEST(test_what_is_not_right_any_more_is_not_sent),
		TEST(test_a_driver_that_cannot_switch),
		TEST(test_a_board_that_needs_quiet_gets_it),
		TEST(test_a_line_behind_the_network),
		TEST(test_what_was_sent_does_not_arrive_later),
		TEST(test_addresses),
		TEST(test_a_recording_gives_the_same_samples_again),
		TEST(test_requests_find_their_answers),
		TEST(test_a_search_has_an_end),
		TEST(test_recordings_that_are_none),
		TEST(test_a_directory_and_a_driver_must_fit),
		TEST(test_a_directory_is_polled),
		TEST(test_a_gauge_that_was_plugged_in_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
