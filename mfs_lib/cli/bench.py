"""`mfs bench`: how fast the networks, the stages of a swap and whole videos are, side by side, on this machine."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from mfs_lib.cli.arguments import count


def add_bench(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs bench`."""
    bench: argparse.ArgumentParser = commands.add_parser(
        "bench",
        help="time the networks and the whole swap on this machine, beside the released graph and other systems",
        description="Everything in a group takes turns, so that a busy moment hits all alike; medians and 95th percentiles "
        "are given, and how many times as fast a network is as the released one ('× released').",
        epilog="All three groups take some minutes. Leave the machine alone meanwhile.",
    )
    bench.add_argument("groups", nargs="*", metavar="GROUP", help="of networks, stages and video (default: all three)")
    bench.add_argument(
        "--threads", type=_counts, default=(1, 2), metavar="N,N", help="threads of the networks (default: 1,2)"
    )
    bench.add_argument("--rounds", type=count, default=30, metavar="N", help="turns of each entry (default: 30)")
    bench.add_argument("--frames", type=count, default=150, metavar="N", help="frames of each video (default: 150)")
    bench.add_argument("--no-peers", action="store_true", help="leave the other systems' networks out")
    bench.add_argument(
        "--record", type=Path, metavar="FILE", help="append what was measured to a JSON-lines file of records"
    )
    bench.set_defaults(run=run_bench_command)
    return bench


def _counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1, parted by commas."""
    return tuple(count(part.strip()) for part in text.split(","))


def run_bench_command(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs bench`: returns the report whose "text" is what to print."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    from mfs_lib.reproduction.bench import GROUPS, record_bench, run_bench

    start = time.perf_counter()
    found = run_bench(
        args.groups or GROUPS, threads=args.threads, rounds=args.rounds, frames=args.frames, peers=not args.no_peers,
        progress=not args.json,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    if args.record:
        record_bench(found, args.record, rounds=args.rounds, wall_seconds=seconds)
    return {"text": found.text(), **found.to_dict(), "seconds": round(seconds, 1)}
