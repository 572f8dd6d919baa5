"""Scoring: log-probabilities of sentences and texts under one or more models."""
