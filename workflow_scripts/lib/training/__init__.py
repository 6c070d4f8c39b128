"""One loop for all systems: items from the stores, devices, precision, checkpoints, exact resume, logs, prediction."""
