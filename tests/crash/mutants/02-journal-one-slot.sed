# src/updaterd/installer/journal.c
# the journal's slots are not written in turn
# blocks --scenario=upgrade-b --states=900
s/int target = j->newest == 0 ? 1 : 0;/int target = 0;/
