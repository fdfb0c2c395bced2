"""Making the bundle that the light path (`portable`) works from, once, out of a student's weights. Needs PyTorch."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from mfs_lib import __version__
from mfs_lib.deploy.onnx import FACE_SIZE
from mfs_lib.deploy.two_file import BUNDLE_FILES, Parts, write_bundle
from mfs_lib.errors import ConfigError
from mfs_lib.faces.alignment import arcface_matrix
from mfs_lib.swapping.parts import Networks, load_networks
from mfs_lib.swapping.recipe import OUR_TEMPLATE
from mfs_lib.weights.registry import cache_folder, fetch
from mfs_lib.weights.shipped import student_path


def exported_parts(networks: Networks, size: int | None = None) -> Parts:
    """The networks with what a host must know of their crop, whose side is `size` (default: what they were trained on)."""
    side = size or networks.crop_size
    scale = FACE_SIZE / side
    whole = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2]])  # the release's view: the crop itself
    return Parts(
        identity=networks.identity, student=networks.student, size=side, points=networks.template.points,
        face_from_crop=arcface_matrix(side) if networks.template is OUR_TEMPLATE else whole,
    )  # fmt: skip


def bundle_parts(networks: Networks, size: int | None = None) -> Parts:
    """`exported_parts` for a bundle.

    Raises:
        ConfigError: networks of another template than ours, or whose person isn't in their kernels alone.
    """
    if networks.template is not OUR_TEMPLATE or networks.student.config.pointwise != "modulated":
        raise ConfigError("only students of our template with modulated pointwise layers have a bundle")
    return exported_parts(networks, size)


def default_bundle(weights: str | os.PathLike[str] = "default") -> Path:
    """The bundle of a student in the cache folder, made on the first call.

    Args:
        weights: a shipped student's name or a student's .safetensors file.

    Raises:
        AssetError: no such weights.
        ConfigError: their kind of network has no bundle.
    """
    digest = hashlib.sha256(student_path(weights).read_bytes()).hexdigest()[:12]
    folder = cache_folder() / "bundles" / f"{digest}-{__version__}-packed"
    if not all((folder / name).is_file() for name in BUNDLE_FILES):
        make_bundle(folder, weights)
    return folder


def make_bundle(folder: Path, weights: str | os.PathLike[str] = "default") -> None:
    """Write a bundle; the folder appears only when it is complete.

    Raises:
        AssetError: no such weights.
        ConfigError: their kind of network has no bundle.
    """
    parts = bundle_parts(load_networks(weights))
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
    try:
        write_bundle(draft, parts, fetch("yunet"), layout="packed")
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
