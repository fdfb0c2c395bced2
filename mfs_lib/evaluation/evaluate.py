"""Every metric of the suite on a set of swaps, from any system.

found = evaluate_folders(Path("swaps"), Path("sources"), Path("targets"))
print(found.table(), found.verdict, found.warnings)

found = evaluate(SwapSet.of_pairs(result, source, target, truth))   # crops in memory
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from tabulate import tabulate
from torch import Tensor, nn
from tqdm import tqdm

from mfs_lib.errors import InputError
from mfs_lib.evaluation.folders import (
    CROP_SIDE,
    SwapSet,
    everybody,
    load_pairs,
    pairs_by_name,
    pairs_from_table,
)
from mfs_lib.evaluation.identity_metrics import embed
from mfs_lib.evaluation.metrics.background import background_metric, face_regions
from mfs_lib.evaluation.metrics.collapse import Collapse, CollapseVerdict, judge_collapse
from mfs_lib.evaluation.metrics.distribution import distribution_metrics
from mfs_lib.evaluation.metrics.expression import expression_metrics
from mfs_lib.evaluation.metrics.features import (
    INCEPTION_BACKEND,
    FeatureSpace,
    find_inception,
    inception_space,
    mobilenet_space,
    pooled_features,
)
from mfs_lib.evaluation.metrics.identity import identity_metrics, pair_scores
from mfs_lib.evaluation.metrics.meshes import Meshes, crop_meshes, in_unit
from mfs_lib.evaluation.metrics.pose import (
    HOPENET_BACKEND,
    find_hopenet,
    hopenet_angles,
    mesh_angles,
    pose_metrics,
)
from mfs_lib.evaluation.metrics.recognisers import DEFAULT_JUDGE, load_recogniser
from mfs_lib.evaluation.metrics.retrieval import retrieval_metric
from mfs_lib.evaluation.metrics.samples import INTERVAL, FloatArray, SampleMean, percent
from mfs_lib.evaluation.metrics.truth import absolute_errors, truth_metrics
from mfs_lib.evaluation.sheets import sheet
from mfs_lib.faces.folders import Rejected
from mfs_lib.networks.face_mesh import FaceMesh
from mfs_lib.networks.hopenet import Hopenet
from mfs_lib.networks.inception_fid import FEATURES
from mfs_lib.networks.mobilenet_v2 import MobileNetV2Features
from mfs_lib.results import Metric, Record
from mfs_lib.weights.models import load_mesh, load_mobilenet_v2

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Backends:
    """The networks that measure; `spaces` is where another feature network is added."""

    judge_name: str
    judge: nn.Module
    mesh: FaceMesh
    mobilenet: MobileNetV2Features
    spaces: tuple[FeatureSpace, ...]
    hopenet: Hopenet | None = None
    device: torch.device | str = "cpu"

    @classmethod
    def load(cls, judge: str = DEFAULT_JUDGE, *, device: torch.device | str = "cpu") -> Backends:
        """The default ones, a judge by name (see ``recognisers``), Hopenet and Inception where their weights are."""
        network, inception = load_mobilenet_v2(device=device), find_inception(device=device)
        spaces = [mobilenet_space(network), *([inception_space(inception)] if inception is not None else [])]
        return cls(
            judge_name=judge, judge=load_recogniser(judge, device=device), mesh=load_mesh(device=device),
            mobilenet=network, spaces=tuple(spaces), hopenet=find_hopenet(device=device), device=device,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: in the order of the families.
        intervals: (low, high) of those metrics that are means over pairs; see ``samples.INTERVAL``.
        verdict: whether anything was swapped at all, see ``metrics.collapse``.
        warnings: what a reader must know before believing the numbers.
        cosines: (N,) cosine of each swap and its source.
        rejected: files that couldn't be used.
    """

    metrics: tuple[Metric, ...]
    intervals: Mapping[str, tuple[float, float]]
    verdict: CollapseVerdict
    warnings: tuple[str, ...]
    cosines: FloatArray
    rejected: tuple[Rejected, ...] = ()

    def metric(self, name: str) -> Metric:
        """A metric by name; InputError, naming those there are, if it wasn't measured."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise InputError(f"There is no metric {name!r}; there are {', '.join(m.name for m in self.metrics)}.")

    def record(
        self, experiment: str, *, wall_seconds: float, profile: str = "mini", seed: int = 0, device: str = "cpu",
        data_digest: str | None = None,
    ) -> Record:  # fmt: skip
        """A record of all metrics; an interval's ends follow its metric as NAME_low and NAME_high."""
        rows: list[Metric] = []
        for m in self.metrics:
            rows.append(m)
            for end, value in zip(("low", "high"), self.intervals.get(m.name, ()), strict=False):
                protocol = f"{end} end of the {INTERVAL}; {m.protocol}"
                name = f"{m.name}_{end}"
                rows.append(Metric(name=name, value=value, unit=m.unit, backend=m.backend, protocol=protocol, n=m.n))
        return Record(
            experiment=experiment, profile=profile, seed=seed, metrics=tuple(rows), device=device,
            wall_seconds=wall_seconds, data_digest=data_digest,
        )  # fmt: skip

    def table(self) -> str:
        """Metrics with value, interval, backend and number of samples, as text."""
        rows = []
        for metric in self.metrics:
            ends = self.intervals.get(metric.name)
            interval = f"{ends[0]:.4g} – {ends[1]:.4g}" if ends else "–"
            rows.append([metric.name, str(metric), interval, metric.n, metric.backend])
        return tabulate(
            rows, headers=["metric", "value", "95 % interval", "n", "backend"], disable_numparse=True,
            colalign=("left", "right", "right", "right", "left"),
        )  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """What the networks see in the pictures, each picture once."""

    source: Tensor  # (G, E) identities
    target: Tensor  # (T, E)
    swap: Tensor  # (N, E)
    swap_mesh: Meshes
    target_mesh: Meshes  # (N, 468, 3), of each swap's target
    truth: Tensor | None = None  # (N, E)


