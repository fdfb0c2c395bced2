"""The command `mfs export`: one person's network, or everybody's, as files that other runtimes execute."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mfs_lib.errors import InputError, OutputError

if TYPE_CHECKING:
    from mfs_lib.deploy.formats import Format
    from mfs_lib.deploy.frame import Layout
    from mfs_lib.deploy.parity import ParityReport
    from mfs_lib.deploy.two_file import Parts
    from mfs_lib.networks.mobilefaceswap import StaticSwapper
    from mfs_lib.swapping.parts import Networks

_FOLDERS = ("two-file", "bundle")
_TITLES = {
    "two-file": "two ONNX files: source -> weights, weights and target -> swap",
    "bundle": "the same with the face detector, for the swapper without PyTorch",
}


def add_export(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs export`."""
    export: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write one person's network in the format of another runtime",
        description="Bake the face of a photograph into a network and write that in the format of a runtime (ONNX, OpenVINO, "
        "ncnn, MNN, ExecuTorch, LiteRT, Core ML), or write the networks for everybody (two-file, bundle).",
        epilog="Files say of themselves, where their format has a place for it, that they make synthetic pictures. Export "
        "only the face of somebody who agreed to it: the file can put it onto any picture.",
    )
    export.add_argument("--list", action="store_true", help="list the formats and what each needs installed")
    export.add_argument("--format", "-f", metavar="NAME", help="see --list; a float16 variant is called NAME-fp16")
    export.add_argument("--identity", "-i", type=Path, metavar="PHOTO", help="photograph of the person to bake in")
    export.add_argument(
        "--output", "-o", type=Path, help="file to write, with the format's suffix; a folder for two-file and bundle"
    )
    export.add_argument("--force", action="store_true", help="replace files that are there")
    export.add_argument("--parity", action="store_true", help="run the file in its runtime and compare it with PyTorch")
    _add_means(export)
    export.set_defaults(run=run_export, usage_error=export.error)
    return export


def _add_means(export: argparse.ArgumentParser) -> None:
    """Options that say what is written."""
    export.add_argument(
        "--weights",
        default="default",
        metavar="NAME|FILE",
        help="network to use: default, a student's .safetensors file, or mobilefaceswap-224 (the release's)",
    )
    export.add_argument(
        "--layout",
        choices=("packed", "folded", "released"),
        help="how the network is rewritten, the same function each time (default: the fastest in the format's runtime)",
    )
    export.add_argument("--size", type=int, metavar="PIXELS", help="side of the crop (default: what it was trained on)")
    export.add_argument(
        "--outputs",
        type=lambda text: tuple(text.split(",")),
        default=("raw", "mask"),
        metavar="NAMES",
        help="of raw (the network's own image), mask and result (their composite with the target) (default: raw,mask)",
    )


