"""Network parts, one per file: pure modules without file access."""
