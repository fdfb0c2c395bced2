"""The networks that `mfs bench` times: the release's graph, our layouts of the same layers, variants, and peers.

All run one frame from pictures to pictures in ONNX Runtime. Peers have random weights, since time doesn't depend on them;
the release's layers hold those of a trained student, so that the difference to the released graph's result means something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn

from mfs_lib.deploy.benchmark import Candidate
from mfs_lib.deploy.formats import FORMATS, frame_of
from mfs_lib.deploy.frame import LAYOUTS, Layout, Output, person_weights
from mfs_lib.deploy.onnx import export_model, frame_model, person_model
from mfs_lib.deploy.quantise import Bits, quantised
from mfs_lib.deploy.sessions import RUNTIME, open_session, runner
from mfs_lib.networks.common import count_macs
from mfs_lib.networks.inswapper import Inswapper
from mfs_lib.networks.mobilefaceswap import StaticSwapper
from mfs_lib.networks.mobilefsgan import MobileFSGAN
from mfs_lib.networks.simswap import SimSwapGenerator

_OUTPUTS: tuple[Output, ...] = ("result", "mask")
"""What the release's network returns."""

FloatArray = npt.NDArray[np.float32]


def release_like(trained: StaticSwapper) -> StaticSwapper:
    """The release's layers with a trained student's weights wherever they fit, so that image and mask vary as they do there.

    A student may join more features before its last block than the release: that block then reads only the first ones.
    """
    static = StaticSwapper().eval()
    own, given = static.state_dict(), trained.state_dict()
    fitting = {
        key: given[key][tuple(slice(n) for n in value.shape)] if value.ndim else given[key]
        for key, value in own.items()
    }
    static.load_state_dict(fitting)
    return static


Frame = Callable[[], Mapping[str, FloatArray]]


def _session(model: onnx.ModelProto, inputs: Mapping[str, FloatArray], threads: int) -> Frame:
    run = runner(open_session(model, threads=threads))
    return lambda: run(inputs)


class _Compared:
    """Makes candidates that run one network on one target, each compared with the network in PyTorch."""

    def __init__(self, static: StaticSwapper, target: Tensor) -> None:
        self.static, self.target, self.size = static, target, target.shape[-1]
        self.mac = count_macs(static, target)
        with torch.no_grad():
            self._result = static(target).result.numpy()

    @property
    def given(self) -> dict[str, FloatArray]:
        """The inputs of a person's file."""
        return {"target": self.target.numpy()}

    def person(self, **options: Any) -> onnx.ModelProto:
        """The person's file; see `person_model`."""
        return person_model(self.static, size=self.size, outputs=_OUTPUTS, **options)

    def candidate(self, name: str, run: Frame, *, baseline: str, threads: int = 1, runtime: str = RUNTIME) -> Candidate:
        """`run` gives at least "result"; it is called once here."""
        difference = float(np.abs(run()["result"] - self._result).max())
        return Candidate(
            name=name, runtime=runtime, threads=threads, resolution=f"{self.size}x{self.size}", run=run, mac=self.mac,
            max_difference=difference, baseline=baseline,
        )  # fmt: skip


def our_networks(static: StaticSwapper, target: Tensor, threads: int, *, suffix: str = "") -> Iterator[Candidate]:
    """The release's network (see `release_like`) on a `target` (1,3,S,S): as released, and our layouts and variants of it."""
    network = _Compared(static, target)
    weights = {name: value.numpy() for name, value in person_weights(static).items()}
    every: dict[str, tuple[onnx.ModelProto, dict[str, FloatArray]]] = {
        layout: (network.person(layout=layout), network.given) for layout in LAYOUTS
    }
    every["packed-half-mask"] = network.person(half_mask=True), network.given
    opened = frame_model(static, size=network.size, outputs=_OUTPUTS)
    every["weights-as-inputs"] = opened, {**network.given, **weights}
    for name, (model, inputs) in every.items():
        run = _session(model, inputs, threads)
        yield network.candidate(name + suffix, run, baseline="released" + suffix, threads=threads)


