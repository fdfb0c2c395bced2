"""The two generators that can be trained to be teachers: how they are configured, built and run the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.networks.faceshifter import AEINet, AEINetConfig
from mfs_lib.networks.faceshifter_aad import AADOptions
from mfs_lib.networks.simswap import SimSwapGenerator, stride_of
from mfs_lib.training.settings import make_part

Kind = Literal["simswap", "faceshifter"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class SimSwapConfig:
    """Sizes of `SimSwapGenerator`; the defaults are the 224 release's."""

    deep: bool = False
    width: int = 64
    blocks: int = 9
    embedding_dim: int = 512
    levels: int = 3


GeneratorConfig = SimSwapConfig | AEINetConfig


def check_kind(kind: object, where: str = "experiment") -> Kind:
    """ConfigError unless a trained teacher of that kind exists."""
    if kind not in KINDS:
        raise ConfigError(f"{where}: teacher can't be {kind!r}; those that can be trained are {list(KINDS)}")
    return kind


def generator_config(kind: Kind, values: Mapping[str, Any], where: str = "network") -> GeneratorConfig:
    """Configuration from plain values, as a YAML file or a file's header has them; ConfigError for unknown keys."""
    if kind == "simswap":
        return cast(SimSwapConfig, make_part(SimSwapConfig, values, where))
    parts = dict(values) if isinstance(values, Mapping) else values
    if isinstance(parts, dict) and "aad" in parts:
        parts["aad"] = make_part(AADOptions, parts["aad"], f"{where}: aad")
    return cast(AEINetConfig, make_part(AEINetConfig, parts, where))


def plain_config(config: GeneratorConfig) -> dict[str, Any]:
    """The inverse of `generator_config`: values that JSON can hold."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(config).items()}


def kind_of(config: GeneratorConfig) -> Kind:
    """Which generator a configuration is of."""
    return "simswap" if isinstance(config, SimSwapConfig) else "faceshifter"


def identity_size(config: GeneratorConfig) -> int:
    """Length of the embedding that the generator is conditioned on."""
    return config.embedding_dim if isinstance(config, SimSwapConfig) else config.aad.id_dim


def build_generator(config: GeneratorConfig) -> nn.Module:
    """The network, at random."""
    if isinstance(config, SimSwapConfig):
        return SimSwapGenerator(**asdict(config))
    return AEINet(config)


def render(generator: nn.Module, target: Tensor, z: Tensor) -> Tensor:
    """Swap by either generator: `target` (B,3,S,S) in [0,1] and identities (B,E) -> (B,3,S,S) in [0,1]."""
    out = generator(target, z)
    return cast(Tensor, out if isinstance(out, Tensor) else out.image)


def fits_size(config: GeneratorConfig, size: int) -> bool:
    """Whether the generator takes crops of this side."""
    if isinstance(config, AEINetConfig):
        return size == config.size
    stride = stride_of(deep=config.deep, levels=config.levels)
    return size % stride == 0 and size >= 2 * stride
