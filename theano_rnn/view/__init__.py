"""Views: pages and pictures that show what a model does."""
