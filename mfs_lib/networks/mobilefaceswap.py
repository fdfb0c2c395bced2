"""MobileFaceSwap assembled (Xu et al., AAAI 2022, figure 2): identity -> weights -> mobile network -> swapped face.

| part                | runs               | parameters of the release           |
|---------------------|--------------------|-------------------------------------|
| identity network    | once per source    | 52,193,215 (not held here)          |
| injection network   | once per source    | 20,614,912                          |
| mobile network      | on every frame     | 415,616 (412,217 in kernels)        |
| fusion mask         | on every frame     | 84,209 (82,762 in kernels)          |
| both of every frame |                    | 499,825; 305,722,368 MAC at 224     |

result = raw * mask + (1 - mask) * target, the fusion of section 3.1. Any size that is a multiple of 32 works.

The paper's ablation of the network is four options; at the release's sizes, kernels and MAC of one frame at 224:

| option                       | injection, once | a frame, kernels | a frame, MAC |
|------------------------------|-----------------|------------------|--------------|
| none (the full method)       | 20,614,912      | 494,979          | 305,722,368  |
| `depthwise="learned"`        | 1,381,747       | 494,979          | 305,722,368  |
| `pointwise="adain"`          | 21,155,101      | 494,979 (a)      | 305,722,368  |
| both of these                | 1,921,936       | 494,979 (a)      | 305,722,368  |
| `pointwise="plain"`          | 19,644,829      | 494,979          | 305,722,368  |
| `architecture="autoencoder"` | 15,732,288      | 447,939          | 216,007,680  |
| `fusion_mask=False`          | 20,614,912      | 412,217          | 264,276,992  |

(a) and 2,944 scales and shifts, which are no kernels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.networks.depthwise import Backend
from mfs_lib.networks.fusion import FullMask, FusionMask, MaskUpsampling
from mfs_lib.networks.identity import IdentityFeatures
from mfs_lib.networks.idn import IdentityDynamicNetwork, StaticIdentityNetwork
from mfs_lib.networks.injection import Architecture, Depthwise, IdentityInjectionNetwork, IdnWeights
from mfs_lib.networks.pointwise import Pointwise
from mfs_lib.networks.predictor import PredictorInput

_CHOICES = {
    "mask_upsampling": MaskUpsampling,
    "predictor_input": PredictorInput,
    "depthwise": Depthwise,
    "pointwise": Pointwise,
    "architecture": Architecture,
}


class SwapOutput(NamedTuple):
    """`result` (B,3,H,W): the composite; `raw` (B,3,H,W): the network's own image; `mask` (B,1,H,W); all in [0,1]."""

    result: Tensor
    raw: Tensor
    mask: Tensor


