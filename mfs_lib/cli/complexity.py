"""`mfs complexity`: what every system of the paper's Table 1 costs, counted from running code."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from mfs_lib.cli.arguments import count


def add_complexity(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs complexity`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "complexity",
        help="recount the paper's Table 1: parameters, operations, memory and, if asked, time",
        description="Count parameters and operations of every system in MobileFaceSwap's Table 1 from running code, in "
        "three conventions, and say for each printed number whether it is reproduced (exact, near, not reproducible).",
        epilog="Counting takes seconds and works without weights. --latency runs every network with random weights on "
        "one thread, in turn; the largest take many seconds for each frame and some gigabytes of memory.",
    )
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help="only these (default: all; --list names them)")
    parser.add_argument("--list", action="store_true", help="list the systems and where their layers are known from")
    parser.add_argument("--csv", action="store_true", help="print the paper's rows as comma-separated values")
    parser.add_argument(
        "--latency",
        nargs="?",
        type=count,
        const=3,
        metavar="ROUNDS",
        help="also measure the time of a frame (default: 3 rounds)",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="append what was counted and measured to a JSON-lines file of records",
    )
    parser.set_defaults(run=run_complexity)
    return parser


def run_complexity(args: argparse.Namespace) -> dict[str, Any]:
    """Count, measure if asked, and return the report whose "text" is what to print."""
    from mfs_lib.evaluation.complexity import table
    from mfs_lib.evaluation.complexity.recording import record
    from mfs_lib.evaluation.complexity.systems import SYSTEMS

    if args.list:
        rows = [{"system": one.key, "title": one.title, "size": one.size, "facts": one.facts} for one in SYSTEMS]
        return {
            "text": "\n".join(f"{row['system']:<28} {row['title']} [{row['facts']}]" for row in rows),
            "systems": rows,
        }
    start = time.perf_counter()
    counted = table.complexity_table(args.systems)
    if args.latency:
        counted = table.with_latency(counted, rounds=args.latency, progress=not args.json)
    if args.record:
        record(counted, args.record, wall_seconds=time.perf_counter() - start)
    return {
        "text": table.render_csv(counted) if args.csv else table.render_text(counted),
        "paper": table.paper_rows(counted),
        "systems": table.system_rows(counted),
        "seconds": round(time.perf_counter() - start, 3),
    }
