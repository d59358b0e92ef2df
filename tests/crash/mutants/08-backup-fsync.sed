# src/updaterd/installer/backup.c
# a backup is not synced before it gets its name
# blocks --fs=btrfs --scenario=upgrade-b --states=300
s/if (fsync(fd) < 0)/if (fd < 0)/
