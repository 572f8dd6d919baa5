"""Pictures: read from files, and ready-made features of them."""
