"""SimSwap's released file: read by name, shape and value, or refused with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.networks.simswap import SimSwapGenerator
from mfs_lib.weights.convert.simswap import convert_simswap
from tests.networks.conftest import randomise_norms


def checkpoint(*, deep: bool = False) -> dict[str, Tensor]:
    """Entries of the released names and shapes; each holds one number only, so that the file stays small."""
    with torch.device("meta"):
        state = SimSwapGenerator(deep=deep).state_dict()
    return {
        name: torch.full((), 0.01 * (1 + index % 7), dtype=tensor.dtype).expand(tensor.shape)
        for index, (name, tensor) in enumerate(state.items())
    }


def refuse(tmp_path: Path, state: dict[str, Tensor], reason: str) -> None:
    torch.save(state, tmp_path / "latest_net_G.pth")
    with pytest.raises(AssetError, match=reason):
        convert_simswap(tmp_path / "latest_net_G.pth")


@torch.no_grad()
def test_converted_generator_swaps_as_the_saved_one(tmp_path: Path) -> None:
    torch.manual_seed(6)
    original = SimSwapGenerator().eval()
    randomise_norms(original)
    path = tmp_path / "latest_net_G.pth"
    torch.save(original.state_dict(), path)
    state = convert_simswap(path)
    path.unlink()
    assert state.keys() == original.state_dict().keys()
    with torch.device("meta"):
        copy = SimSwapGenerator().eval()
    copy.to_empty(device="cpu").load_state_dict(state, strict=True)
    target, z = torch.rand(1, 3, 32, 32), torch.nn.functional.normalize(torch.randn(1, 512), dim=1)
    image = original(target, z)
    assert image.std() > 1e-3
    assert torch.equal(copy(target, z), image)


def test_file_of_the_512_model_is_known(tmp_path: Path) -> None:
    torch.save(checkpoint(deep=True), tmp_path / "w.pth")
    state = convert_simswap(tmp_path / "w.pth")
    assert state["down0.0.weight"].shape == (64, 32, 3, 3)
    with torch.device("meta"):
        SimSwapGenerator(deep=True).load_state_dict(state, strict=True, assign=True)


def test_counters_may_lack_and_half_precision_becomes_single(tmp_path: Path) -> None:
    state = {name: t.half() for name, t in checkpoint().items() if not name.endswith("num_batches_tracked")}
    assert len(state) == 123 - 7
    torch.save(state, tmp_path / "w.pth")
    converted = convert_simswap(tmp_path / "w.pth")
    assert len(converted) == 123
    counters = {name: t for name, t in converted.items() if name not in state}
    assert len(counters) == 7 and all(int(t) == 0 for t in counters.values())
    assert all(t.dtype == torch.float32 and t.is_contiguous() for name, t in converted.items() if name in state)
    assert torch.equal(converted["up2.1.bias"], state["up2.1.bias"].float())


def test_missing_entry_is_named(tmp_path: Path) -> None:
    state = checkpoint()
    for name in ("up1.1.bias", "BottleNeck.4.style2.linear.weight"):
        del state[name]
    refuse(tmp_path, state, "missing: BottleNeck.4.style2.linear.weight")


def test_unknown_entry_is_named(tmp_path: Path) -> None:
    refuse(
        tmp_path,
        checkpoint() | {"BottleNeck.9.conv1.1.bias": torch.zeros(512)},
        "left over: BottleNeck.9.conv1.1.bias",
    )


def test_wrong_shape_is_named(tmp_path: Path) -> None:
    state = checkpoint()
    state["BottleNeck.0.style1.linear.weight"] = state["BottleNeck.0.style1.linear.weight"].T
    refuse(
        tmp_path, state, r"of another shape: BottleNeck.0.style1.linear.weight \(512, 1024\) instead of \(1024, 512\)"
    )


class _Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_malicious_file_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "ran"
    torch.save({**checkpoint(), "evil": _Malicious(mark)}, path)
    with pytest.raises(AssetError, match="refused"):
        convert_simswap(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # an unrestricted reader would have run it
