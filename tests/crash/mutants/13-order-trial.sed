# src/updaterd/installer/transaction.c
# order: current is flipped before the journal says TRIAL
# death --scenario=upgrade-b
/step(t, STEP_SWAP, step_journal_trial) < 0 ||/d
s/step(t, STEP_SWAP, step_flip_current) < 0)/step(t, STEP_SWAP, step_flip_current) < 0 || step(t, STEP_SWAP, step_journal_trial) < 0)/
