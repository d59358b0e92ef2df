# src/updaterd/installer/transaction.c
# order: the journal is closed before the result is kept
# death --scenario=upgrade-b
/^static int finish(/,/^}/ s/r = result_keep(t->state->dirfd, result);/r = state_end_attempt(t->state) < 0 ? -EIO : result_keep(t->state->dirfd, result);/
