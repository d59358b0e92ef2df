/* SPDX-License-Identifier: Apache-2.0 */
#include "bmsd/link_serial.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

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

int link_serial_open(const char *path, unsigned baud)
{
	_cleanup_close_ int fd = FD_NONE;
	speed_t speed = B9600;
	int r;

	r = find_speed(baud, &speed);
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, TIOCEXCL) < 0)
		return -errno;
	r = make_raw(fd, speed);
	if (r < 0)
		return r;
	link_serial_discard(fd);
	return TAKE_FD(fd);
}

void link_serial_close(int fd)
{
	if (fd < 0)
		return;
	/* Exclusive use would outlive us where someone else keeps the line open too. */
	(void)ioctl(fd, TIOCNXCL);
	close_fd(&fd);
}

void link_serial_discard(int fd)
{
	(void)tcflush(fd, TCIOFLUSH);
}
