# src/updaterd/installer/transaction_stage.c
# read-back: what was unpacked is not read again
# errors --scenario=upgrade-b --error=lost
/^int step_read_again(/,/^}/ s/if (t->is_staged)/if (t->is_staged || t->stage_fd >= 0)/
