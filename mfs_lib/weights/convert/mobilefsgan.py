"""MobileFSGAN (HoiM/MobileFSGAN, MIT): generator, discriminators and identity network to our modules' states.

The training script saves generator and discriminators from inside data-parallel wrappers: every name starts with "module.".
Generator (365 entries) and identity network (333; RGB_model_mobilefacenet.pth) have our names. Each of the three
discriminators is one sequence, `discriminator_256.model.{0..14}`, whose spectral norms are in PyTorch's older form:

| theirs: place in the sequence | ours                                                            |
|-------------------------------|-----------------------------------------------------------------|
| 0, 2, 5, 8, 11                | layers.0 .. layers.4                                            |
| 3, 6, 9, 12                   | norms.1 .. norms.4                                              |
| 14                            | last                                                            |
| weight_orig                   | parametrizations.weight.original                                |
| weight_u, weight_v            | parametrizations.weight.0._u, parametrizations.weight.0._v      |

(Places between are activations.) The two forms give the same scores in evaluation; in training they step u and v in
opposite orders, which shows only until the vectors have settled. The repository holds no trained generator and no trained
discriminators; their converters serve those who have trained with the authors' code.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mfs_lib.networks.mobilefsgan import MobileFSGAN
from mfs_lib.networks.mobilefsgan_identity import MobileFSGANIdentity
from mfs_lib.networks.patchgan import mobilefsgan_discriminators
from mfs_lib.weights.convert.plain_state import read_plain_state

_SCALES = {"discriminator_256": "scales.0", "discriminator_128": "scales.1", "discriminator_64": "scales.2"}
_PLACES = {
    "0": "layers.0", "2": "layers.1", "5": "layers.2", "8": "layers.3", "11": "layers.4", "14": "last",
    "3": "norms.1", "6": "norms.2", "9": "norms.3", "12": "norms.4",
}  # fmt: skip
_SPECTRAL = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}


def convert_mobilefsgan(path: Path) -> dict[str, Tensor]:
    """State of ``networks.mobilefsgan.MobileFSGAN`` from the training script's ``*_G.pth``.

    Raises:
        AssetError: unreadable, or not that network's state.
    """
    with torch.device("meta"):
        network = MobileFSGAN()
    return read_plain_state(path, network, name="MobileFSGAN's generator")


def convert_mobilefsgan_identity(path: Path) -> dict[str, Tensor]:
    """State of ``networks.mobilefsgan_identity.MobileFSGANIdentity`` from RGB_model_mobilefacenet.pth.

    Raises:
        AssetError: unreadable, or not that network's state.
    """
    with torch.device("meta"):
        network = MobileFSGANIdentity()
    return read_plain_state(path, network, name="MobileFSGAN's identity network (RGB_model_mobilefacenet.pth)")


def convert_mobilefsgan_discriminators(path: Path) -> dict[str, Tensor]:
    """State of ``networks.patchgan.mobilefsgan_discriminators()`` from the training script's ``*_D.pth``.

    Raises:
        AssetError: unreadable, or not that network's state.
    """
    with torch.device("meta"):
        networks = mobilefsgan_discriminators()
    return read_plain_state(path, networks, name="MobileFSGAN's discriminators", rename=_discriminator_name)


def _discriminator_name(key: str) -> str:
    scale, _, rest = key.partition(".model.")
    place, _, entry = rest.partition(".")
    if scale not in _SCALES or place not in _PLACES:
        return key  # it has no place; the check names it as it stands in the file
    return f"{_SCALES[scale]}.{_PLACES[place]}.{_SPECTRAL.get(entry, entry)}"
