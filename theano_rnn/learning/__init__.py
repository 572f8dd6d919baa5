"""Learning: batches, optimizers, schedules, evaluation, checkpoints."""