def student_networks(static: StaticSwapper, target: Tensor, threads: int, *, suffix: str = "") -> Iterator[Candidate]:
    """A trained student's network on a `target` (1,3,S,S) of its own size, as released and packed."""
    network = _Compared(static, target)
    layouts: tuple[Layout, ...] = ("released", "packed")
    for layout in layouts:
        run = _session(network.person(layout=layout), network.given, threads)
        yield network.candidate(f"student-{layout}{suffix}", run, baseline=f"student-released{suffix}", threads=threads)


def quantised_students(
    static: StaticSwapper, target: Tensor, *, calibration: Sequence[FloatArray]
) -> Iterator[Candidate]:
    """The packed student in fewer bits, on one thread; the differences are those of the function itself."""
    network = _Compared(static, target)
    model = network.person(layout="packed")
    kinds: tuple[Bits, ...] = ("float16", "int8-weights", "int8")
    for bits in kinds:
        run = _session(quantised(model, bits, faces=calibration), network.given, 1)
        yield network.candidate(f"student-packed-{bits}", run, baseline="student-released")


def runtime_networks(static: StaticSwapper, target: Tensor, folder: Path) -> Iterator[Candidate]:
    """The release's network in every other runtime that is installed: as released, and in the layout that suits it."""
    network = _Compared(static, target)
    for form in FORMATS.values():
        if form.name.startswith("onnx") or not form.installed() or form.obstacle:
            continue
        version = " ".join(f"{name} {number}" for name, number in form.versions().items())
        layouts: dict[Layout, None] = dict.fromkeys(("released", form.layouts[0]))
        for layout in layouts:
            path = folder / f"{form.name.replace('-', '_')}_{layout}{form.suffix}"
            form.export(frame_of(static, size=network.size, layout=layout, outputs=_OUTPUTS), path)
            run = partial(form.load(path, 1), target.numpy())
            yield network.candidate(
                f"{layout}-{form.name}", run, baseline=f"released-{form.name}", runtime=version
            )  # fmt: skip


class _SimSwapFrame(nn.Module):
    """SimSwap on one frame of a video: the styles of the person are constants, as our weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = SimSwapGenerator()
        with torch.no_grad():
            self.styles = self.generator.styles(torch.nn.functional.normalize(torch.randn(1, 512), dim=1))

    def forward(self, target: Tensor) -> Tensor:
        """`target` (1,3,224,224) -> picture of the same size."""
        return self.generator.render(target, self.styles)


def peer_networks(threads: int, *, suffix: str = "") -> Iterator[Candidate]:
    """SimSwap, an inswapper-style generator and MobileFSGAN, with random weights."""
    torch.manual_seed(0)
    identity = torch.nn.functional.normalize(torch.randn(1, 512), dim=1)
    peers: tuple[tuple[str, nn.Module, int, tuple[Tensor, ...]], ...] = (
        ("simswap", _SimSwapFrame(), 224, ()),
        ("inswapper-style", Inswapper(), 128, (identity,)),
        ("mobilefsgan", MobileFSGAN(), 256, (identity,)),
    )
    for name, network, size, more in peers:
        example = [torch.rand(1, 3, size, size), *more]
        names = ["target", "identity"][: len(example)]
        network.eval()
        model = export_model(network, example, inputs=names, outputs=_peer_outputs(network, example))
        inputs = {key: value.numpy() for key, value in zip(names, example, strict=True)}
        yield Candidate(
            name=name + suffix, runtime=RUNTIME, threads=threads, resolution=f"{size}x{size}",
            run=_session(model, inputs, threads), mac=count_macs(network, *example),
        )  # fmt: skip


def _peer_outputs(network: nn.Module, example: Sequence[Tensor]) -> list[str]:
    with torch.no_grad():
        made = network(*example)
    return [f"output_{i}" for i in range(1 if isinstance(made, Tensor) else len(made))]
