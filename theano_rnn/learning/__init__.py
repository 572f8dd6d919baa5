"""Learning: batches, gradients, optimizers, averages of parameters, schedules, evaluation, checkpoints."""
