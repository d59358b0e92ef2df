# src/updaterd/installer/journal.c
# the journal's slots are not written in turn
# blocks --scenario=bad-b --states=1500
s/int target = j->newest == 0 ? 1 : 0;/int target = 0;/
