# src/updaterd/installer/swap.c
# the flip of previous is not synced
# blocks --scenario=bad-b --states=600
/^static int rename_durably(/,/^}/ s/return fsync(space_fd) < 0 ? -errno : 0;/return 0;/
