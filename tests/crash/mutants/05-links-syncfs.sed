# src/updaterd/installer/swap.c
# the new links are not synced before they are renamed
# blocks --fs=btrfs --scenario=upgrade-b --states=250
/^int swap_prepare(/,/^}/ s/return syncfs(space_fd) < 0 ? -errno : 0;/return 0;/
