"""Training runs: configuration, loop, log, checkpoints, growth, evaluation."""
