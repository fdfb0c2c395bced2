"""``python -m mfs_lib.cli``."""

from __future__ import annotations

import sys

from mfs_lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
