# src/common/reltar_unpack.c
# close: an error of it is not looked at
# errors --scenario=upgrade-b --error=EIO
s/if (close(TAKE_FD(u->fd)) < 0)/if (close(TAKE_FD(u->fd)) < -1)/
