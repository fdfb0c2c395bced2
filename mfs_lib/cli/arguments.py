"""What several subcommands ask of their arguments."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mfs_lib.errors import OutputError


def count(text: str) -> int:
    """A whole number from 1."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")


def refuse_overwriting_inputs(args: argparse.Namespace) -> None:
    """The output must not be the source or the target, by whatever name or link; raises OutputError."""
    for role in ("source", "target"):
        file: Path = getattr(args, role)
        if args.output.exists() and file.exists() and os.path.samefile(args.output, file):
            raise OutputError(f"the output {args.output} is the {role} itself: choose another name, or add --force")