@dataclass(frozen=True)
class MobileFaceSwapConfig:
    """Sizes and options. The defaults are the release's; each option that departs says what it does.

    channels            outputs of the five encoder stages
    mask_channels       outputs of the five layers of the mask head
    mask_upsampling     the mask grows before "each" layer (release) or "once" at the end (what the paper's count fits)
    embedding_dim       length of the identity embedding (SFace: 128)
    feature_channels    channels of the identity feature map (SFace: 1024)
    feature_size        its height and width, at least 4
    predictor_input     "feature_map" (release) or "embedding" (the paper's equation 1; with a code, both together)
    plus_one            scale weights by s + 1 (release) or by s (the paper's equation 2)
    predictor_width     None, or the cap of every hidden width of a compact weight predictor with 1x1 heads
    kernel_base         learn kernels common to all identities; the prediction is added to them
    kernel_scale        factor of the prediction when `kernel_base`
    code_dim            length of a code that is read from the feature map and joined to the embedding (see
                        `identity_code`); the release has none (0)
    detach_mask_input   no gradient from the mask head into the encoder (release)
    first_skip          join the shallowest encoder features to the last decoder's; the release's finest skip lies at
                        a quarter of the input's resolution, too coarse for crops of 128

    The last four are the paper's ablation of the network; their defaults are the full method:

    depthwise           kernels "predicted" from the identity, or "learned" parameters that all identities share (then
                        `predictor_input`, `predictor_width`, `kernel_base` and `kernel_scale` say nothing)
    pointwise           weights "modulated" by the identity, "adain" (normalised outputs are scaled and shifted by it)
                        or "plain" (nothing); `plus_one` speaks of "modulated" alone
    architecture        "unet", or "autoencoder": no skip connections, the decoder's later layers read half as much
    fusion_mask         predict the mask; if False it is 1 everywhere, and the result is the network's own image
    """

    channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    mask_channels: tuple[int, ...] = (128, 64, 32, 8, 2)
    mask_upsampling: MaskUpsampling = "each"
    embedding_dim: int = 512
    feature_channels: int = 512
    feature_size: int = 7
    predictor_input: PredictorInput = "feature_map"
    plus_one: bool = True
    predictor_width: int | None = None
    kernel_base: bool = False
    kernel_scale: float = 0.3
    code_dim: int = 0
    detach_mask_input: bool = True
    first_skip: bool = False
    depthwise: Depthwise = "predicted"
    pointwise: Pointwise = "modulated"
    architecture: Architecture = "unet"
    fusion_mask: bool = True

    def __post_init__(self) -> None:
        """Raise ConfigError, naming the field, for values that no network can be built from."""
        for name in ("channels", "mask_channels"):
            values = getattr(self, name)
            if len(values) != 5 or min(values) < 1:
                raise ConfigError(f"{name} must be five positive numbers (one for each halving of 32), got {values}")
        for name in ("embedding_dim", "feature_channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if self.code_dim < 0:
            raise ConfigError(f"code_dim must be 0 (none) or positive, got {self.code_dim}")
        if self.feature_size < 4:
            raise ConfigError(f"feature_size must be at least 4, got {self.feature_size}")
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(f"{name} must be one of {get_args(kind)}, got {getattr(self, name)}")
        if self.predictor_width is not None and self.predictor_width < 1:
            raise ConfigError(f"predictor_width must be positive or None, got {self.predictor_width}")
        self._check_combination()

    def _check_combination(self) -> None:
        """Raise ConfigError for options that are good alone and contradict one another."""
        if self.depthwise == "learned" and self.pointwise == "plain":
            raise ConfigError(
                "depthwise learned and pointwise plain leave the source's identity no way into the network: "
                "choose depthwise predicted, or pointwise modulated or adain"
            )
        if self.pointwise == "plain" and self.predictor_input == "feature_map" and self.code_dim:
            raise ConfigError(
                "code_dim has no use with pointwise plain and predictor_input feature_map, since nothing reads the "
                "code: set it to 0, or predictor_input to embedding"
            )
        if self.architecture == "autoencoder" and self.first_skip:
            raise ConfigError("an autoencoder has no skip connections: set first_skip to false")

    def to_dict(self) -> dict[str, object]:
        """The fields as plain values that JSON or YAML can hold."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> MobileFaceSwapConfig:
        """The inverse of `to_dict`; missing fields take their defaults, unknown ones raise ConfigError."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ConfigError(f"unknown network options {unknown}; known: {[field.name for field in fields(cls)]}")
        plain = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**plain)  # type: ignore[arg-type]  # the values are checked in __post_init__


