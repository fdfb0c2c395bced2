"""The networks that `mfs bench` times: the release's graph, our layouts of the same layers, variants, and peers.

All run one frame from pictures to pictures in ONNX Runtime. Peers have random weights, since time doesn't depend on them;
the release's layers hold those of a trained student, so that the difference to the released graph's result means something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from mfs_lib.deploy.frame import OUTPUTS, Layout, Output, person_weights
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


def _session(model: onnx.ModelProto, inputs: Mapping[str, FloatArray], threads: int) -> Any:
    run = runner(open_session(model, threads=threads))
    return lambda: run(inputs)


def our_networks(static: StaticSwapper, target: Tensor, threads: int, *, suffix: str = "") -> Iterator[Candidate]:
    """The release's network (see `release_like`) on a `target` (1,3,S,S): as released, and our layouts and variants of it."""
    size = target.shape[-1]
    with torch.no_grad():
        reference = static(target).result.numpy()
    mac = count_macs(static, target)
    given = {"target": target.numpy()}
    weights = {name: value.numpy() for name, value in person_weights(static).items()}
    layouts: tuple[Layout, ...] = ("released", "folded", "packed")
    every: dict[str, tuple[onnx.ModelProto, dict[str, FloatArray]]] = {
        layout: (person_model(static, size=size, layout=layout, outputs=_OUTPUTS), given) for layout in layouts
    }
    every["packed, half mask"] = person_model(static, size=size, outputs=_OUTPUTS, half_mask=True), given
    every["weights as inputs"] = frame_model(static, size=size, outputs=_OUTPUTS), {**given, **weights}
    for name, (model, inputs) in every.items():
        run = _session(model, inputs, threads)
        yield Candidate(
            name=name + suffix, runtime=RUNTIME, threads=threads, resolution=f"{size}x{size}", run=run, mac=mac,
            baseline="released" + suffix,
            max_difference=float(np.abs(run()["result"] - reference).max()),
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


def student_networks(static: StaticSwapper, target: Tensor, threads: int, *, suffix: str = "") -> Iterator[Candidate]:
    """A trained student's network on a `target` (1,3,S,S) of its own size, as released and packed."""
    size = target.shape[-1]
    with torch.no_grad():
        reference = static(target).result.numpy()
    layouts: tuple[Layout, ...] = ("released", "packed")
    for layout in layouts:
        run = _session(
            person_model(static, size=size, layout=layout, outputs=OUTPUTS), {"target": target.numpy()}, threads
        )
        yield Candidate(
            name=f"student {layout}{suffix}", baseline=f"student released{suffix}", runtime=RUNTIME, threads=threads, resolution=f"{size}x{size}", run=run,
            max_difference=float(np.abs(run()["result"] - reference).max()), mac=count_macs(static, target),
        )  # fmt: skip


def quantised_students(
    static: StaticSwapper, target: Tensor, *, calibration: Sequence[FloatArray]
) -> Iterator[Candidate]:
    """The packed student in fewer bits, on one thread; the differences are those of the function itself."""
    size = target.shape[-1]
    with torch.no_grad():
        reference = static(target).result.numpy()
    model = person_model(static, size=size, layout="packed", outputs=OUTPUTS)
    kinds: tuple[Bits, ...] = ("float16", "int8-weights", "int8")
    for bits in kinds:
        run = _session(quantised(model, bits, faces=calibration), {"target": target.numpy()}, 1)
        yield Candidate(
            name=f"student packed, {bits}", baseline="student released", runtime=RUNTIME, threads=1, resolution=f"{size}x{size}", run=run,
            max_difference=float(np.abs(run()["result"] - reference).max()), mac=count_macs(static, target),
        )  # fmt: skip


def runtime_networks(static: StaticSwapper, target: Tensor, folder: Path) -> Iterator[Candidate]:
    """The release's network in every other runtime that is installed: as released, and in the layout that suits it."""
    size = target.shape[-1]
    with torch.no_grad():
        reference = static(target).result.numpy()
    for form in FORMATS.values():
        if form.name.startswith("onnx") or not form.installed() or form.obstacle:
            continue
        version = " ".join(f"{name} {number}" for name, number in form.versions().items())
        for layout in dict.fromkeys(("released", form.layouts[0])):
            path = folder / f"{form.name.replace('-', '_')}_{layout}{form.suffix}"
            form.export(frame_of(static, size=size, layout=layout, outputs=OUTPUTS), path)
            run = form.load(path, 1)
            given = target.numpy()
            yield Candidate(
                name=f"{layout}, {form.name}", baseline=f"released, {form.name}", runtime=version, threads=1,
                resolution=f"{size}x{size}", run=partial(run, given), mac=count_macs(static, target),
                max_difference=float(np.abs(run(given)["result"] - reference).max()),
            )  # fmt: skip
