"""Search for good settings: the space of settings to try, and the study that says which trial is next."""
