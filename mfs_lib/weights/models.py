"""The default models, and VGG-19 for those who have it, ready to use: fetched, verified, converted, frozen.

Each function fetches what it needs (see ``registry``); a second call reads the converted weights from the cache.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import torch
from torch import nn

from mfs_lib.errors import ConfigError
from mfs_lib.faces.detection import FaceDetector
from mfs_lib.networks.face_mesh import FaceMesh
from mfs_lib.networks.mobilefacenet import MobileFaceNet
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.networks.sface import SFace
from mfs_lib.networks.vgg import VGG19Features
from mfs_lib.weights.convert.cached import converted_state
from mfs_lib.weights.convert.face_geometry import convert_face_geometry
from mfs_lib.weights.convert.mobilenet_v2 import convert_mobilenet_v2
from mfs_lib.weights.convert.sface import convert_sface
from mfs_lib.weights.convert.tflite_networks import convert_face_mesh, convert_mobilefacenet
from mfs_lib.weights.convert.vgg import convert_vgg19
from mfs_lib.weights.insightface_packs import OnnxRecogniser, find_packs
from mfs_lib.weights.registry import fetch

Module = TypeVar("Module", bound=nn.Module)


def load_detector(*, threshold: float = 0.6, max_side: int = 1024, refine: bool = True) -> FaceDetector:
    """YuNet; see ``FaceDetector`` for the arguments."""
    return FaceDetector(model=fetch("yunet"), threshold=threshold, max_side=max_side, refine=refine)


def load_sface(*, device: torch.device | str = "cpu") -> SFace:
    """SFace, the identity network that students are conditioned on and trained with."""
    network = SFace()
    network.load_state_dict(converted_state("sface", convert_sface))
    return _freeze(network, device)


def load_judge(name: str = "mobilefacenet", *, device: torch.device | str = "cpu") -> nn.Module:
    """A recogniser that no training ever sees: (B, 3, 112, 112) in [0, 1] to L2-normalised identities (B, E).

    Args:
        name: ``mobilefacenet`` (E = 192), or ``insightface:PACK`` for a pack of the user's own (see
            ``insightface_packs``).
        device: where the network runs.

    Raises:
        ConfigError: no judge has that name; the message lists those there are.
    """
    if name == "mobilefacenet":
        network = MobileFaceNet()
        network.load_state_dict(converted_state("mobilefacenet", convert_mobilefacenet))
        return _freeze(network, device)
    packs = {f"insightface:{pack.name}": pack.recogniser for pack in find_packs() if pack.recogniser}
    if name not in packs:
        raise ConfigError(f"No judge is called {name!r}. Known here: {', '.join(['mobilefacenet', *packs])}.")
    return OnnxRecogniser(path=packs[name])


def load_mesh(*, device: torch.device | str = "cpu") -> FaceMesh:
    """The 468-point face mesh with its canonical geometry."""
    network = FaceMesh()
    network.load_state_dict(
        {
            **converted_state("face-landmark", convert_face_mesh),
            **converted_state("face-geometry", convert_face_geometry),
        }
    )
    return _freeze(network, device)


def load_mobilenet_v2(*, device: torch.device | str = "cpu") -> MobileNetV2Features:
    """MobileNetV2 with ImageNet weights, for feature-matching losses and distances between sets of images."""
    network = MobileNetV2Features()
    network.load_state_dict(converted_state("mobilenet-v2", convert_mobilenet_v2))
    return _freeze(network, device)


def load_vgg19(*, device: torch.device | str = "cpu", offline: bool = False) -> VGG19Features:
    """VGG-19 with ImageNet weights, for the perceptual loss.

    Raises AssetError, with what to do, where its weights are not there.
    """
    state = converted_state("vgg19", convert_vgg19, offline=offline)
    with torch.device("meta"):
        network = VGG19Features()  # without drawing weights that would be thrown away
    network.load_state_dict(state, assign=True)
    return _freeze(network, device)


@lru_cache(maxsize=1)
def default_mesh() -> FaceMesh:
    """One shared face mesh on the CPU, loaded at the first call."""
    return load_mesh()


def _freeze(network: Module, device: torch.device | str) -> Module:
    """For inference: no gradient to the parameters (the input still gets one), convolutions laid out channels-last."""
    network.eval().requires_grad_(False)
    network.to(device)
    # torch's type hints leave out the memory format alone, which its documentation allows.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