def composite(raw: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    """The fusion of section 3.1: the swapped face where the mask is 1, the untouched target where it is 0."""
    return raw * mask + (1.0 - mask) * target


def _fusion(
    inputs: int, channels: tuple[int, ...], upsampling: MaskUpsampling, *, predicted: bool
) -> FusionMask | FullMask:
    return FusionMask(inputs=inputs, channels=channels, upsampling=upsampling) if predicted else FullMask()


class StaticSwapper(nn.Module):
    """The whole per-frame network of one person, in ordinary layers: what a telephone runs.

    The arguments are fields of `MobileFaceSwapConfig`, as far as they tell of the network of one frame.
    With `declare_biases` it has exactly the parameters that the release counts (499,825, of which 3,363 are never
    written); `common.count_parameters(..., weights_only=True)` gives the paper's 494,979 with or without it.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (32, 64, 128, 256, 512),
        mask_channels: tuple[int, ...] = (128, 64, 32, 8, 2),
        mask_upsampling: MaskUpsampling = "each",
        declare_biases: bool = False,
        first_skip: bool = False,
        pointwise: Pointwise = "modulated",
        architecture: Architecture = "unet",
        fusion_mask: bool = True,
    ) -> None:
        super().__init__()
        self.idn = StaticIdentityNetwork(
            channels=channels,
            declare_biases=declare_biases,
            first_skip=first_skip,
            pointwise=pointwise,
            architecture=architecture,
        )
        self.fusion = _fusion(channels[-1], mask_channels, mask_upsampling, predicted=fusion_mask)

    def forward(self, target: Tensor) -> SwapOutput:
        """`target` (B,3,H,W), RGB in [0,1], H and W multiples of 32 -> SwapOutput of the same size."""
        raw, deepest = self.idn(target)
        mask = self.fusion(deepest)
        return SwapOutput(composite(raw, mask, target), raw, mask)


class MobileFaceSwap(nn.Module):
    """Injection network, mobile network and fusion mask; the identity network is given its own place outside."""

    def __init__(self, config: MobileFaceSwapConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MobileFaceSwapConfig()
        self.iin = IdentityInjectionNetwork(
            channels=config.channels,
            embedding_dim=config.embedding_dim,
            feature_channels=config.feature_channels,
            feature_size=config.feature_size,
            predictor_input=config.predictor_input,
            plus_one=config.plus_one,
            predictor_width=config.predictor_width,
            kernel_base=config.kernel_base,
            kernel_scale=config.kernel_scale,
            code_dim=config.code_dim,
            depthwise=config.depthwise,
            pointwise=config.pointwise,
            architecture=config.architecture,
        )
        self.idn = IdentityDynamicNetwork(
            channels=config.channels, first_skip=config.first_skip, architecture=config.architecture
        )
        self.fusion = _fusion(
            config.channels[-1], config.mask_channels, config.mask_upsampling, predicted=config.fusion_mask
        )

    def use_backend(self, backend: Backend) -> None:
        """Choose how the per-frame networks compute (see `depthwise`): the function stays the same."""
        if backend not in get_args(Backend):
            raise ConfigError(f"backend must be one of {get_args(Backend)}, got {backend!r}")
        self.idn.backend = backend
        self.fusion.backend = backend

    def inject(self, identity: IdentityFeatures) -> IdnWeights:
        """The mobile network's weights for each of B people."""
        weights: IdnWeights = self.iin(identity)
        return weights

    def apply_weights(self, target: Tensor, weights: IdnWeights, *, levels: list[Tensor] | None = None) -> SwapOutput:
        """Swap onto `target` (B,3,H,W) with the weights of B people, one for each, or of one person for all.

        `levels`, a list, receives the decoder's features, coarsest first: what multi-scale supervision reads.
        """
        raw, deepest = self.idn(target, weights, levels=levels)
        mask = self.fusion(deepest.detach() if self.config.detach_mask_input else deepest)
        return SwapOutput(composite(raw, mask, target), raw, mask)

    def forward(self, target: Tensor, identity: IdentityFeatures) -> SwapOutput:
        """`target` (B,3,H,W), RGB in [0,1], and the features of B people (or of one) -> SwapOutput."""
        return self.apply_weights(target, self.inject(identity))

    @torch.no_grad()
    def specialise(self, identity: IdentityFeatures) -> StaticSwapper:
        """Bake one person's weights into a plain network, in eval mode; the model itself is not changed.

        The injection runs in eval mode whatever the model's mode, since one person is no batch to normalise over.
        """
        mode = self.iin.training
        self.iin.eval()
        weights = self.inject(identity)
        self.iin.train(mode)
        static = StaticSwapper(
            channels=self.config.channels,
            mask_channels=self.config.mask_channels,
            mask_upsampling=self.config.mask_upsampling,
            first_skip=self.config.first_skip,
            pointwise=self.config.pointwise,
            architecture=self.config.architecture,
            fusion_mask=self.config.fusion_mask,
        )
        static.idn.final = copy.deepcopy(self.idn.final)
        static.fusion = copy.deepcopy(self.fusion)
        static.fusion.backend = "reference"
        static.to(weights.encoder[0].depthwise.device).idn.write(weights)
        return static.eval()
