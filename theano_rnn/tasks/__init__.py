"""Tasks: what the package can learn, one system a module."""
