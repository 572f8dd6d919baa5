"""Text: from files to sentences, words and ids."""
