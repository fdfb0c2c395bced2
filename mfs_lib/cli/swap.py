"""The command `mfs swap`: one face of one photograph onto another."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfs_lib.cli.arguments import refuse_overwriting_inputs
from mfs_lib.errors import InputError

if TYPE_CHECKING:
    from mfs_lib.swapping import SwapResult


def add_swap(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs swap`."""
    swap: argparse.ArgumentParser = commands.add_parser(
        "swap",
        help="put the face of one photograph onto another",
        description="Put the largest face of SOURCE onto TARGET and write the picture to OUTPUT. "
        "TARGET keeps its size, pose, expression and background.",
        epilog="The output is marked as edited by AI in its metadata (IPTC digital source type). "
        "No EXIF of the target, such as the place where it was taken, is copied.",
    )
    swap.add_argument("--source", "-s", type=Path, required=True, help="photograph of the person whose face is used")
    swap.add_argument("--target", "-t", type=Path, required=True, help="photograph whose face is replaced")
    swap.add_argument(
        "--output", "-o", type=Path, required=True, help="file to write; the suffix chooses .png, .jpg, .webp or .tif"
    )
    swap.add_argument(
        "--face",
        type=_face_choice,
        default="largest",
        metavar="largest|all|INDEX",
        help="which faces of the target to replace; 0 is the largest, 1 the next, ... (default: largest)",
    )
    swap.add_argument("--label", action="store_true", help="also draw a visible label into the picture")
    swap.add_argument("--force", action="store_true", help="allow the output to replace the source or target file")
    _add_means(swap)
    swap.set_defaults(run=run_swap)
    return swap


def _add_means(swap: argparse.ArgumentParser) -> None:
    """Options of `mfs swap` that say with what and how it is done."""
    swap.add_argument(
        "--detail",
        choices=("plain", "residual", "adaptive"),
        help="how the face is pasted: plain, as fine as the network's crop; residual, with all the target's fine grain; "
        "adaptive, with the grain where the swap left the structure alone "
        "(default: the package's; not with --recipe release)",
    )
    swap.add_argument(
        "--weights",
        default="default",
        metavar="NAME|FILE",
        help="networks to use: default, a student's .safetensors file, or mobilefaceswap-224 (the release's)",
    )
    swap.add_argument(
        "--recipe",
        choices=("ours", "release"),
        default="ours",
        help="how faces are found, cut out and put back: our way, or as the MobileFaceSwap release does (default: ours)",
    )
    swap.add_argument("--device", default="cpu", help="torch device, such as cpu or cuda (default: cpu)")
    swap.add_argument(
        "--max-megapixels", type=_megapixels, default=128.0, metavar="N", help="refuse larger pictures (default: 128)"
    )


def _face_choice(text: str) -> str | int:
    """'largest', 'all' or a number from 0."""
    if text in ("largest", "all"):
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not largest, all or a number from 0")


def _megapixels(text: str) -> float:
    """A positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def run_swap(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs swap`: returns the report whose "text" is the one line to print."""
    start = time.perf_counter()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # read when cv2 is imported; its hints are not for users
    from mfs_lib.swapping.image_io import check_output

    # Everything that can be known to fail is checked before the networks are loaded.
    check_output(args.output)
    if not args.force:
        refuse_overwriting_inputs(args)
    _check_device(args.device)
    from mfs_lib.swapping import Swapper
    from mfs_lib.swapping.recipe import check_detail

    check_detail(args.recipe, args.detail)
    swapper = Swapper.load(args.weights, recipe=args.recipe, device=args.device, max_megapixels=args.max_megapixels)
    result = swapper.swap(args.source, args.target, args.face, detail=args.detail)
    written = result.save(args.output, label=args.label)
    return _report(args, result, written, time.perf_counter() - start)


def _check_device(name: str) -> None:
    """Refuse a device that torch does not know or that is not there."""
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"the device {name!r} can't be used ({reason}): try --device cpu") from error


def _report(args: argparse.Namespace, result: SwapResult, written: Path, seconds: float) -> dict[str, Any]:
    """What was done, for people ("text") and for programs."""
    height, width = result.image.shape[:2]
    number = len(result.faces)
    which = f"{number} of {result.found} faces" if result.found > 1 else "the face"
    text = (
        f"swapped {which} in {args.target.name} for the one in {args.source.name}: wrote {written} "
        f"({width}x{height}, marked as synthetic{', labelled' if args.label else ''}) in {seconds:.1f} s"
    )
    if result.notes:
        text += f" [{'; '.join(result.notes)}]"
    return {
        "text": text,
        "output": str(written),
        "width": width,
        "height": height,
        "faces_found": result.found,
        "faces": [
            {"index": f.index, "box": list(f.box), "score": round(f.score, 4), "pixels": f.pixels} for f in result.faces
        ],
        "notes": list(result.notes),
        "marked": True,
        "labelled": bool(args.label),
        "seconds": {**{step: round(t, 4) for step, t in result.timings.items()}, "total": round(seconds, 4)},
    }
