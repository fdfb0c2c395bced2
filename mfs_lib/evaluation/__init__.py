"""Metrics, each with its backend and protocol, and the reports made from them."""
