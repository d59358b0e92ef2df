# src/updaterd/installer/store.c
# O_EXCL: a backup may be written over what is there
# errors --scenario=upgrade-b --error=planted
s/O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW/O_RDWR | O_CREAT | O_NOFOLLOW/