def evaluate(swaps: SwapSet, *, backends: Backends | None = None, progress: bool = True) -> Evaluation:
    """Measure a set of swaps.

    Args:
        swaps: crops, see ``SwapSet``.
        backends: the networks; the default ones when None.
        progress: show bars on standard error.
    """
    nets = backends or Backends.load()
    seen = _look(swaps, nets, progress)
    collapse = _collapse(swaps, seen, nets)
    metrics = [
        *_identity(swaps, seen, nets),
        *([collapse.metric] if collapse.metric else []),
        *_geometry(swaps, seen, nets),
        *_distribution(swaps, nets, progress),
        *_truth(swaps, seen, nets),
        *([_faces_found(swaps)] if swaps.lost else []),
    ]
    groups = [swaps.people[index] for index in swaps.source_of.tolist()] + list(swaps.lost)
    return Evaluation(
        metrics=tuple(metrics),
        intervals=_intervals(metrics, groups),
        verdict=collapse.verdict,
        warnings=(*collapse.warnings, *_warnings(swaps, nets)),
        cosines=(seen.swap * seen.source[swaps.source_of]).sum(1).double().numpy(),
        rejected=swaps.rejected,
    )


def read_folders(
    swaps: Path,
    sources: Path,
    targets: Path,
    truths: Path | None = None,
    pairs: Path | None = None,
    *,
    aligned: bool = False,
    size: int = CROP_SIDE,
    progress: bool = True,
) -> SwapSet:
    """Crops of folders: pairs by the names of the swaps, or by a CSV; see ``folders``.

    With names every picture in `sources` is in the gallery, with a CSV those that it lists.
    """
    if pairs is None:
        listed, gallery = pairs_by_name(swaps, sources, targets, truths), everybody(sources)
    else:
        listed, gallery = pairs_from_table(pairs, swaps, sources, targets, truths), {}
    return load_pairs(listed, gallery=gallery, aligned=aligned, size=size, progress=progress)


def evaluate_folders(
    swaps: Path,
    sources: Path,
    targets: Path,
    truths: Path | None = None,
    pairs: Path | None = None,
    *,
    aligned: bool = False,
    size: int = CROP_SIDE,
    backends: Backends | None = None,
    progress: bool = True,
) -> Evaluation:
    """Measure any system's swaps, from folders of pictures.

    Args:
        swaps, sources, targets, truths: folders; a swap is named SOURCE_TARGET or SOURCE__TARGET, a truth as its swap.
        pairs: a CSV (swap,source,target[,truth,person]) instead of names.
        aligned: the pictures are aligned crops of one size.
        size: side in pixels of the crops that are cut otherwise.
        backends: the networks; the default ones when None.
        progress: show bars on standard error.

    Raises:
        InputError: names, table or pictures can't be used; says which.
    """
    crops = read_folders(swaps, sources, targets, truths, pairs, aligned=aligned, size=size, progress=progress)
    return evaluate(crops, backends=backends, progress=progress)


