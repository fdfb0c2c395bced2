"""The command `mfs evaluate`: every metric of the suite on folders of swaps from any system."""

from __future__ import annotations

import argparse
import io
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfs_lib.cli.swap import _check_device
from mfs_lib.errors import InputError, OutputError

if TYPE_CHECKING:
    from mfs_lib.evaluation.evaluate import Evaluation
    from mfs_lib.evaluation.folders import SwapSet

_SYSTEM = "face-swapping system under evaluation"


def add_evaluate(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs evaluate`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "evaluate",
        help="measure a folder of swaps: identity, pose, expression, background, sets of pictures, error to the truth",
        description="Measure swaps of any system. A swap is named after its source and its target, SOURCE_TARGET.png or "
        "SOURCE__TARGET.png; or --pairs lists them. Each number is printed with its 95 % interval and what measured it.",
        epilog="Swaps that equal their targets, or their sources, are reported as a collapse: such a system has perfect "
        "pose and background, and swaps nothing.",
    )
    parser.add_argument("--swaps", type=Path, required=True, metavar="DIR", help="folder of the swapped pictures")
    parser.add_argument("--sources", type=Path, required=True, metavar="DIR", help="folder of the people put in")
    parser.add_argument("--targets", type=Path, required=True, metavar="DIR", help="folder of the pictures changed")
    parser.add_argument("--truths", type=Path, metavar="DIR", help="folder of exact swaps, named as the swaps are")
    parser.add_argument(
        "--pairs", type=Path, metavar="CSV", help="table with columns swap,source,target[,truth,person]"
    )
    parser.add_argument(
        "--aligned", action="store_true", help="the pictures are aligned crops of one size: take them as they are"
    )
    _add_measuring(parser)
    parser.set_defaults(run=run_evaluate)
    return parser


def _add_measuring(parser: argparse.ArgumentParser) -> None:
    """Options that say with what is measured, and where results go."""
    parser.add_argument(
        "--size", type=_side, default=224, metavar="PIXELS", help="side of the crops that are cut out (default: 224)"
    )
    parser.add_argument(
        "--judge",
        default="mobilefacenet",
        metavar="NAME",
        help="recogniser that scores identity: mobilefacenet, cosface or insightface:PACK (default: mobilefacenet)",
    )
    parser.add_argument("--device", default="cpu", help="torch device, such as cpu or cuda (default: cpu)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="append a record to a JSON-lines file of records")
    parser.add_argument(
        "--experiment", default="evaluate", metavar="NAME", help="name of that record (default: evaluate)"
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="FILE", help="write source, target and swap of the best, median and worst pairs"
    )


def _side(text: str) -> int:
    """A number from 32."""
    if text.isascii() and text.isdigit() and int(text) >= 32:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 32")


def run_evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs evaluate`: measures, records if asked, and returns the report whose "text" is what to print."""
    start = time.perf_counter()
    _check_names(args)
    from mfs_lib.evaluation.evaluate import Backends, evaluate, read_folders

    show = not args.json
    backends = Backends.load(args.judge, device=args.device)
    swaps = read_folders(
        args.swaps, args.sources, args.targets, args.truths, args.pairs, aligned=args.aligned, size=args.size,
        progress=show,
    )  # fmt: skip
    found = evaluate(swaps, backends=backends, progress=show)
    seconds = time.perf_counter() - start
    if args.output:
        _record(args, found, seconds)
    if args.sheet:
        _write_sheet(args.sheet, swaps, found)
    return _report(args, found, seconds)


def _check_names(args: argparse.Namespace) -> None:
    """What can be known to fail is said before the work."""
    _check_device(args.device)

    if not re.fullmatch(r"[a-z0-9][a-z0-9_./-]*", args.experiment):
        raise InputError(f"the experiment {args.experiment!r} needs small letters, digits and _ . / - only")
    if args.output and args.output.is_dir():
        raise OutputError(
            f"{args.output} is a folder: give the name of a file, such as {args.output / 'results.jsonl'}"
        )
    if args.sheet:
        from mfs_lib.swapping.image_io import check_output

        check_output(args.sheet)


def _record(args: argparse.Namespace, found: Evaluation, seconds: float) -> None:
    from mfs_lib.results import append_record
    from mfs_lib.runinfo import file_digest

    given = (args.swaps, args.sources, args.targets, args.truths, args.pairs)
    digest = file_digest(*(path for path in given if path is not None))
    append_record(
        args.output,
        found.record(args.experiment, wall_seconds=seconds, device=args.device, data_digest=digest),
    )


def _write_sheet(path: Path, swaps: SwapSet, found: Evaluation) -> None:
    """The contact sheet, whole or not at all, marked as synthetic as every picture of ours is."""
    import numpy as np
    from PIL import Image

    from mfs_lib.evaluation.evaluate import contact_sheet
    from mfs_lib.swapping.image_io import write_image
    from mfs_lib.swapping.provenance import swap_xmp

    drawn = io.BytesIO()
    contact_sheet(swaps, found).savefig(drawn, format="png", dpi=150, bbox_inches="tight")
    pixels = np.array(Image.open(drawn).convert("RGB"))
    write_image(path, pixels, xmp=swap_xmp(_SYSTEM))


def _report(args: argparse.Namespace, found: Evaluation, seconds: float) -> dict[str, Any]:
    """What was measured, for people ("text") and for programs."""
    lines = [f"warning: {text}" for text in found.warnings]
    lines += [f"not used: {one.name}: {one.reason}" for one in found.rejected]
    judged = len(found.cosines)
    verdict = f"verdict: {found.verdict} ({judged} swaps, {seconds:.1f} s)"
    return {
        "text": "\n".join([found.table(), "", *lines, verdict]),
        "verdict": found.verdict,
        "warnings": list(found.warnings),
        "swaps": judged,
        "metrics": [
            {
                "name": m.name, "value": m.value, "unit": m.unit, "interval": found.intervals.get(m.name),
                "backend": m.backend, "protocol": m.protocol, "n": m.n,
            }
            for m in found.metrics
        ],
        "not_used": [{"name": one.name, "reason": one.reason} for one in found.rejected],
        "output": str(args.output) if args.output else None,
        "sheet": str(args.sheet) if args.sheet else None,
        "seconds": round(seconds, 3),
    }  # fmt: skip
