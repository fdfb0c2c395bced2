"""Table 1, recounted: every printed row has a verdict, and the verdicts are those that the networks deserve."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mfs_lib.errors import InputError
from mfs_lib.evaluation.complexity import drawing
from mfs_lib.evaluation.complexity.latency import REFERENCE, Latency, measure_latency
from mfs_lib.evaluation.complexity.paper import TABLE_1
from mfs_lib.evaluation.complexity.recording import record
from mfs_lib.evaluation.complexity.system import Part, Run, System, cost_of
from mfs_lib.evaluation.complexity.systems import SYSTEMS
from mfs_lib.evaluation.complexity.table import (
    Table,
    complexity_table,
    paper_rows,
    render_csv,
    render_text,
    system_rows,
)
from mfs_lib.results import latest

EXACT, NEAR, NOT, QUOTED = "exact", "near", "not reproducible", "quoted"


@pytest.fixture(scope="module")
def table() -> Table:
    return complexity_table()


def test_every_row_has_its_verdicts(table: Table) -> None:
    levels = {
        (line.paper.method, line.use, line.system): (line.parameters.level, line.operations.level)
        for line in table.lines
    }
    shifters = {
        (method, use, system): (NOT, NOT)
        for method in ("FaceShifter", "Teacher (FaceShifter)")
        for use in ("image", "video")
        for system in ("faceshifter-1x1", "faceshifter-3x3")
    }
    simswaps = {
        (method, use, "simswap-224"): (EXACT, EXACT)
        for method in ("SimSwap", "Teacher (SimSwap)")
        for use in ("image", "video")
    }
    assert levels == shifters | simswaps | {
        ("DeepFakes", "image", "deepfakes-64"): (EXACT, EXACT),
        ("DeepFakes", "video", "deepfakes-64"): (EXACT, EXACT),
        ("FSGAN", "image", "fsgan-256"): (EXACT, NOT),
        ("FSGAN", "video", "fsgan-256"): (EXACT, NOT),
        ("FaceController", "image", None): (QUOTED, QUOTED),
        ("FaceController", "video", None): (QUOTED, QUOTED),
        ("Ours (SimSwap)", "image", "mobilefaceswap-224"): (NEAR, NEAR),
        ("Ours (SimSwap)", "video", "mobilefaceswap-224"): (EXACT, NOT),
        ("Ours (FaceShifter)", "image", "mobilefaceswap-256"): (NEAR, NEAR),
        ("Ours (FaceShifter)", "video", "mobilefaceswap-256"): (EXACT, NOT),
        ("Id Network", "image", "identity-112"): (EXACT, EXACT),
    }
    assert {row.method for row in TABLE_1} == {line.paper.method for line in table.lines}
    assert all(row.reason for row in TABLE_1)


def test_counts_of_whole_systems(table: Table) -> None:
    simswap, ours = table.costs["simswap-224"], table.costs["mobilefaceswap-224"]
    assert (simswap.image.declared, simswap.video.declared) == (107_244_994, 45_596_163)
    assert simswap.image.operations.mac == 48_120_594_432 + 7_481_229_568
    assert round(simswap.image.operations.thop_noup / 1e9, 3) == 55.688
    assert (ours.image.declared, ours.video.declared) == (72_892_925, 499_825)
    assert table.costs["mobilefsgan-256"].video.declared == 2_517_781
    assert table.costs["deepfakes-64"].video.operations.mac == 1_900_150_784
    # The released files: 220.2 MB for SimSwap's generator with its styles, 10.09 MB for MobileFSGAN's state.
    styles = 9_455_616 * 4
    assert round((simswap.video.weight_bytes + styles) / 1e6, 1) == 220.2
    assert round(table.costs["mobilefsgan-256"].video.weight_bytes / 1e6, 1) == 10.1


def test_shares_of_one_network_add_up(table: Table) -> None:
    from mfs_lib.networks.common import count_parameters
    from mfs_lib.networks.faceshifter import AEINet, AEINetConfig

    with torch.device("meta"):
        network = AEINet(AEINetConfig.taotaonice())
    cost = table.costs["faceshifter-1x1"]
    recogniser = 43_590_848
    assert cost.image.declared == count_parameters(network) + recogniser == 184_343_381 + recogniser
    assert cost.video.declared == 184_343_381 - sum(network.identity_parameters())


def test_memory_and_intensity(table: Table) -> None:
    for cost in table.costs.values():
        assert cost.memory.traffic > cost.video.weight_bytes / 2
        assert 1 < cost.intensity < 1000
        assert cost.memory.peak_activations >= 3 * cost.system.size**2
    assert table.costs["simswap-224"].intensity > 10 * table.costs["mobilefaceswap-224"].intensity


def test_some_systems_only() -> None:
    table = complexity_table(["identity-112"])
    assert list(table.costs) == ["identity-112"]
    assert [line.paper.method for line in table.lines] == ["Id Network"]
    with pytest.raises(InputError, match="no system is called simswap; known: deepfakes-64"):
        complexity_table(["simswap"])


def test_the_same_numbers_in_every_form(table: Table) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(table))))
    assert len(rows) == len(table.lines) == len(paper_rows(table))
    assert rows[4]["system"] == "simswap-224" and rows[4]["kernels"] and int(rows[4]["parameters"]) == 107_244_994
    quoted = [row for row in rows if row["method"] == "FaceController"]
    assert [row["mac"] for row in quoted] == ["", ""] and quoted[0]["paper_operations_g"] == "192.0"
    assert json.loads(json.dumps(system_rows(table)))[0]["system"] == "deepfakes-64"
    text = render_text(table)
    assert "107.2" in text and "no, −6.2 %" in text and "No code is public" in text
    assert all(system.key in text for system in SYSTEMS)


class Noted(nn.Module):
    """Writes its name into a list whenever it runs."""

    def __init__(self, name: str, runs: list[str]) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.name, self.runs = name, runs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs.append(f"{self.name}{torch.get_num_threads()}")
        return self.layer(x)


def noted(name: str, runs: list[str]) -> System:
    def prepare(network: nn.Module) -> Run:
        x = torch.zeros(1, 2)
        return lambda: network(x)

    part = Part(name=name, build=lambda: Noted(name, runs), prepare=prepare)
    return System(key=name, title=name, size=1, once=(), frame=(part,), facts="test")


def test_systems_take_turns_on_one_thread() -> None:
    runs: list[str] = []
    before = torch.get_num_threads()
    timed = measure_latency([noted("a", runs), noted("b", runs)], rounds=2, progress=False)
    assert runs == ["a1", "b1"] * 3
    assert torch.get_num_threads() == before
    assert {key: (t.rounds, t.speed) for key, t in timed.items()} == {"a": (2, None), "b": (2, None)}
    assert all(0 < t.fastest <= t.median <= t.slowest for t in timed.values())
    with pytest.raises(InputError, match="at least one round"):
        measure_latency([], rounds=0)


def test_speed_is_relative_to_the_reference() -> None:
    timed = measure_latency([noted(REFERENCE, []), noted("b", [])], rounds=1, progress=False)
    assert timed[REFERENCE].speed == 1
    assert timed["b"].speed == pytest.approx(timed[REFERENCE].median / timed["b"].median)


def test_weights_that_another_part_writes_are_no_part_of_an_image() -> None:
    part = noted("a", []).frame[0]
    written = Part(name="a", build=part.build, prepare=part.prepare, written=lambda network: [network.layer])
    cost = cost_of(System(key="a", title="a", size=1, once=(), frame=(written,), facts="test"))
    assert (cost.video.declared, cost.image.declared, cost.image.operations.mac) == (6, 0, 4)


def test_records(table: Table, tmp_path: Path) -> None:
    timed = Latency(median=0.002, fastest=0.001, slowest=0.003, rounds=3, speed=40.0)
    some = Table((), {"identity-112": table.costs["identity-112"]}, {"identity-112": timed})
    record(some, tmp_path / "out.jsonl", wall_seconds=1.0)
    found = latest(tmp_path / "out.jsonl", "complexity/identity-112")
    assert found.metric("mac").value == 7_481_229_568
    assert (found.metric("frame_median").value, found.metric("frame_median").unit) == (2.0, "ms")
    assert found.metric("speed").value == 40
    assert "40" in render_text(some) and "speed (simswap-224 = 1)" in render_text(some)


def test_figures_show_what_is_there(table: Table) -> None:
    left, right = drawing.accuracy_scatter(table).axes
    names = [[str(line.get_label()) for line in axes.lines] for axes in (left, right)]
    assert names[0] == names[1] == [row.method for row in TABLE_1 if row.identity]
    hollow = [line.get_label() for line in left.lines if line.get_markerfacecolor() == "none"]
    assert hollow == ["FaceController"]
    bars = drawing.hidden_costs(table, ["mobilefaceswap-224", "simswap-224"]).axes
    assert [round(bar.get_width(), 1) for bar in bars[0].patches] == [2.0, 182.4]
    with pytest.raises(InputError, match="holds no simswap"):
        drawing.hidden_costs(table, ["simswap"])
