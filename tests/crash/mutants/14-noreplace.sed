# src/updaterd/installer/store.c
# RENAME_NOREPLACE: a release may take the place of another
# errors --scenario=upgrade-b --error=planted
s/RENAME_NOREPLACE/0/
