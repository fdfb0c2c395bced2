"""pytorch-fid's checkpoint: every entry comes through, the classifier is dropped, torchvision's own is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mfs_lib.errors import AssetError
from mfs_lib.networks.inception_fid import InceptionFID
from mfs_lib.weights.convert.inception_fid import convert_inception_fid
from tests.networks.inception_layers import LAYERS, random_state

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def original() -> State:
    """Every entry of the file: 94 layers with their counters, and the classifier of 1008."""
    torch.manual_seed(0)
    counters = {f"{name}.bn.num_batches_tracked": torch.tensor(7) for name in LAYERS}
    return {**random_state(), **counters, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def test_values_equal_the_originals(tmp_path: Path, original: State) -> None:
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(original, path)
    state = convert_inception_fid(path)
    assert len(original) == 566 and set(state) == set(original) - {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, original[name]) for name, value in state.items())
    with torch.device("meta"):
        network = InceptionFID()
    network.load_state_dict(state, assign=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # torchvision's: 1000 classes
        ({"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, r"another shape: fc\.weight, fc\.bias"),
        ({"AuxLogits.fc.bias": torch.zeros(1000)}, r"left over: AuxLogits\.fc\.bias"),
        ({"Mixed_7c.branch3x3_2b.conv.weight": None}, r"FID's Inception.*missing: Mixed_7c\.branch3x3_2b\.conv"),
        # a row in the place of a column: as many values
        ({"Mixed_6b.branch7x7_2.conv.weight": torch.zeros(128, 128, 7, 1)}, r"another shape: Mixed_6b\.branch7x7_2"),
        ({"fc.weight": None}, r"missing.*fc\.weight"),
    ],
)
def test_other_networks_are_refused(
    tmp_path: Path, original: State, change: dict[str, Tensor | None], message: str
) -> None:
    small = {name: value.flatten()[:1].sum().expand(value.shape) for name, value in original.items()}
    torch.save({name: value for name, value in {**small, **change}.items() if value is not None}, tmp_path / "x.pth")
    with pytest.raises(AssetError, match=message):
        convert_inception_fid(tmp_path / "x.pth")
