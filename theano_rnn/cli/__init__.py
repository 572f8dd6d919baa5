"""Commands: the only place that reads arguments and prints. Each command is a module with `build` and `run`."""
