# src/updaterd/installer/swap.c
# the flip of current is not synced
# blocks --scenario=upgrade-b --states=500
/^int swap_settle(/,/^}/ s/if (fsync(space_fd) < 0)/if (space_fd < 0)/
