"""Losses, data mixing and the training loop of the student."""