def contact_sheet(swaps: SwapSet, evaluation: Evaluation, *, each: int = 3) -> Figure:
    """source | target | swap (| truth) of the `each` best, median and worst swaps by cosine to their source."""
    order = np.argsort(-evaluation.cosines, kind="stable")
    middle = max(0, (len(order) - each) // 2)
    chosen = [("best", order[:each]), ("median", order[middle : middle + each]), ("worst", order[-each:])]
    rows, labels, used = [], [], set()
    for word, indices in chosen:
        for i in [int(index) for index in indices if int(index) not in used]:
            used.add(i)
            parts = [swaps.source[swaps.source_of[i]], swaps.target[swaps.target_of[i]], swaps.swap[i]]
            parts += [] if swaps.truth is None else [swaps.truth[i]]
            rows.append([in_unit(part) for part in parts])
            labels.append(f"{word} {evaluation.cosines[i]:.2f}")
    columns = ["source", "target", "swap", *(["truth"] if swaps.truth is not None else [])]
    return sheet(rows, row_labels=labels, col_labels=columns, cell=1.2)


def _look(swaps: SwapSet, nets: Backends, progress: bool) -> _Seen:
    def identities(pictures: Tensor, label: str) -> Tensor:
        parts = pictures.split(_BATCH)  # type: ignore[no-untyped-call]
        bar = tqdm(parts, desc=f"identities of {label}", disable=not progress)
        return torch.cat([embed(nets.judge, in_unit(part.to(nets.device))).cpu() for part in bar])

    truth = swaps.truth if swaps.truth_face is None else swaps.truth_face
    return _Seen(
        source=identities(swaps.source, "sources"),
        target=identities(swaps.target, "targets"),
        swap=identities(swaps.swap if swaps.swap_face is None else swaps.swap_face, "swaps"),
        swap_mesh=crop_meshes(swaps.swap, nets.mesh, progress=progress, label="meshes of swaps"),
        target_mesh=crop_meshes(swaps.target, nets.mesh, progress=progress, label="meshes of targets")[
            swaps.target_of.numpy()
        ],
        truth=None if truth is None else identities(truth, "truths"),
    )


def _identity(swaps: SwapSet, seen: _Seen, nets: Backends) -> list[Metric]:
    name = nets.judge_name
    found: list[Metric] = []
    owners = [swaps.people[index] for index in swaps.source_of.tolist()]
    if len(set(swaps.people)) > 1:
        gallery = (seen.source, owners, swaps.people)
        mine = retrieval_metric(seen.swap, *gallery, backend=name, lost=len(swaps.lost))
        found.append(mine)
        if seen.truth is not None:
            exact = retrieval_metric(seen.truth, *gallery, backend=name, name="retrieval_of_truth")
            found.append(exact)
            kept = exact.samples == 100
            if kept.any():
                found.append(_given(mine.samples[: len(kept)] / 100, kept, name))
    return [
        *found,
        *identity_metrics(seen.swap, seen.target[swaps.target_of], seen.source[swaps.source_of], backend=name),
    ]


def _given(credit: FloatArray, kept: FloatArray, backend: str) -> SampleMean:
    return percent("retrieval_given_truth", credit * kept, "retrieval where the truth's succeeds", backend, over=kept)


def _collapse(swaps: SwapSet, seen: _Seen, nets: Backends) -> Collapse:
    scores = pair_scores(seen.swap, seen.target[swaps.target_of], seen.source[swaps.source_of])
    inside = torch.from_numpy(face_regions(seen.swap_mesh, seen.target_mesh, swaps.swap.shape[-1], widen=0))
    changes = [
        float((in_unit(a) - in_unit(swaps.target[b])).abs().mean(0)[face].sum() / face.sum().clamp(min=1)) * 255
        for a, b, face in zip(swaps.swap, swaps.target_of.tolist(), inside, strict=True)
    ]
    own = swaps.swap if swaps.swap_face is None else swaps.swap_face
    return judge_collapse(
        to_source=scores.to_source.double().numpy(), to_target=scores.to_target.double().numpy(),
        before=scores.before.double().numpy(), face_change=np.array(changes),
        source_change=absolute_errors(own, swaps.source[swaps.source_of]), backend=nets.judge_name,
    )  # fmt: skip


def _geometry(swaps: SwapSet, seen: _Seen, nets: Backends) -> list[Metric]:
    """Pose, expression, background."""
    size, canonical = swaps.swap.shape[-1], nets.mesh.canonical
    angles = [mesh_angles(meshes, size, canonical) for meshes in (seen.swap_mesh, seen.target_mesh)]
    found: list[Metric] = [*pose_metrics(*angles)]
    if nets.hopenet is not None:
        theirs = hopenet_angles(swaps.target, nets.hopenet)[swaps.target_of.numpy()]
        found += pose_metrics(hopenet_angles(swaps.swap, nets.hopenet), theirs, backend=HOPENET_BACKEND)
    found += expression_metrics(seen.swap_mesh, seen.target_mesh, canonical)
    face = face_regions(seen.swap_mesh, seen.target_mesh, size)
    if not face.all():
        found.append(background_metric(swaps.swap, swaps.target[swaps.target_of], face, backend="mesh468"))
    return found


def _distribution(swaps: SwapSet, nets: Backends, progress: bool) -> list[Metric]:
    found: list[Metric] = []
    for space in nets.spaces:

        def features(pictures: Tensor, label: str, space: FeatureSpace = space) -> FloatArray:
            text = f"features of {label}"
            return pooled_features(pictures, space, device=nets.device, progress=progress, label=text)

        if min(len(swaps.swap), len(swaps.target)) < 4:
            continue
        result, rows = features(swaps.swap, "swaps"), swaps.target_of.tolist()
        kin = (rows, range(len(swaps.target)))
        found += distribution_metrics(result, features(swaps.target, "targets"), space, kin=kin)
        if swaps.truth is not None:
            exact = features(swaps.truth, "truths")
            found += distribution_metrics(result, exact, space, kin=(rows, rows), to="truths", suffix="_truth")
    return found


def _truth(swaps: SwapSet, seen: _Seen, nets: Backends) -> list[Metric]:
    if swaps.truth is None:
        return []
    return [*truth_metrics(swaps.swap, swaps.truth, swaps.target[swaps.target_of], nets.mobilenet)]


def _faces_found(swaps: SwapSet) -> SampleMean:
    found = np.concatenate([np.ones(len(swaps.swap)), np.zeros(len(swaps.lost))])
    return percent("faces_found", found, "swaps in which a face was found", "yunet")


def _intervals(metrics: list[Metric], groups: list[Hashable]) -> dict[str, tuple[float, float]]:
    """Intervals of the means; none where all pairs are of one person."""
    out = {}
    for metric in metrics:
        if isinstance(metric, SampleMean):
            labels = groups[: len(metric.samples)]
            if len(set(labels)) > 1:
                out[metric.name] = metric.interval(labels)
    return out


def _warnings(swaps: SwapSet, nets: Backends) -> list[str]:
    out = []
    if swaps.lost:
        out.append(f"In {len(swaps.lost)} swaps no face was found: not retrieved, and absent from every other metric.")
    if swaps.skipped:
        out.append(f"{swaps.skipped} pairs were left out: their source, target or truth can't be used.")
    if swaps.reframed:
        out.append(
            f"{swaps.reframed} swaps have another size than their target's picture: aligned by themselves, so that roll "
            "and background carry the detector's error."
        )
    if len(set(swaps.people)) < 2:
        out.append("All sources show one person: no retrieval and no intervals.")
    if nets.hopenet is None:
        out.append("Hopenet's weights are not there (mfs fetch hopenet): pose is measured by the face mesh alone.")
    few, spaces = min(len(swaps.swap), len(swaps.target)), {space.backend for space in nets.spaces}
    if spaces and INCEPTION_BACKEND not in spaces:
        out.append("Inception's weights are not there (mfs fetch inception-fid): sets are compared, but not by FID.")
    if INCEPTION_BACKEND in spaces and few <= FEATURES:
        out.append(f"{few} pictures are too few for FID ({FEATURES + 1} at least): the covariances of fid are shrunk.")
    return out
