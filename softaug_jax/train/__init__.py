"""Training: state, steps, loop, optimiser, sharding, checkpoints."""
