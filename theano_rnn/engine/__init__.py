"""Engines: what turns a symbolic graph into something that runs. Nothing else in the package knows how."""
