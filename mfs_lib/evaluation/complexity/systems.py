"""The systems that are counted: those of the paper's Table 1, and later or neighbouring ones beside them.

Each is split by rhythm: what runs once for a person (recogniser, styles, injection) and what runs on every frame. Faces
are detected and aligned before all of them, which no row counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import nn

from mfs_lib.evaluation.complexity.system import Part, Run, System
from mfs_lib.networks import fsgan
from mfs_lib.networks.deepfakes import DeepFakes
from mfs_lib.networks.faceshifter import AEINet, AEINetConfig
from mfs_lib.networks.fsgan_segmentation import segmentation
from mfs_lib.networks.fusion import MaskUpsampling
from mfs_lib.networks.identity import IdentityFeatures, IdentityNetwork
from mfs_lib.networks.injection import IdentityInjectionNetwork
from mfs_lib.networks.inswapper import Inswapper
from mfs_lib.networks.iresnet import IResNet
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig, StaticSwapper
from mfs_lib.networks.mobilefsgan import MobileFSGAN
from mfs_lib.networks.mobilefsgan_identity import MobileFSGANIdentity
from mfs_lib.networks.sface import SFace
from mfs_lib.networks.simswap import SimSwapGenerator, style_layers
from mfs_lib.weights.shipped import load_student

_RELEASE = "the authors' release"
_OPEN = "open re-implementation"


def _on(*shapes: tuple[int, ...]) -> Callable[[nn.Module], Run]:
    """Run a network on zeros of these shapes (batch of one left out)."""

    def prepare(network: nn.Module) -> Run:
        inputs = [torch.zeros(1, *shape) for shape in shapes]
        return lambda: network(*inputs)

    return prepare


def _picture(side: int) -> tuple[int, int, int]:
    return (3, side, side)


IDENTITY = Part(name="identity network (SE-IR)", build=IdentityNetwork, prepare=_on(_picture(112)))


def _simswap(size: int, *, deep: bool) -> System:
    def styles(network: SimSwapGenerator) -> Run:
        z = torch.zeros(1, 512)
        return lambda: network.styles(z)

    def frame(network: SimSwapGenerator) -> Run:
        target, given = torch.zeros(1, *_picture(size)), network.styles(torch.zeros(1, 512))
        return lambda: network.render(target, given)

    def build() -> SimSwapGenerator:
        return SimSwapGenerator(deep=deep)

    return System(
        key=f"simswap-{size}", title=f"SimSwap {size}", size=size, facts=_RELEASE,
        once=(IDENTITY, Part(name="styles", build=build, prepare=styles, only=style_layers)),
        frame=(Part(name="generator", build=build, prepare=frame, without=style_layers),),
    )  # fmt: skip


def _faceshifter(key: str, title: str, config: AEINetConfig, facts: str) -> System:
    def styles(network: AEINet) -> Run:
        z = torch.zeros(1, config.aad.id_dim)
        return lambda: network.styles(z)

    def frame(network: AEINet) -> Run:
        target, given = torch.zeros(1, *_picture(256)), network.styles(torch.zeros(1, config.aad.id_dim))
        return lambda: network(target, given)

    def build() -> AEINet:
        return AEINet(config)

    recogniser = Part(name="iresnet50", build=lambda: IResNet(layers=(3, 4, 14, 3)), prepare=_on(_picture(112)))
    return System(
        key=key, title=title, size=256, facts=facts,
        once=(recogniser, Part(name="styles", build=build, prepare=styles, only=AEINet.identity_layers)),
        frame=(Part(name="AEI-Net", build=build, prepare=frame, without=AEINet.identity_layers),),
    )  # fmt: skip


def _deepfakes() -> System:
    def frame(network: DeepFakes) -> Run:
        face = torch.zeros(1, *_picture(64))
        return lambda: network(face, "a")

    part = Part(name="encoder and one of two decoders", build=DeepFakes, prepare=frame)
    return System(key="deepfakes-64", title="DeepFakes 64", size=64, facts=_RELEASE, once=(), frame=(part,))


def _fsgan() -> System:
    side = 256
    steps: tuple[tuple[str, Callable[[], nn.Module], int], ...] = (
        ("reenactment", fsgan.reenactment, 101),
        ("segmentation", lambda: segmentation(divide=4), 3),
        ("inpainting", fsgan.inpainting, 4),
        ("blending", fsgan.blending, 7),
    )
    frame = tuple(Part(name=name, build=build, prepare=_on((inputs, side, side))) for name, build, inputs in steps)
    return System(key="fsgan-256", title="FSGAN 256, one source view", size=side, facts=_RELEASE, once=(), frame=frame)


def _features(config: MobileFaceSwapConfig) -> IdentityFeatures:
    side = config.feature_size
    feature_map = torch.zeros(1, config.feature_channels, side, side)
    return IdentityFeatures(torch.zeros(1, config.embedding_dim), feature_map)


def _injection(build: Callable[[], nn.Module], config: Callable[[], MobileFaceSwapConfig]) -> Part:
    def prepare(network: nn.Module) -> Run:
        features = _features(config())
        return lambda: network(features)

    return Part(name="injection network", build=build, prepare=prepare)


def _injected(network: StaticSwapper) -> Sequence[nn.Module]:
    """The layers whose weights the injection network writes."""
    return [*network.idn.encoder, *network.idn.decoder]


def _mobilefaceswap(size: int, *, upsampling: MaskUpsampling = "each") -> System:
    frame = Part(
        name="mobile network and mask",
        # As released: with the biases that are declared and never written.
        build=lambda: StaticSwapper(declare_biases=True, mask_upsampling=upsampling),
        prepare=_on(_picture(size)),
        written=_injected,
    )
    cheap = upsampling == "once"
    return System(
        key=f"mobilefaceswap-{size}{'-cheap-mask' if cheap else ''}",
        title=f"MobileFaceSwap {size}{', mask enlarged once' if cheap else ''}",
        size=size, facts="this project's variant" if cheap else _RELEASE,
        once=(IDENTITY, _injection(IdentityInjectionNetwork, MobileFaceSwapConfig)), frame=(frame,),
    )  # fmt: skip


@lru_cache(maxsize=1)
def _student_config() -> MobileFaceSwapConfig:
    with torch.device("cpu"):
        return load_student().network.config


def _student() -> System:
    def static() -> nn.Module:
        config = _student_config()
        return StaticSwapper(
            channels=config.channels, mask_channels=config.mask_channels, mask_upsampling=config.mask_upsampling,
            first_skip=config.first_skip,
        )  # fmt: skip

    recogniser = Part(name="SFace", build=SFace, prepare=_on(_picture(112)))
    injection = _injection(lambda: MobileFaceSwap(_student_config()).iin, _student_config)
    frame = Part(name="mobile network and mask", build=static, prepare=_on(_picture(128)), written=_injected)
    return System(
        key="student-128", title="this book's student 128", size=128, facts="this project",
        once=(recogniser, injection), frame=(frame,),
    )  # fmt: skip


def _mobilefsgan() -> System:
    identity = Part(name="MobileFaceNet", build=MobileFSGANIdentity, prepare=_on(_picture(112)))
    generator = Part(name="generator", build=MobileFSGAN, prepare=_on(_picture(256), (512,)))
    return System(
        key="mobilefsgan-256", title="MobileFSGAN 256", size=256, facts=_RELEASE, once=(identity,), frame=(generator,)
    )


def _inswapper() -> System:
    recogniser = Part(name="iresnet50", build=lambda: IResNet(layers=(3, 4, 14, 3)), prepare=_on(_picture(112)))
    frame = Part(name="generator", build=Inswapper, prepare=_on(_picture(128), (512,)))
    return System(key="inswapper-128", title="inswapper 128", size=128, facts=_OPEN, once=(recogniser,), frame=(frame,))


SYSTEMS: tuple[System, ...] = (
    _deepfakes(),
    _fsgan(),
    _simswap(224, deep=False),
    _faceshifter("faceshifter-1x1", "FaceShifter 256, 1×1", AEINetConfig.taotaonice(), f"{_OPEN} (taotaonice)"),
    _faceshifter("faceshifter-3x3", "FaceShifter 256, 3×3", AEINetConfig.maum_ai(), f"{_OPEN} (maum-ai)"),
    _mobilefaceswap(224),
    _mobilefaceswap(256),
    System(key="identity-112", title="identity network 112", size=112, facts=_RELEASE, once=(), frame=(IDENTITY,)),
    _mobilefaceswap(224, upsampling="once"),
    _student(),
    _mobilefsgan(),
    _simswap(512, deep=True),
    _inswapper(),
)
