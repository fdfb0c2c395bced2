"""The field's own weights in our networks: MobileFaceSwap's release ready to use, and foreign files converted.

None of these files comes with the package. ``mfs fetch NAME --agree`` gets those that can be fetched; a file that the
user has already is put into the folder that ``MFS_MIRROR`` names, or converted with ``mfs convert``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from mfs_lib.errors import AssetError, InputError, OutputError
from mfs_lib.networks.identity import IdentityNetwork
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.weights.convert.arcface import convert_arcface_paddle
from mfs_lib.weights.convert.cached import converted_state
from mfs_lib.weights.convert.mobilefaceswap import convert_mobilefaceswap
from mfs_lib.weights.registry import file_sha256
from mfs_lib.weights.safe_io import save_weights

Convert = Callable[[Path], dict[str, Tensor]]
Network = TypeVar("Network", bound=nn.Module)

CONVERTERS = {
    "mobilefaceswap": "mobilefaceswap.convert_mobilefaceswap",
    "arcface-paddle": "arcface.convert_arcface_paddle",
    "arcface-simswap": "arcface.convert_arcface_simswap",
    "simswap": "simswap.convert_simswap",
    "bisenet": "bisenet.convert_bisenet",
    "hopenet": "hopenet.convert_hopenet",
    "mobilefsgan": "mobilefsgan.convert_mobilefsgan",
    "mobilefsgan-identity": "mobilefsgan.convert_mobilefsgan_identity",
    "mobilefsgan-discriminators": "mobilefsgan.convert_mobilefsgan_discriminators",
    "insightface-recogniser": "insightface_recogniser.convert_insightface_recogniser",
    "cosface": "cosface.convert_cosface",
    "vgg19": "vgg.convert_vgg19",
    "inception-fid": "inception_fid.convert_inception_fid",
}
"""Kinds of foreign files and, below ``mfs_lib.weights.convert``, what reads them (imported when it is needed)."""

_SWAPPER, _IDENTITY = "mobilefaceswap-224", "mobilefaceswap-arcface"


def load_mobilefaceswap(*, offline: bool = False) -> tuple[MobileFaceSwap, IdentityNetwork]:
    """MobileFaceSwap's release and the identity network that it is conditioned on: eval mode, frozen, on the CPU.

    The first call converts the release's files into the cache; later ones read what was converted.

    Args:
        offline: use only the cache and the mirror.

    Raises:
        AssetError: the files are not there, their terms are not agreed to, or they are not the release's; says how to
            get them.
    """
    # Both files first: what is missing is said before a network of 52 million values is made.
    states = [_state(_SWAPPER, convert_mobilefaceswap, offline), _state(_IDENTITY, convert_arcface_paddle, offline)]
    return _frozen(MobileFaceSwap(MobileFaceSwapConfig()), states[0]), _frozen(IdentityNetwork(), states[1])


def _frozen(network: Network, state: dict[str, Tensor]) -> Network:
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    return network


def _state(name: str, convert: Convert, offline: bool) -> dict[str, Tensor]:
    try:
        return converted_state(name, convert, offline=offline)
    except AssetError as error:
        raise AssetError(
            f"{error} (MobileFaceSwap's release needs two files: 'mfs fetch {_SWAPPER} {_IDENTITY} --agree', or both in "
            "the folder that MFS_MIRROR names, as MobileFaceSwap_224.pdparams and arcface.pdparams.)"
        ) from error


def converter(kind: str) -> Convert:
    """What reads foreign files of a kind: from a path to the state of our network.

    Raises:
        InputError: no such kind; the message lists those that exist.
    """
    if kind not in CONVERTERS:
        raise InputError(f"No kind of foreign weights is called {kind!r}. Known: {', '.join(sorted(CONVERTERS))}.")
    module, _, function = CONVERTERS[kind].partition(".")
    found: Convert = getattr(import_module(f"mfs_lib.weights.convert.{module}"), function)
    return found


def convert_file(kind: str, path: Path, output: Path) -> Path:
    """Convert a foreign file that the user has to safetensors of our network's state; returns `output`.

    The header names the kind and the source's file name and SHA-256.

    Args:
        kind: one of `CONVERTERS`.
        path: the foreign file; it is read and never run.
        output: file to write (atomically), ending in ``.safetensors``.

    Raises:
        InputError: no such kind, or `output` is the foreign file itself.
        AssetError: the file is missing, broken, malicious or of another kind.
        OutputError: `output` has another ending or can't be written.
    """
    read = converter(kind)
    if output.suffix != ".safetensors":
        raise OutputError(f"{output} must end in .safetensors: choose such a name.")
    if not path.is_file():
        raise AssetError(f"{path} is no file: check the name.")
    if output.exists() and output.samefile(path):
        raise InputError(f"{output} is the foreign file itself: choose another name.")
    state = {name: tensor.to(torch.device("cpu")) for name, tensor in read(path).items()}
    save_weights(output, state, {"kind": kind, "source": path.name, "source_sha256": file_sha256(path)})
    return output
