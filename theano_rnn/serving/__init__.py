"""Serving: a trained model as a web application."""
