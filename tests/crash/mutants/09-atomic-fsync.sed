# src/common/fsutil.c
# a file that replaces another is not synced
# blocks --scenario=upgrade-b --states=500
/^static int write_new_file(/,/^}/ s/return sync_and_close(TAKE_FD(fd));/return close(TAKE_FD(fd)) < 0 ? -errno : 0;/
