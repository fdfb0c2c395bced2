"""Where a run computes: one process or several, on CPUs or CUDA cards, in float32 or with bfloat16 where it helps.

    torchrun --nproc-per-node 2 -m mfs_lib.training.gan EXPERIMENT.yaml --run-folder DIR

starts two processes. Each draws its own batches (the effective batch is the experiment's times the processes), all take the
same step, by the mean of their gradients; the first writes the files. One process needs no torchrun. (`--run` is short for
the same option, but torchrun takes it for one of its own.)

Lightning Fabric does the work. What it and Accelerate bring along beyond what is installed anyway (wheels, Linux):

| library               | itself | with it come                                            | together           |
|-----------------------|--------|---------------------------------------------------------|--------------------|
| lightning-fabric 2.6  | 0.3 MB | lightning-utilities, aiohttp and its six (for fsspec)   | 9 wheels, 3.3 MB   |
| accelerate 1.15       | 0.4 MB | huggingface-hub, hf-xet, httpx2, httpcore2, h11, anyio, | 8 wheels, 5.9 MB   |
|                       |        | truststore                                              |                    |

Both start from torchrun, with gloo on CPUs, place data and autocast. Fabric is the leaner one, has types, brings no client
of a model hub, and lets its parts be used one by one, which matters here: networks are not wrapped. Their gradients are
averaged after the backward pass, in one message (`average_gradients`), instead of during it by DistributedDataParallel.
That only sees what passes a wrapped ``forward``; these networks are also called by other methods, discriminators are
used frozen in one half of a step and learn in the other, and a gradient penalty differentiates twice. The price is that
the message doesn't overlap with the backward pass.

One process on a CPU in float32 leaves all of it out (importing Fabric takes seconds).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from mfs_lib.errors import ConfigError
from mfs_lib.training.config import Precision

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PRECISIONS: tuple[str, ...] = get_args(Precision)
"""What an experiment's `precision` can be: float32 throughout, or bfloat16 in the layers that autocast chooses."""

DEVICES = ("auto", "cpu", "cuda")
"""What `--device` can be; auto is CUDA where there is any."""

_RANK_STRIDE = 0x9E3779B97F4A7C15  # odd and large: seeds of neighbouring ranks and of neighbouring runs don't meet

T = TypeVar("T")


