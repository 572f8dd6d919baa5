"""Visualization: web pages and plots that show how a model works."""
