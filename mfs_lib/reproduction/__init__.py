"""What the book reports of the paper: teachers, the quality scorer, ablations; it trains, judges and draws."""
