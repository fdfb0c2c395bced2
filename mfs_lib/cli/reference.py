"""`mfs reference`: a sampled pair through every step of a swap, for checking a port to another platform."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any


def add_reference(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs reference`."""
    reference: argparse.ArgumentParser = commands.add_parser(
        "reference",
        help="write inputs and outputs of every step of a swap, to check a port against",
        description="Run two people who don't exist through every step with the networks of BUNDLE (see 'mfs export "
        "--format bundle') and write pictures, tensors, weights and what came out into a new folder.",
    )
    reference.add_argument(
        "bundle", type=Path, nargs="?", help="folder of the networks (default: those of the shipped student)"
    )
    reference.add_argument("--output", "-o", type=Path, required=True, metavar="DIR", help="folder to make")
    reference.set_defaults(run=run_reference)
    return reference


def run_reference(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs reference`: returns the report whose "text" is the one line to print."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    from mfs_lib.swapping.reference import write_reference

    bundle = args.bundle
    if bundle is None:
        from mfs_lib.swapping.bundle import default_bundle

        bundle = default_bundle()
    folder = write_reference(args.output, bundle)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {
        "text": f"wrote {len(files)} files to {folder}: begin with index.json",
        "output": str(folder),
        "files": files,
    }
