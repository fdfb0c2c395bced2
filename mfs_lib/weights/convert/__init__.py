"""Readers of foreign weight formats, one per file."""