def as_float32(output: Any) -> Any:
    """What a network returned, with its tensors of fractions in float32, also within tuples and lists."""
    if isinstance(output, Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, tuple | list):
        parts = [as_float32(part) for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    return output


class InFloat32(nn.Module):
    """A network that computes in float32 also within `Devices.autocast`: one that judges, and doesn't learn."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Any:
        """What the network makes of the inputs."""
        with torch.autocast(inputs[0].device.type, enabled=False):
            return self.network(*as_float32(inputs))


def _processes() -> int:
    """How many processes torchrun started, this one among them."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def _open_fabric(precision: str, device: str, processes: int) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    here = int(os.environ.get("LOCAL_WORLD_SIZE", processes)) if processes > 1 else 1
    fabric = Fabric(
        accelerator=device, devices=here, num_nodes=processes // here, strategy="ddp" if processes > 1 else "auto",
        precision=cast(Precision, precision),
        # Named, so that no other launcher's variables in the environment mean anything.
        plugins=[TorchElasticEnvironment() if processes > 1 else LightningEnvironment()],
    )  # fmt: skip
    fabric.launch()
    return fabric


class Devices:
    """The processes of a run and what they compute on; this process's view of it.

    Args:
        precision: one of `PRECISIONS`.
        device: one of `DEVICES`.
    """

    def __init__(self, precision: str = "32-true", *, device: str = "cpu") -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
        if device not in DEVICES:
            raise ConfigError(f"the device is one of {', '.join(DEVICES)}, not {device!r}")
        there = torch.cuda.is_available()
        if device == "cuda" and not there:
            raise ConfigError("there is no CUDA card that this PyTorch can use: choose the device cpu")
        chosen = "cuda" if device != "cpu" and there else "cpu"
        self.count = _processes()
        self.mixed = precision == "bf16-mixed"
        needed = self.count > 1 or self.mixed or chosen == "cuda"
        self._fabric = _open_fabric(precision, chosen, self.count) if needed else None

    @property
    def rank(self) -> int:
        """This process's number, from 0."""
        return self._fabric.global_rank if self._fabric else 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """What this process computes on."""
        return self._fabric.device if self._fabric else torch.device("cpu")

    def place(self, thing: T) -> T:
        """A network (in place) or tensors, also in tuples and lists, on this process's device."""
        return cast(T, self._fabric.to_device(thing)) if self._fabric else thing

    def autocast(self) -> AbstractContextManager[object]:
        """Within it, layers compute in the chosen precision."""
        return self._fabric.autocast() if self._fabric else nullcontext()

    def seed(self, seed: int) -> int:
        """A process's own seed; the first one's is the run's."""
        return (seed + self.rank * _RANK_STRIDE) % 2**63

    def agree(self, wish: bool) -> bool:
        """Whether every process wishes so; all must ask."""
        return self._fabric.strategy.reduce_boolean_decision(wish) if self._fabric else wish

    @contextmanager
    def first_goes_ahead(self) -> Iterator[None]:
        """The others wait until the first process is through: what it builds, they read."""
        with self._fabric.rank_zero_first() if self._fabric else nullcontext():
            yield

    @torch.no_grad()
    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each learning parameter the mean of all processes' gradients; all must call it after a backward pass.

        A parameter that has no gradient here counts as zero; one that has none anywhere keeps none.
        """
        learning = [p for p in parameters if p.requires_grad]
        if self.count == 1 or not learning:
            return
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        there = torch.tensor([float(p.grad is not None) for p in learning], device=parts[0].device)
        means = self._mean([*parts, there])
        for parameter, part, mean, share in zip(learning, parts, means, means[-1].tolist(), strict=False):
            parameter.grad = part.copy_(mean) if share else None

    @torch.no_grad()
    def take_from_first(self, network: nn.Module) -> None:
        """Give a network the first process's weights and statistics; all must call it."""
        if self._fabric is not None and self.count > 1:
            state = {name: value.cpu() for name, value in network.state_dict().items()}
            network.load_state_dict(self._fabric.broadcast(state))

    @torch.no_grad()
    def average_buffers(self, *networks: nn.Module) -> None:
        """Give each buffer of fractions (running statistics) the mean of all processes'; all must call it."""
        buffers = [b for network in networks for b in network.buffers() if b.is_floating_point()]
        if self.count == 1 or not buffers:
            return
        for buffer, mean in zip(buffers, self._mean(buffers), strict=True):
            buffer.copy_(mean)

    def _mean(self, tensors: list[Tensor]) -> list[Tensor]:
        """The mean over all processes of each tensor, in one message."""
        assert self._fabric is not None
        joint = torch.cat([tensor.reshape(-1) for tensor in tensors])
        parts = cast(Tensor, self._fabric.all_reduce(joint, reduce_op="mean")).split([t.numel() for t in tensors])  # type: ignore[no-untyped-call]
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def random_states(self, generator: torch.Generator) -> Tensor:
        """The states (P, N) of all processes' generators, to be stored; all must ask."""
        state, fabric = generator.get_state(), self._fabric
        if fabric is None or self.count == 1:
            return state[None]
        return torch.stack([fabric.broadcast(state, src=rank) for rank in range(self.count)])

    def restore_random(self, generator: torch.Generator, states: Tensor) -> None:
        """Let a generator go on from its process's stored state.

        Raises:
            ConfigError: another number of processes stored them.
        """
        states = torch.atleast_2d(states)  # type: ignore[no-untyped-call]
        if len(states) != self.count:
            raise ConfigError(
                f"the run was begun by {len(states)} processes, and goes on only with as many, not {self.count}"
            )
        generator.set_state(states[self.rank].clone())  # a row of a larger tensor is not taken for a state
