# src/common/reltar_unpack.c
# O_EXCL: so may a file of a release
# errors --scenario=upgrade-b --error=planted
s/O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW/O_WRONLY | O_CREAT | O_NOFOLLOW/
