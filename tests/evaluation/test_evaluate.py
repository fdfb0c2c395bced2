"""The suite tells a swap, no swap, a copy and the truth apart, in memory and from folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mfs_lib.errors import InputError
from mfs_lib.evaluation import evaluate as module
from mfs_lib.evaluation.evaluate import Backends, Evaluation, contact_sheet, evaluate, evaluate_folders
from mfs_lib.evaluation.folders import SwapSet
from mfs_lib.evaluation.metrics.features import FeatureSpace
from mfs_lib.evaluation.sheets import to_pixels
from mfs_lib.faces.morphable import MorphableWorld
from mfs_lib.networks.hopenet import Hopenet
from mfs_lib.networks.inception_fid import InceptionFID
from mfs_lib.results import append_record, latest

COUNT, SIZE = 16, 96


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor, Tensor]:
    """Sources, targets and truths of sampled people, (COUNT, 3, SIZE, SIZE)."""
    world, generator = MorphableWorld.load(), torch.Generator().manual_seed(5)
    source, target = (world.sample(COUNT, generator, size=SIZE) for _ in range(2))
    return source.image, target.image, world.swap(identity_of=source, attributes_of=target).image


@pytest.fixture(scope="module")
def nets() -> Backends:
    """The default networks, with a feature space so small that its distances take no time."""

    def coarse(x: Tensor) -> Tensor:
        return functional.adaptive_avg_pool2d(x, 2).flatten(1)

    small = FeatureSpace(backend="coarse", frechet="fd_coarse", kernel="kid_coarse", pooled=coarse)
    return replace(Backends.load(), spaces=(small,), hopenet=None)


@pytest.fixture(scope="module")
def nothing(pictures: tuple[Tensor, Tensor, Tensor], nets: Backends) -> Evaluation:
    """Swaps = targets."""
    source, target, truth = pictures
    return evaluate(SwapSet.of_pairs(target, source, target, truth), backends=nets, progress=False)


@pytest.fixture(scope="module")
def exact(pictures: tuple[Tensor, Tensor, Tensor], nets: Backends) -> Evaluation:
    """Swaps = truths."""
    source, target, truth = pictures
    return evaluate(SwapSet.of_pairs(truth, source, target, truth), backends=nets, progress=False)


def value(found: Evaluation, name: str) -> float:
    return found.metric(name).value


def test_doing_nothing_is_a_collapse(nothing: Evaluation) -> None:
    assert nothing.verdict == "output = target"
    assert nothing.warnings[0].startswith(f"COLLAPSE: {COUNT} of {COUNT}")
    assert value(nothing, "unchanged") == 100
    assert value(nothing, "retrieval") <= 2 * 100 / COUNT
    assert value(nothing, "cos_target") == pytest.approx(1, abs=1e-4)
    assert value(nothing, "error_ratio") == 1
    # what it is praised for
    for name in ("pose_error", "pose_l2", "background", "expression_mesh", "fd_coarse"):
        assert value(nothing, name) == pytest.approx(0, abs=1e-6)


def test_the_truth_is_a_swap_without_error(exact: Evaluation) -> None:
    assert exact.verdict == "swapped"
    assert not any("COLLAPSE" in text for text in exact.warnings)
    assert value(exact, "retrieval") == value(exact, "retrieval_of_truth") >= 80
    assert value(exact, "retrieval_given_truth") == 100
    assert value(exact, "nearer_than_target") > 90
    for name in ("error", "error_ratio", "lp_mnv2", "fd_coarse_truth", "unchanged"):
        assert value(exact, name) == pytest.approx(0, abs=1e-6)
    assert value(exact, "ssim") == pytest.approx(1)
    assert value(exact, "background") < 1


TOLD_APART = (
    *("retrieval", "retrieval_given_truth", "cos_source", "nearer_than_target", "nearer_to_source", "psnr", "ssim"),
    *("-cos_target", "-unchanged", "-error", "-error_ratio", "-lp_mnv2", "-fd_coarse_truth"),
)


@pytest.mark.parametrize("name", TOLD_APART)
def test_metrics_prefer_the_truth_to_nothing(name: str, nothing: Evaluation, exact: Evaluation) -> None:
    sign = -1 if name.startswith("-") else 1
    first, second = (sign * value(found, name.lstrip("-")) for found in (exact, nothing))
    assert first > second
    if name.lstrip("-") in exact.intervals:
        ends = [sorted(sign * end for end in found.intervals[name.lstrip("-")]) for found in (exact, nothing)]
        assert ends[0][0] > ends[1][1]


def test_every_mean_has_an_interval_that_holds_it(exact: Evaluation) -> None:
    without = {name for name in (m.name for m in exact.metrics) if name not in exact.intervals}
    assert without == {f"{k}{s}" for k in ("fd_coarse", "kid_coarse") for s in ("", "_truth")} | {
        "kid_coarse_std",
        "kid_coarse_truth_std",
    }
    for name, (low, high) in exact.intervals.items():
        assert low - 1e-9 <= value(exact, name) <= high + 1e-9
    assert all(
        m.backend != "none" and m.protocol and m.n == COUNT for m in exact.metrics if m.name != "retrieval_given_truth"
    )


def test_copies_of_the_source_and_a_wrong_person(pictures: tuple[Tensor, Tensor, Tensor], nets: Backends) -> None:
    source, target, truth = pictures
    copies = evaluate(SwapSet.of_pairs(source, source, target), backends=nets, progress=False)
    assert copies.verdict == "output = source"
    assert value(copies, "retrieval") == 100
    assert value(copies, "background") > 5
    wrong = evaluate(SwapSet.of_pairs(truth.roll(1, 0), source, target.roll(1, 0)), backends=nets, progress=False)
    assert wrong.verdict == "identity not transferred"
    assert value(wrong, "retrieval") < 20


def test_hopenet_is_a_second_backend(pictures: tuple[Tensor, Tensor, Tensor], nets: Backends) -> None:
    source, target, truth = (one[:4] for one in pictures)
    torch.manual_seed(0)
    both = replace(nets, hopenet=Hopenet(width=4).eval(), spaces=())
    found = evaluate(SwapSet.of_pairs(truth, source, target), backends=both, progress=False)
    assert found.metric("hopenet_error").backend == "hopenet"
    assert found.metric("pose_error").backend == "mesh468-pnp"
    assert not any("Hopenet" in text for text in found.warnings)
    with pytest.raises(InputError, match="no metric 'fid'"):
        found.metric("fid")


def test_inception_is_a_second_space(
    pictures: tuple[Tensor, Tensor, Tensor], nets: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target, truth = (one[:4] for one in pictures)
    with torch.device("meta"):
        found = InceptionFID()
    monkeypatch.setattr(module, "find_inception", lambda device: found)
    loaded = Backends.load()
    assert [space.frechet for space in loaded.spaces] == ["fd_mnv2", "fid"]
    assert loaded.spaces[1].pooled is found
    fid = replace(nets.spaces[0], backend="inception-2015-12-05", frechet="fid", kernel="kid")
    both = evaluate(
        SwapSet.of_pairs(truth, source, target), backends=replace(nets, spaces=(*nets.spaces, fid)), progress=False
    )
    assert both.metric("fid").backend == "inception-2015-12-05" != both.metric("fd_coarse").backend
    assert any("4 pictures are too few for FID (2049 at least)" in text for text in both.warnings)
    assert not any("mfs fetch inception-fid" in text for text in both.warnings)
    one = evaluate(SwapSet.of_pairs(truth, source, target), backends=nets, progress=False)
    assert any("mfs fetch inception-fid" in text for text in one.warnings)
    assert not any("too few" in text for text in one.warnings)


def test_without_inceptions_weights_there_is_one_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_inception", lambda device: None)
    assert [space.frechet for space in Backends.load().spaces] == ["fd_mnv2"]


def test_several_pictures_of_a_person_and_only_one_person(
    pictures: tuple[Tensor, Tensor, Tensor], nets: Backends
) -> None:
    source, target, truth = (one[:4] for one in pictures)
    lean = replace(nets, spaces=())
    two = evaluate(SwapSet.of_pairs(truth, source, target, people=["a", "a", "b", "b"]), backends=lean, progress=False)
    assert "4 source pictures of 2 people" in two.metric("retrieval").protocol
    one = evaluate(SwapSet.of_pairs(truth, source, target, people=["a"] * 4), backends=lean, progress=False)
    assert "retrieval" not in {m.name for m in one.metrics}
    assert one.intervals == {}
    assert any("one person" in text for text in one.warnings)


def test_the_record_holds_intervals(exact: Evaluation, tmp_path: Path) -> None:
    append_record(tmp_path / "r.jsonl", exact.record("evaluate/truth", wall_seconds=1.0))
    record = latest(tmp_path / "r.jsonl", "evaluate/truth")
    low, high = record.metric("cos_source_low"), record.metric("cos_source_high")
    assert (low.value, high.value) == exact.intervals["cos_source"]
    assert low.unit == record.metric("cos_source").unit
    assert "low end" in low.protocol
    assert len(record.metrics) == len(exact.metrics) + 2 * len(exact.intervals)


def test_the_table_shows_value_interval_and_backend(exact: Evaluation) -> None:
    row = next(line for line in exact.table().splitlines() if line.startswith("retrieval_given_truth"))
    assert row.split()[1:6] == ["100", "%", "100", "–", "100"]
    assert row.endswith("mobilefacenet")


def test_the_sheet_shows_best_median_and_worst(pictures: tuple[Tensor, Tensor, Tensor], exact: Evaluation) -> None:
    source, target, truth = pictures
    figure = contact_sheet(SwapSet.of_pairs(truth, source, target, truth), exact, each=2)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [label.split()[0] for label in labels] == ["best"] * 2 + ["median"] * 2 + ["worst"] * 2
    assert labels[0].endswith(f"{exact.cosines.max():.2f}")
    assert labels[-1].endswith(f"{exact.cosines.min():.2f}")
    canvas = np.asarray(figure.axes[0].images[0].get_array())
    best = int(exact.cosines.argmax())
    for column, picture in enumerate((source, target, truth, truth)):
        left = column * (SIZE + 2)
        np.testing.assert_array_equal(canvas[:SIZE, left : left + SIZE], to_pixels(picture[best]))
    few = contact_sheet(SwapSet.of_pairs(truth[:2], source[:2], target[:2]), replace(exact, cosines=exact.cosines[:2]))
    assert len(few.axes[0].get_yticklabels()) == 2


def test_folders_give_what_memory_gives(
    pictures: tuple[Tensor, Tensor, Tensor], nets: Backends, tmp_path: Path
) -> None:
    source, target, truth = ((one[:4] * 255).round().byte() for one in pictures)
    for name in ("swaps", "sources", "targets", "truths"):
        (tmp_path / name).mkdir()
    for k in range(4):
        for file, picture in (
            (f"sources/s{k}", source), (f"targets/t{k}", target), (f"swaps/s{k}_t{k}", truth), (f"truths/s{k}_t{k}", truth)
        ):  # fmt: skip
            Image.fromarray(picture[k].permute(1, 2, 0).numpy()).save(tmp_path / f"{file}.png")
    folders = [tmp_path / name for name in ("swaps", "sources", "targets", "truths")]
    found = evaluate_folders(*folders, aligned=True, backends=nets, progress=False)
    wanted = evaluate(SwapSet.of_pairs(truth, source, target, truth), backends=nets, progress=False)
    assert [m.name for m in found.metrics] == [m.name for m in wanted.metrics]
    for mine, other in zip(found.metrics, wanted.metrics, strict=True):
        assert mine.value == pytest.approx(other.value, abs=1e-6), mine.name
    cut = evaluate_folders(*folders, size=96, backends=replace(nets, spaces=()), progress=False)
    assert cut.verdict == "swapped"
    assert value(cut, "error") == 0
    assert value(cut, "retrieval") >= 75


def test_lost_swaps_count_as_missed(pictures: tuple[Tensor, Tensor, Tensor], nets: Backends) -> None:
    source, target, truth = (one[:4] for one in pictures)
    whole = SwapSet.of_pairs(truth, source, target)
    broken = replace(whole, lost=(0, 1, 2, 3), skipped=2, reframed=1)
    lean = replace(nets, spaces=())
    before, after = (evaluate(one, backends=lean, progress=False) for one in (whole, broken))
    assert value(after, "retrieval") == value(before, "retrieval") / 2
    assert after.metric("retrieval").n == 8
    assert value(after, "faces_found") == 50
    assert value(after, "cos_source") == value(before, "cos_source")
    text = " ".join(after.warnings)
    for part in ("In 4 swaps no face was found", "2 pairs were left out", "1 swaps have another size", "Hopenet"):
        assert part in text