def run_export(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs export`: returns the report whose "text" is the one line to print."""
    start = time.perf_counter()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # read when cv2 is imported; its hints are not for users
    if args.list:
        return _list()
    if args.format is None or args.output is None:
        args.usage_error("--format and --output are needed (or --list)")
    report = _export_folder(args) if args.format in _FOLDERS else _export_person(args)
    report["seconds"] = round(time.perf_counter() - start, 3)
    report["text"] += f" in {report['seconds']:.1f} s" + _tail(report)
    return report


def _tail(report: dict[str, Any]) -> str:
    """Parity and notes, for the line."""
    parity, notes = report.pop("parity_text"), report["notes"]
    return (f"; {parity}" if parity else "") + (f" [{'; '.join(notes)}]" if notes else "")


def _list() -> dict[str, Any]:
    """All formats, for people and programs."""
    from mfs_lib.deploy.formats import FORMATS

    rows = [
        {
            "format": form.name,
            "title": form.title,
            "suffix": form.suffix,
            "installed": form.installed(),
            "executes_here": form.installed() and not form.obstacle,
            "install": form.command(),
            "layouts": list(form.layouts),
        }
        for form in FORMATS.values()
    ]
    lines = [f"{row['format']:<14} {row['title']:<36} {_state(row)}" for row in rows]
    lines += [f"{name:<14} {title}" for name, title in _TITLES.items()]
    return {"text": "\n".join(lines), "formats": rows, "folders": list(_FOLDERS)}


def _state(row: dict[str, Any]) -> str:
    """Whether a format can be used here, and what is missing."""
    if not row["installed"]:
        return f"not installed: {row['install']}"
    return "installed" if row["executes_here"] else "installed; converts here, executes on macOS only"


def _refuse_overwriting(files: tuple[Path, ...], *, force: bool) -> None:
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise OutputError(f"{', '.join(there)} exists already: choose another name, or add --force")


def _note(name: str) -> dict[str, str]:
    """What a file says of its making, beside what every file says."""
    from mfs_lib.swapping.provenance import SOURCE_TYPE

    return {"digital_source_type": SOURCE_TYPE, "weights": name}


def _export_person(args: argparse.Namespace) -> dict[str, Any]:
    """One person's network in one format."""
    from mfs_lib.deploy.formats import format_named, frame_of

    form = format_named(args.format)
    # Everything that can be known to fail is checked before the networks are loaded.
    if args.identity is None:
        args.usage_error(f"--identity is needed for --format {form.name}: it holds one person")
    form.check_path(args.output)
    form.require()
    if args.parity and form.obstacle:
        raise InputError(f"{form.obstacle}: export without --parity here")
    _refuse_overwriting(form.files(args.output), force=args.force)
    from mfs_lib.swapping import Swapper

    swapper = Swapper.load(args.weights)
    person = swapper.prepare(args.identity)
    network = cast("StaticSwapper", person.network)
    layout, size = args.layout or form.layouts[0], args.size or swapper.crop_size
    frame = frame_of(network, size=size, layout=layout, outputs=args.outputs, notes=_note(swapper.name))
    form.export(frame, args.output)
    parity = _parity(form, args.output, network, size, layout) if args.parity else None
    report = _report(args, form.title, form.files(args.output), layout, size, parity)
    return {**report, "notes": list(person.notes)}


def _parity(form: Format, path: Path, network: StaticSwapper, size: int, layout: str) -> ParityReport:
    """Compare, and fail where the file is another function."""
    from mfs_lib.deploy.parity import check, parity, sampled_faces

    report = parity(form, path, network, sampled_faces(size=size), layout=layout)
    check(report, form.tolerance)
    return report


def _report(
    args: argparse.Namespace, title: str, files: tuple[Path, ...], layout: str, size: int, parity: ParityReport | None
) -> dict[str, Any]:
    """What was written, for people ("text") and for programs."""
    total = sum(f.stat().st_size for file in files for f in ([file] if file.is_file() else file.rglob("*")))
    return {
        "text": f"wrote {args.output} ({title}, layout {layout}, {size} px, {total / 1e6:.2f} MB)",
        "parity_text": str(parity) if parity else "",
        "output": str(args.output),
        "files": [str(file) for file in files],
        "format": args.format,
        "layout": layout,
        "size": size,
        "outputs": list(args.outputs),
        "bytes": total,
        "parity": parity.to_dict() if parity else None,
    }


def _export_folder(args: argparse.Namespace) -> dict[str, Any]:
    """The networks for everybody."""
    from mfs_lib.deploy.two_file import BUNDLE_FILES, TWO_FILES, write_bundle, write_two_file

    bundle = args.format == "bundle"
    if args.identity is not None:
        raise InputError(f"a {args.format} export is for every person: leave --identity out")
    if bundle and tuple(args.outputs) != ("raw", "mask"):
        raise InputError("a bundle's frame has the outputs raw and mask: leave --outputs out")
    if args.output.exists() and not args.output.is_dir():
        raise OutputError(f"{args.output} is a file, and {args.format} needs a folder: choose another name")
    names = BUNDLE_FILES if bundle else TWO_FILES
    _refuse_overwriting(tuple(args.output / name for name in names), force=args.force)
    from mfs_lib.swapping.bundle import bundle_parts, exported_parts
    from mfs_lib.swapping.parts import load_networks
    from mfs_lib.weights.registry import fetch

    networks = load_networks(args.weights)
    parts = (bundle_parts if bundle else exported_parts)(networks, args.size)
    layout: Layout = args.layout or "packed"
    if bundle:
        files = write_bundle(args.output, parts, fetch("yunet"), layout=layout)
    else:
        notes = _note(networks.name)
        files = write_two_file(args.output, parts, layout=layout, outputs=args.outputs, notes=notes)
    parity = _pair_parity(args.output, networks, parts, args.format, layout) if args.parity else None
    return {**_report(args, _TITLES[args.format], files, layout, parts.size, parity), "notes": []}


def _pair_parity(folder: Path, networks: Networks, parts: Parts, name: str, layout: str) -> ParityReport:
    """The same for both files together, with a sampled person."""
    import torch

    from mfs_lib.deploy.formats.base import TOLERANCE
    from mfs_lib.deploy.parity import PERSON_SEED, check, pair_parity, sampled_faces

    crop = sampled_faces(1, size=parts.size, seed=PERSON_SEED)
    face = networks.template.identity_view(crop)
    with torch.no_grad():
        static = networks.student.specialise(networks.identity(face))
    report = pair_parity(folder, face, static, sampled_faces(size=parts.size), name=name, layout=layout)
    check(report, TOLERANCE)
    return report
