# src/common/fsutil.c
# nor is its directory after the rename
# blocks --scenario=upgrade-b --states=500
s/return sync_and_close(TAKE_FD(parent));/return 0;/
