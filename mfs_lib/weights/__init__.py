"""Model files: what exists, where from, under which licence, verified and safely read."""
