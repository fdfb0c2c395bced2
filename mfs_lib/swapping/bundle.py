"""Making the bundle that the light path (`portable`) works from, once, out of a student's weights. Needs PyTorch."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mfs_lib import __version__
from mfs_lib.errors import ConfigError
from mfs_lib.networks.mobilefaceswap import StaticSwapper, SwapOutput
from mfs_lib.networks.modulation import Modulated
from mfs_lib.swapping.parts import Networks, load_networks
from mfs_lib.swapping.portable import BUNDLE_FILES, DETECTOR, FRAME, SOURCE
from mfs_lib.swapping.recipe import OUR_TEMPLATE
from mfs_lib.weights.registry import cache_folder, fetch
from mfs_lib.weights.shipped import student_path

_OPSET = 18


class _Source(nn.Module):
    """The recogniser's view of a source to one person's weights, by the names that `StaticSwapper` has for them."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.identity, self.student = networks.identity, networks.student

    def forward(self, face: Tensor) -> dict[str, Tensor]:
        weights = self.student.inject(self.identity(face))
        found: dict[str, Tensor] = {}
        for stage, layers, offset in (("encoder", weights.encoder, 0), ("decoder", weights.decoder, 1)):
            for index, layer in enumerate(layers):
                found[f"idn.{stage}.{index}.{offset}.weight"] = layer.depthwise[0].unsqueeze(1)
                found[f"idn.{stage}.{index}.{offset + 1}.weight"] = cast(Modulated, layer.pointwise).baked()[0]
        return found


class _Frame(nn.Module):
    """One person's network with that person's weights as arguments."""

    def __init__(self, static: StaticSwapper, names: list[str]) -> None:
        super().__init__()
        self.static, self.names = static, names

    def forward(self, target: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        output: SwapOutput = functional_call(self.static, dict(zip(self.names, weights, strict=True)), (target,))
        return output.raw, output.mask


def default_bundle(weights: str | os.PathLike[str] = "default") -> Path:
    """The bundle of a student in the cache folder, made on the first call.

    Args:
        weights: a shipped student's name or a student's .safetensors file.

    Raises:
        AssetError: no such weights.
        ConfigError: their kind of network has no bundle.
    """
    digest = hashlib.sha256(student_path(weights).read_bytes()).hexdigest()[:12]
    folder = cache_folder() / "bundles" / f"{digest}-{__version__}"
    if not all((folder / name).is_file() for name in BUNDLE_FILES):
        make_bundle(folder, weights)
    return folder


def make_bundle(folder: Path, weights: str | os.PathLike[str] = "default") -> None:
    """Write a bundle; the folder appears only when it is complete.

    Raises:
        AssetError: no such weights.
        ConfigError: their kind of network has no bundle.
    """
    networks = load_networks(weights)
    if networks.template is not OUR_TEMPLATE or networks.student.config.pointwise != "modulated":
        raise ConfigError("only students of our template with modulated pointwise layers have a bundle")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder.parent))
    try:
        shutil.copyfile(fetch("yunet"), draft / DETECTOR)
        _export(networks, draft)
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@torch.no_grad()
def _export(networks: Networks, folder: Path) -> None:
    """Write both graphs."""
    source = _Source(networks).eval()
    face = torch.zeros(1, 3, 112, 112)
    weights = source(face)
    names = list(weights)
    static = networks.student.specialise(networks.identity(face))
    side = networks.crop_size
    target = torch.zeros(1, 3, side, side)
    _write(source, (face,), folder / SOURCE, ["face"], names, apart=True)
    frame = _Frame(static, names).eval()
    _write(frame, (target, *weights.values()), folder / FRAME, ["target", *names], ["raw", "mask"])


def _write(
    module: nn.Module,
    args: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    *,
    apart: bool = False,
) -> None:
    """One graph; with `apart` its weights in a file beside it, which ONNX Runtime maps instead of reading it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        torch.onnx.export(
            module, args, str(path), input_names=inputs, output_names=outputs, opset_version=_OPSET,
            dynamo=True, external_data=apart, verbose=False,
        )  # fmt: skip
