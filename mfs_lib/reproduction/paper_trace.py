"""What the drawing of the framework knows of the networks: shapes seen by forward hooks, parameters, multiply-accumulates.

Everything but the mobile network's stages runs on `meta` tensors, which cost no arithmetic. The stages are run for real,
on noise, since joins are found by comparing what goes in with what came out elsewhere (`evaluation.layers.trace_stages`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from mfs_lib.errors import InputError
from mfs_lib.evaluation.layers import LayerCount, Stage, layer_counts, trace_stages
from mfs_lib.networks.common import count_macs, count_parameters
from mfs_lib.networks.identity import IdentityFeatures, IdentityNetwork
from mfs_lib.networks.idn import STRIDE, StaticIdentityNetwork
from mfs_lib.networks.injection import IdnWeights
from mfs_lib.networks.mobilefaceswap import MobileFaceSwap, MobileFaceSwapConfig
from mfs_lib.networks.modulation import Modulated, WeightModulation
from mfs_lib.networks.predictor import KernelBlock, WeightPredictor
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.networks.simswap import SimSwapGenerator

Shape = tuple[int, ...]


class Size(NamedTuple):
    """A network's parameters, and the multiply-accumulates of one run."""

    parameters: int
    macs: int

    def lines(self) -> str:
        """`20.6 M parameters`, and below it `0.22 G MAC`."""
        macs = f"{self.macs / 1e9:.3g} G" if self.macs >= 1e9 else f"{self.macs / 1e6:.3g} M"
        return f"{self.parameters / 1e6:.3g} M parameters\n{macs} MAC"


@dataclass(frozen=True)
class InjectionModule:
    """What writes one stage of the mobile network (the paper's IIM).

    Attributes:
        stage: E0.. or D0..
        hidden: features (C,k,k) that the predictor's block passes on to the next one.
        kernel: (C,k,k), the depthwise kernels that come out.
        weight: (Cout,Cin) of the pointwise layer.
        scales: its inputs that the identity scales.
    """

    stage: str
    hidden: Shape
    kernel: Shape
    weight: Shape
    scales: int


@dataclass(frozen=True)
class Framework:
    """The whole framework as it was run, for crops of `size`; shapes are without the batch's axis.

    Attributes:
        size, identity_size: sides of the crops of the mobile and of the identity network, in pixels.
        embedding, feature_map, style: what is known of a source; the style is what the modulations read.
        trunk: the predictor's features from which the encoder's chain of blocks starts, and the decoder's.
        modules: in the order in which the predictor's blocks run, the encoder's chain first.
        stages: of the mobile network.
        mask: layers of the mask head.
        sizes: of "identity", "injection", "mobile", "mask", "teacher" and "scorer".
    """

    size: int
    identity_size: int
    embedding: Shape
    feature_map: Shape
    style: Shape
    trunk: tuple[Shape, Shape]
    modules: tuple[InjectionModule, ...]
    stages: tuple[Stage, ...]
    mask: tuple[LayerCount, ...]
    sizes: dict[str, Size]


@dataclass(frozen=True)
class Surroundings:
    """Builders of the networks around the student; the release's by default, with SimSwap as the teacher."""

    identity: Callable[[], nn.Module] = IdentityNetwork
    identity_size: int = 112
    teacher: Callable[[], nn.Module] = SimSwapGenerator
    scorer: Callable[[], nn.Module] = QualityScorer


