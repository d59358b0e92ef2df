# src/updaterd/installer/transaction.c
# order: confirmed before the probe has said yes
# death --scenario=bad-b-first
/step(t, STEP_PROBE, step_probe) < 0 ||[[:space:]]*\/\*/d
s/step(t, STEP_CONFIRM, step_journal_confirmed) < 0) \/\* 13  good/step(t, STEP_CONFIRM, step_journal_confirmed) < 0 || step(t, STEP_PROBE, step_probe) < 0) \/\* /
