"""Exchange: models from and for other software."""
