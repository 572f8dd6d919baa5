"""Sound: from the samples of a file to the frames that a recognizer reads. NumPy only."""
