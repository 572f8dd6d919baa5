"""Engines compile a symbolic graph into a function that runs: through C or through XLA. No other folder knows how."""
