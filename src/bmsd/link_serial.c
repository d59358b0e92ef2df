/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serial line: raw, 8N1, never a controlling terminal, for us alone. The modem lines are left as
 * they are (CLOCAL, no HUPCL), since some adapters reset the board when DTR moves. What the driver of
 * the port held before is discarded.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "link_ops.h"

static const struct {
	unsigned baud;
	speed_t speed;
} speeds[] = {
	{ 9600, B9600 },   { 19200, B19200 },	{ 38400, B38400 },
	{ 57600, B57600 }, { 115200, B115200 },
};

static int find_speed(unsigned baud, speed_t *ret)
{
	for (size_t i = 0; i < ELEMENTSOF(speeds); i++) {
		if (speeds[i].baud != baud)
			continue;
		*ret = speeds[i].speed;
		return 0;
	}
	return -EINVAL;
}

static int make_raw(int fd, speed_t speed)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	cfmakeraw(&t);
	/* What it leaves as whoever had the line before us wanted it: characters that stop the other
	 * side, or stand for bytes with bad parity. */
	t.c_iflag &= ~(tcflag_t)(IXOFF | IXANY | INPCK | IGNPAR | IUCLC);
	t.c_cflag &= ~(tcflag_t)(HUPCL | CSTOPB | PARENB | CRTSCTS);
	t.c_cflag |= CLOCAL | CREAD | CS8;
	t.c_cc[VMIN] = 0;
	t.c_cc[VTIME] = 0;
	if (cfsetispeed(&t, speed) < 0 || cfsetospeed(&t, speed) < 0)
		return -errno;
	if (tcsetattr(fd, TCSANOW, &t) < 0)
		return -errno;
	return 0;
}

/* TIOCEXCL keeps others from opening the line, but not root, and not who has it open already: so each
 * of us takes the lock as well. */
static int take(int fd)
{
	if (ioctl(fd, TIOCEXCL) < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

static void serial_discard(struct link *l)
{
	(void)tcflush(l->fd, TCIOFLUSH);
}

static int serial_open(struct link *l, const char *address, unsigned baud)
{
	speed_t speed = B9600;
	int r;

	r = find_speed(baud, &speed);
	if (r < 0)
		return r;
	l->fd = open(address, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (l->fd < 0)
		return -errno;
	r = take(l->fd);
	if (r < 0) {
		/* It is not ours: close() must not touch it. */
		close_fd(&l->fd);
		l->fd = FD_NONE;
		return r;
	}
	r = make_raw(l->fd, speed);
	if (r < 0)
		return r;
	serial_discard(l);
	return 0;
}

static void serial_close(struct link *l)
{
	if (l->fd < 0)
		return;
	/* close() would wait for an adapter that hangs to send what is left; and a command that nobody
	 * waits for any more must not be sent. */
	serial_discard(l);
	/* Exclusive use would outlive us where someone else keeps the line open too. */
	(void)ioctl(l->fd, TIOCNXCL);
}

static ssize_t serial_read(struct link *l, void *bytes, size_t size)
{
	ssize_t n = read(l->fd, bytes, size);

	if (n < 0)
		return -errno;
	/* Raw with VMIN 0: nothing there; that the line hung up is for epoll to say. */
	return n == 0 ? -EAGAIN : n;
}

static ssize_t serial_write(struct link *l, const void *bytes, size_t size)
{
	ssize_t n = write(l->fd, bytes, size);

	return n < 0 ? -errno : n;
}

const struct link_ops link_ops_serial = {
	.prefix = "/",
	.open = serial_open,
	.read = serial_read,
	.write = serial_write,
	.discard = serial_discard,
	.close = serial_close,
};