def trace_framework(
    config: MobileFaceSwapConfig | None = None, *, size: int = 224, around: Surroundings | None = None
) -> Framework:
    """Run all networks of a configuration (the release's by default) once.

    Raises:
        InputError: one of the ablated networks, of which parts of the figure are missing.
    """
    config, around = config or MobileFaceSwapConfig(), around or Surroundings()
    full = ("predicted", "modulated", "unet", True)
    if (config.depthwise, config.pointwise, config.architecture, config.fusion_mask) != full:
        raise InputError("the framework is drawn of the full method: its ablations lack parts of the figure")
    mobile = StaticIdentityNetwork(channels=config.channels, first_skip=config.first_skip).eval()
    stages = tuple(trace_stages(mobile, size))
    with torch.device("meta"), torch.no_grad():
        picture = torch.empty(1, 3, size, size)
        face = torch.empty(1, 3, around.identity_size, around.identity_size)
        recogniser, student = around.identity().eval(), MobileFaceSwap(config).eval()
        who = cast(IdentityFeatures, recogniser(face))
        deepest = torch.empty(1, config.channels[-1], size // STRIDE, size // STRIDE)
        sizes = {
            "identity": _size(recogniser, face),
            "injection": _size(student.iin, who),
            "mobile": _size(mobile.to("meta"), picture),
            "mask": _size(student.fusion, deepest),
            "teacher": _size(around.teacher().eval(), picture, who.embedding),
            "scorer": _size(around.scorer().eval(), picture),
        }
        mask = tuple(layer_counts(student.fusion, deepest))
        seen, weights = _watch(student, who)
    return Framework(
        size=size, identity_size=around.identity_size, embedding=_shape(who.embedding),
        feature_map=_shape(who.feature_map), style=seen.style, trunk=seen.trunk(), modules=_modules(seen, weights),
        stages=stages, mask=mask, sizes=sizes,
    )  # fmt: skip


def _size(network: nn.Module, *inputs: Any) -> Size:
    return Size(count_parameters(network), count_macs(network, *inputs))


def _shape(value: Tensor) -> Shape:
    return tuple(value.shape[1:])


class _Seen:
    """Shapes that hooks saw while the injection network ran, in the order of the runs."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Shape, Shape, Shape]] = []  # given, hidden, kernel
        self.modulations: dict[str, Modulated] = {}
        self.style: Shape = ()

    def block(self, _: nn.Module, given: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        """A block of the predictor has run."""
        self.blocks.append((_shape(given[0]), _shape(output[0]), _shape(output[1])))

    def modulation(self, stage: str) -> Callable[[nn.Module, tuple[Tensor, ...], Modulated], None]:
        """What is called when the modulation of this stage has run."""

        def seen(_: nn.Module, given: tuple[Tensor, ...], output: Modulated) -> None:
            self.style = _shape(given[0])
            self.modulations[stage] = output

        return seen

    def trunk(self) -> tuple[Shape, Shape]:
        """What the first block of each chain was given: a chain starts where a block isn't given its forerunner's."""
        starts = [given for i, (given, *_) in enumerate(self.blocks) if i == 0 or given != self.blocks[i - 1][1]]
        return starts[0], starts[-1]


def _watch(student: MobileFaceSwap, who: IdentityFeatures) -> tuple[_Seen, IdnWeights]:
    """Run the injection network with hooks on its blocks and modulations."""
    seen = _Seen()
    network = student.iin
    predictor = cast(WeightPredictor, network.predictor)
    named = [(f"E{i}", part) for i, part in enumerate(network.encoder_modulation)]
    named += [(f"D{i}", part) for i, part in enumerate(network.decoder_modulation)]
    handles = [part.register_forward_hook(seen.modulation(stage)) for stage, part in named if _is_modulation(part)]
    blocks = [part for part in predictor.modules() if isinstance(part, KernelBlock)]
    handles += [block.register_forward_hook(seen.block) for block in blocks]
    try:
        weights = student.inject(who)
    finally:
        for handle in handles:
            handle.remove()
    return seen, weights


def _is_modulation(part: nn.Module) -> bool:
    return isinstance(part, WeightModulation)


def _modules(seen: _Seen, weights: IdnWeights) -> tuple[InjectionModule, ...]:
    """The modules in the order of the predictor's blocks.

    The encoder's chain runs from the deepest stage to the shallowest, as the kernels' shapes must bear out.
    """
    stages = [f"E{i}" for i in reversed(range(len(weights.encoder)))] + [f"D{i}" for i in range(len(weights.decoder))]
    written = [layer.depthwise for layer in (*reversed(weights.encoder), *weights.decoder)]
    found = []
    for stage, kernels, (_, hidden, kernel) in zip(stages, written, seen.blocks, strict=True):
        if kernel != _shape(kernels):
            raise InputError(f"the predictor's block for {stage} gives {kernel}, the stage takes {_shape(kernels)}")
        modulated = seen.modulations[stage]
        outputs, inputs = modulated.weight.shape[:2]
        found.append(InjectionModule(stage, hidden, kernel, (int(outputs), int(inputs)), int(modulated.scale.shape[1])))
    return tuple(found)
