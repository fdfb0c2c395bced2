"""The commands `mfs fetch` and `mfs convert`: get model files and sets of faces; read foreign weights."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

KINDS = (
    *("mobilefaceswap", "arcface-paddle", "arcface-simswap", "simswap", "bisenet", "hopenet", "mobilefsgan"),
    *("mobilefsgan-identity", "mobilefsgan-discriminators", "insightface-recogniser", "cosface", "vgg19"),
    "inception-fid",
)
"""The kinds of ``official.CONVERTERS``, written out so that ``--help`` needs no heavy import."""


def add_fetch(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs fetch`."""
    fetch: argparse.ArgumentParser = commands.add_parser(
        "fetch",
        help="fetch and verify model files and sets of faces",
        description="Fetch model files into the cache and verify size and SHA-256. Files already there are kept; a "
        "download that was cut off goes on where it was.",
        epilog="The field's own weights have terms of their own, which are shown before they are handed out.",
    )
    what = fetch.add_mutually_exclusive_group(required=True)
    what.add_argument("names", nargs="*", default=[], metavar="NAME", help="files to fetch, by name")
    what.add_argument("--default", action="store_true", help="fetch the set that swapping, training and tests need")
    what.add_argument("--list", action="store_true", help="list what can be fetched, with licence and size")
    fetch.add_argument("--agree", action="store_true", help="agree to the terms of the files named")
    fetch.add_argument("--offline", action="store_true", help="only use the cache and the folder in MFS_MIRROR")
    fetch.set_defaults(run=run_fetch)
    return fetch


def add_convert(commands: Any) -> argparse.ArgumentParser:
    """The parser of `mfs convert`."""
    convert: argparse.ArgumentParser = commands.add_parser(
        "convert",
        help="convert somebody else's weights to safetensors of our networks",
        description="Read a checkpoint of another project without running anything in it, check that it fills our "
        "network exactly, and write safetensors.",
    )
    convert.add_argument("kind", choices=KINDS, metavar="KIND", help=f"what the file is: {', '.join(KINDS)}")
    convert.add_argument("file", type=Path, metavar="FILE", help="the checkpoint")
    convert.add_argument("output", type=Path, metavar="OUTPUT", help="file to write, ending in .safetensors")
    convert.set_defaults(run=run_convert)
    return convert


def run_fetch(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs fetch`: lists or fetches model files and sets of faces."""
    from mfs_lib.faces import manifests
    from mfs_lib.weights import registry

    if args.list:
        return _fetch_list()
    names = [e.name for e in registry.entries() if e.default] if args.default else args.names
    show, paths = not args.json, {}
    for name in names:
        if name in manifests.names():
            paths[name] = [str(path) for path in manifests.fetch(name, progress=show)]
        else:
            paths[name] = [str(registry.fetch(name, offline=args.offline, progress=show, agree=args.agree))]
    number = sum(len(found) for found in paths.values())
    placed = "1 file is" if number == 1 else f"{number} files are"
    return {"text": f"{placed} in place and verified: {', '.join(paths)}", "paths": paths}


def _fetch_list() -> dict[str, Any]:
    """What can be fetched: model files, then sets of faces."""
    from mfs_lib.faces import manifests
    from mfs_lib.weights import registry
    from mfs_lib.weights.trust import is_agreed

    rows, lines = [], []

    def add(name: str, size: int | None, licence: str, *, default: bool, terms: str, purpose: str) -> None:
        rows.append({"name": name, "bytes": size, "licence": licence, "default": default, "purpose": purpose})
        rows[-1]["terms"] = terms
        shown = "size unknown" if size is None else f"{size / 1e6:9.2f} MB"
        lines.append(f"{name:<22} {shown:>12}  {licence:<23} {purpose}")

    for one in registry.entries():
        add(one.name, one.size, one.licence, default=one.default, terms=one.terms, purpose=one.purpose)
        if one.terms:
            lines[-1] += " [agreed]" if is_agreed(one, registry.cache_folder()) else " [needs --agree]"
    for name in manifests.names():
        faces = manifests.face_set(name)
        size = sum(file.size for file in faces.needed)
        add(name, size, faces.licence, default=False, terms="", purpose=faces.title)
    return {"text": "\n".join(lines), "files": rows}


def run_convert(args: argparse.Namespace) -> dict[str, Any]:
    """`mfs convert`: reads a foreign checkpoint and writes safetensors."""
    from mfs_lib.weights.official import convert_file
    from mfs_lib.weights.safe_io import load_weights

    written = convert_file(args.kind, args.file, args.output)
    state, metadata = load_weights(written)
    values = sum(tensor.numel() for tensor in state.values())
    return {
        "text": f"converted {args.file.name} ({args.kind}): wrote {written} ({len(state)} tensors, {values:,} values)",
        "output": str(written),
        "kind": args.kind,
        "tensors": len(state),
        "values": values,
        "source_sha256": metadata["source_sha256"],
    }
