"""Tasks: the kinds of models that the package can train, and what each learns."""
