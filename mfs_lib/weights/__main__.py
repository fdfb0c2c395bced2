"""``python -m mfs_lib.weights``: fetch the default set of model files and list them with their licences."""

from __future__ import annotations

import argparse
import sys

from mfs_lib.errors import MfsError
from mfs_lib.weights.registry import entries, fetch_default


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mfs_lib.weights", description=__doc__)
    parser.add_argument("--offline", action="store_true", help="use only the cache and MFS_MIRROR")
    parser.add_argument("--quiet", action="store_true", help="no progress, no list")
    options = parser.parse_args(arguments)
    try:
        paths = fetch_default(progress=not options.quiet, offline=options.offline)
    except MfsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if not options.quiet:
        for one, path in zip((e for e in entries() if e.default), paths, strict=True):
            sys.stdout.write(
                f"{one.name:15} {(one.size or 0) / 1e6:6.2f} MB  {one.licence:12} {one.purpose}  [{path}]\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
