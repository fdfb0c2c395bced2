"""The command `mfs`: a thin door to the package, a file for each group of subcommands.

Heavy imports happen inside the subcommand that needs them.

Exit codes: 0 done; 1 the work could not be done (one line on standard error says why); 2 wrong usage; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from mfs_lib import __version__
from mfs_lib.cli.bench import add_bench
from mfs_lib.cli.complexity import add_complexity
from mfs_lib.cli.evaluate import add_evaluate
from mfs_lib.cli.export import add_export
from mfs_lib.cli.reference import add_reference
from mfs_lib.cli.results import add_results
from mfs_lib.cli.swap import add_swap
from mfs_lib.cli.video import add_video
from mfs_lib.cli.weights import add_convert, add_fetch
from mfs_lib.errors import MfsError


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="mfs",
        description="Swap faces in photographs and videos with a network of half a million parameters.",
        epilog="Use it only on pictures of people who agreed. Outputs are marked as synthetic.",
    )
    parser.add_argument("--version", action="version", version=f"mfs {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (
        add_swap,
        add_video,
        add_fetch,
        add_convert,
        add_complexity,
        add_evaluate,
        add_results,
        add_export,
        add_reference,
        add_bench,
    ):
        _add_common(add(commands))
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every subcommand."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the sentence")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        report: dict[str, Any] = args.run(args)
        text = report.pop("text")
        print(json.dumps({"ok": True, **report}) if args.json else text, flush=True)
    except KeyboardInterrupt:
        print("mfs: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`mfs fetch --list | head`); keep Python from failing again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the outermost door: every failure becomes one line and a code
        if args.debug:
            raise
        return _report_error(error, as_json=args.json)
    return 0


def _report_error(error: Exception, *, as_json: bool) -> int:
    """One line on standard error, and with --json an object on standard output; returns the exit code."""
    message = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, MfsError):
        message = f"unexpected {type(error).__name__}: {message} (run again with --debug to see where)"
    print(f"mfs: error: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"ok": False, "error": type(error).__name__, "message": message}))
    return 1
