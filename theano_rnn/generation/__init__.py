"""Text generation: sampling and beam search over next-token distributions."""
