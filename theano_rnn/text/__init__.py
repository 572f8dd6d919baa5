"""Text processing: from files to sentences, tokens and ids, and from tokens back to text."""
