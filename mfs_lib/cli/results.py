"""`mfs results`: runs what is missing of the paper's Table 2, and prints what is recorded."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfs_lib.cli.arguments import count
from mfs_lib.errors import InputError, MfsError

if TYPE_CHECKING:
    from mfs_lib.reproduction.runs import Run
    from mfs_lib.reproduction.schedule import Place

_EXPERIMENTS = Path("experiments/table2")
_RECORDED = Path("results/table2.jsonl")
_SMOKE = Path("runs/table2/smoke.jsonl")


def add_results(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs results`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "results",
        help="run what is missing of the paper's Table 2 on the face world, and print all that is recorded",
        description="Carry out every run of Table 2 that isn't recorded with the present settings: train, measure, append "
        "a record. Stopped, it goes on where it was. Then print the tables, and what became of the paper's claims.",
        epilog="Each run has one thread, so its numbers are the same however many run at once. Run it where the "
        "repository is: the experiments are files in it.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", dest="only_print", help="run nothing, print what is recorded")
    what.add_argument("--dry-run", action="store_true", help="run nothing, list the runs that are missing")
    what.add_argument(
        "--check", nargs=2, metavar=("ROW", "SEED"), help="make one recorded run again and compare every number"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="only these rows (stems of their files)")
    parser.add_argument("--seeds", nargs="+", type=_seed, metavar="N", help="instead of the table's own")
    parser.add_argument("--profile", choices=["smoke", "mini"], default="mini", help="smoke: seconds, worth nothing")
    _add_places(parser)
    parser.set_defaults(run=run_results)
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Options about files and processes."""
    parser.add_argument(
        "--jobs", type=count, default=os.cpu_count() or 1, metavar="N", help="runs at once (default: one for each core)"
    )
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help=f"records (default: {_RECORDED}; of smoke {_SMOKE})"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs keep their state")
    parser.add_argument(
        "--experiments", type=Path, default=_EXPERIMENTS, metavar="DIR", help=f"the rows (default: {_EXPERIMENTS})"
    )
    parser.add_argument("--keep-weights", type=Path, metavar="DIR", help="also put the students' weights there")


def _seed(text: str) -> int:
    """A number from 0."""
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")


def run_results(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs results`: runs, lists, checks or prints, and returns the report whose "text" is what to print."""
    start = time.perf_counter()
    place = _place(args)
    if args.only_print:
        return _printed(args, place)
    from mfs_lib.reproduction.curves import curves_file, note_curves
    from mfs_lib.reproduction.runs import missing, runs_of
    from mfs_lib.reproduction.table2 import read_table
    from mfs_lib.results import load_records

    table = read_table(args.experiments)
    if args.check:
        return _checked(args, place)
    runs = runs_of(table, args.profile, seeds=args.seeds, only=args.only)
    lacking = missing(runs, load_records(place.results))
    if args.dry_run:
        return _listed(runs, lacking, place)
    try:
        _carry_out(lacking, place, jobs=args.jobs, show=not args.json)
    finally:
        note_curves(runs, place.runs, curves_file(place.results))
    report = _printed(args, place)
    return report | {"carried_out": [str(run) for run in lacking], "seconds": round(time.perf_counter() - start, 3)}


def _place(args: argparse.Namespace) -> Place:
    from mfs_lib.reproduction.schedule import Place

    usual = _SMOKE if args.profile == "smoke" else _RECORDED
    results: Path = args.results or usual
    if results.is_dir():
        raise InputError(f"{results} is a folder: name a file of records in it, such as {results / usual.name}")
    return Place(runs=args.runs, experiments=args.experiments, results=results, keep_weights=args.keep_weights)


def _carry_out(lacking: list[Run], place: Place, *, jobs: int, show: bool) -> None:
    from mfs_lib.reproduction.schedule import carry_out_all, prepare_all

    if not lacking:
        return
    prepare_all(lacking, place, show=show)
    if failed := carry_out_all(lacking, place, jobs=jobs, show=show):
        words = "; ".join(str(one) for one in failed)
        done = len(lacking) - len(failed)
        raise MfsError(f"{len(failed)} of {len(lacking)} runs failed, {done} are recorded; run again to go on: {words}")


def _listed(runs: list[Run], lacking: list[Run], place: Place) -> dict[str, Any]:
    from mfs_lib.reproduction.one_run import read_progress

    names = []
    for run in lacking:
        share = read_progress(run.folder(place.runs))[0]
        names.append(f"{run}" + (f" ({share:.0%} trained)" if share else ""))
    head = f"{len(lacking)} of {len(runs)} runs are missing in {place.results}"
    return {"text": "\n".join([head + (":" if names else "."), *names]), "missing": [str(run) for run in lacking]}


def _checked(args: argparse.Namespace, place: Place) -> dict[str, Any]:
    from mfs_lib.reproduction.check import check
    from mfs_lib.reproduction.one_run import find_run

    row, seed = args.check
    if not (seed.isascii() and seed.isdigit()):
        raise InputError(f"the seed of a run is a number from 0, not {seed!r}")
    found = check(find_run(row, int(seed), args.profile, args.experiments), place, show=not args.json)
    if found.differences:
        raise MfsError(str(found))
    return {"text": str(found), "compared": found.compared, "differences": []}


def _printed(args: argparse.Namespace, place: Place) -> dict[str, Any]:
    """Everything recorded beside the file of this table, and this table the last."""
    from mfs_lib.reproduction.claims import claims_of, judge
    from mfs_lib.reproduction.collected import collect, present_digests
    from mfs_lib.reproduction.rendering import markdown_report
    from mfs_lib.reproduction.table2 import read_table
    from mfs_lib.results import load_records, render_report

    parts = [render_report(place.results.parent)] if args.profile == "mini" else []
    records = load_records(place.results, profile=args.profile)
    judged = []
    if records:
        table = read_table(args.experiments)
        found = collect(table, records, args.profile, present_digests(table, args.profile))
        judged = judge(claims_of(table), found, table)
        parts.append(markdown_report(table, found, judged))
    return {
        "text": "\n\n".join(parts) or f"Nothing is recorded in {place.results} yet.",
        "records": len(records),
        "claims": [{"claim": one.claim.text, "verdict": one.verdict, "p_holm": one.p_holm} for one in judged],
    }
