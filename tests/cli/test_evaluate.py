"""`mfs evaluate`: table, JSON, record, marked contact sheet, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from mfs_lib import cli
from mfs_lib.evaluation.sheets import to_pixels
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.results import latest
from mfs_lib.swapping import read_provenance

Capture = pytest.CaptureFixture[str]
COUNT = 5


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources, targets and truths of sampled people as files, and swaps that are the targets."""
    root = tmp_path_factory.mktemp("folders")
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(3)
    source, target = (world.sample(COUNT, generator, size=64) for _ in range(2))
    truth = world.swap(identity_of=source, attributes_of=target)
    for name in ("sources", "targets", "truths", "unchanged"):
        (root / name).mkdir()
    for k in range(COUNT):
        Image.fromarray(to_pixels(source.image[k])).save(root / f"sources/s{k}.png")
        Image.fromarray(to_pixels(target.image[k])).save(root / f"targets/t{k}.png")
        Image.fromarray(to_pixels(truth.image[k])).save(root / f"truths/s{k}_t{k}.png")
        Image.fromarray(to_pixels(target.image[k])).save(root / f"unchanged/s{k}_t{k}.png")
    return root


def run(folders: Path, swaps: str, *more: str | Path) -> int:
    given = ["--swaps", folders / swaps, "--sources", folders / "sources", "--targets", folders / "targets", *more]
    return cli.main(["evaluate", *map(str, given)])


def test_truth_as_swaps_with_everything(folders: Path, tmp_path: Path, capsys: Capture) -> None:
    record, sheet = tmp_path / "r.jsonl", tmp_path / "sheet.png"
    options = ("--truths", folders / "truths", "--aligned", "--output", record, "--sheet", sheet)
    assert run(folders, "truths", *options, "--experiment", "evaluate/truth") == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert rows["error"].split()[1:4] == ["0", "grey", "levels"]
    assert rows["fd_mnv2_truth"].endswith("mobilenet-v2")
    assert "verdict: swapped (5 swaps" in out
    saved = latest(record, "evaluate/truth")
    assert saved.metric("error_ratio").value == pytest.approx(0)
    assert saved.metric("cos_source_low").value <= saved.metric("cos_source").value
    assert saved.data_digest is not None
    mark = read_provenance(sheet)
    assert mark is not None
    assert mark.synthetic
    with Image.open(sheet) as image:
        assert image.height > 3 * 64
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.jsonl", "sheet.png"]


def test_targets_as_swaps_are_a_collapse(folders: Path, tmp_path: Path, capsys: Capture) -> None:
    rows = "".join(f"s{k}_t{k}.png,s{k}.png,t{k}.png,p{k}\n" for k in range(4))
    (tmp_path / "pairs.csv").write_text("swap,source,target,person\n" + rows)
    assert run(folders, "unchanged", "--aligned", "--pairs", tmp_path / "pairs.csv", "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    assert report["ok"] is True
    assert (report["verdict"], report["swaps"]) == ("output = target", 4)
    assert report["warnings"][0].startswith("COLLAPSE")
    found = {m["name"]: m for m in report["metrics"]}
    assert found["pose_error"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["unchanged"]["value"] == 100
    assert set(found["cos_source"]) == {"name", "value", "unit", "interval", "backend", "protocol", "n"}
    assert len(found["cos_source"]["interval"]) == 2
    assert found["fd_mnv2"]["interval"] is None


def test_errors_are_one_line(folders: Path, tmp_path: Path, capsys: Capture) -> None:
    cases = (
        ((folders / "sources", "--aligned"), "is not named SOURCE_TARGET"),
        ((folders / "nowhere",), "is not a folder"),
        ((folders / "truths", "--judge", "nobody"), "No judge is called 'nobody'"),
        ((folders / "truths", "--sheet", tmp_path / "sheet.xyz"), "suffix .xyz"),
        ((folders / "truths", "--output", tmp_path), "is a folder"),
        ((folders / "truths", "--experiment", "Not Good"), "small letters"),
        ((folders / "truths", "--device", "toaster"), "toaster"),
        ((folders / "truths", "--pairs", tmp_path / "none.csv"), "can't be read as a CSV"),
    )
    for (swaps, *more), message in cases:
        assert run(folders, str(swaps), *more) == 1
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.startswith("mfs: error: ")
        assert captured.err.count("\n") == 1
        assert captured.out == ""


@pytest.mark.parametrize(
    "arguments", [[], ["--swaps", "a"], ["--swaps", "a", "--sources", "b", "--targets", "c", "--size", "8"]]
)
def test_wrong_usage_is_exit_2(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", *arguments])
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err
