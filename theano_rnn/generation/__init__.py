"""Generation: from next-token distributions to texts."""
