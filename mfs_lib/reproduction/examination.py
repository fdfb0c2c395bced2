"""How well Q, cos² and α of equation 4 know what only the exact truth can tell: the teacher's real error.

The three are *weights*, high where the teacher shall be trusted; what they are held against are *errors* to the truth:

| weight | what                                     | error    | what                                                      |
|--------|------------------------------------------|----------|-----------------------------------------------------------|
| q      | Q of the picture alone                   | error    | mean absolute difference of pixels                        |
| cos2   | SFace's cosine of source and picture, squared | features | distance of MobileNetV2's features                   |
| alpha  | their product                            | identity | 1 minus MobileFaceNet's cosine of the picture and the truth |

A good weight has a rank correlation near -1 with the errors. One that only tells hard pairs from easy ones would say
nothing of the teacher: so each correlation is also given with everything that the world knows of the *question*
(`sampled_pairs.FACTS`) taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfs_lib.evaluation.identity_metrics import embed
from mfs_lib.evaluation.metrics.features import feature_distances
from mfs_lib.evaluation.metrics.recognisers import DEFAULT_JUDGE, load_recogniser
from mfs_lib.evaluation.metrics.samples import FloatArray
from mfs_lib.evaluation.metrics.truth import absolute_errors
from mfs_lib.faces.identity import identity_of
from mfs_lib.networks.quality import QualityScorer
from mfs_lib.reproduction.rank_statistics import (
    Estimate,
    Rows,
    bootstrap,
    column_correlations,
    estimate_rows,
    explained,
    partial_spearman,
    spearman,
)
from mfs_lib.reproduction.sampled_pairs import FACTS, SampledPairs
from mfs_lib.results import Metric
from mfs_lib.training.quality import score_images
from mfs_lib.training.sampled import to_uint8
from mfs_lib.weights.models import load_mobilenet_v2

WEIGHTS = ("q", "cos2", "alpha")
ERRORS = ("error", "features", "identity")


@dataclass(frozen=True, eq=False)
class Scored:
    """Weights and errors of pictures, each a table (K, N): K teachers (checkpoints), N pairs."""

    weights: Mapping[str, FloatArray]
    errors: Mapping[str, FloatArray]

    def last(self) -> Scored:
        """Of the last teacher alone, (1, N)."""
        return Scored(
            {name: table[-1:] for name, table in self.weights.items()},
            {name: table[-1:] for name, table in self.errors.items()},
        )


@torch.no_grad()
def weights_of(pictures: Tensor, pairs: SampledPairs, scorer: QualityScorer) -> dict[str, FloatArray]:
    """q, cos2 and alpha (N,) of pictures (N,3,S,S) in [0,1], which are seen in 8 bits as training sees them."""
    stored = to_uint8(pictures)
    q = score_images(scorer, stored).double().numpy()
    seen = identity_of(stored.float() / 255).embedding
    cos2 = (seen * pairs.identity.embedding).sum(1).double().square().numpy()
    return {"q": q, "cos2": cos2, "alpha": q * cos2}


@torch.no_grad()
def errors_of(pictures: Tensor, pairs: SampledPairs) -> dict[str, FloatArray]:
    """error, features and identity (N,) of pictures (N,3,S,S) in [0,1]."""
    judge = load_recogniser(DEFAULT_JUDGE)
    cosine = (embed(judge, pictures) * embed(judge, pairs.truth)).sum(1)
    return {
        "error": absolute_errors(pictures, pairs.truth),
        "features": feature_distances(pictures, pairs.truth, load_mobilenet_v2()).double().numpy(),
        "identity": 1 - cosine.double().numpy(),
    }


def score(pictures: list[Tensor], pairs: SampledPairs, scorer: QualityScorer) -> Scored:
    """Weights and errors of what K teachers made of the same pairs."""
    weights = [weights_of(one, pairs, scorer) for one in pictures]
    errors = [errors_of(one, pairs) for one in pictures]
    return Scored(
        {name: np.stack([one[name] for one in weights]) for name in WEIGHTS},
        {name: np.stack([one[name] for one in errors]) for name in ERRORS},
    )


def _ratio(weight: FloatArray, error: FloatArray) -> float:
    """Weighted mean error over the plain one."""
    return float((weight * error).sum() / max(weight.sum(), 1e-12) / error.mean())


def _all_knowing(error: FloatArray) -> FloatArray:
    """A weight that knows the truth: 1 for the least error, falling evenly to 0 for the largest."""
    order = np.argsort(np.argsort(error, kind="stable"), kind="stable")
    return np.asarray(1 - order / max(1, len(error) - 1), np.float64)


def within_teacher(scored: Scored, facts: FloatArray) -> list[Metric]:
    """What the weights know about the pictures of one teacher, (1, N), of pairs with `facts` (N, F).

    For every weight and error: `error_by_q` (rank correlation), `error_by_q_given_facts` (partial) and
    `weighted_error_by_q` (mean error where the weight counts, over the plain mean); `weighted_error_by_truth` is what an
    all-knowing weight would reach, `error_by_facts` the multiple rank correlation of the facts alone.
    """
    rows: list[Metric] = []
    n = len(facts)
    given = f"{len(FACTS)} facts of the pair taken out: {', '.join(FACTS)}"

    def add(name: str, found: Estimate, protocol: str, backend: str = "spearman") -> None:
        rows.extend(estimate_rows(name, found, protocol, n, backend=backend))

    for kind in ERRORS:
        error = scored.errors[kind][0]
        for name in WEIGHTS:
            weight = scored.weights[name][0]
            add(f"{kind}_by_{name}", _over_pairs(weight, error), "rank correlation over pairs, one teacher")
            partial = _over_pairs(weight, error, facts)
            add(f"{kind}_by_{name}_given_facts", partial, f"partial rank correlation over pairs, one teacher; {given}")
            ratio = bootstrap(lambda i, w=weight, e=error: _ratio(w[i], e[i]), n)  # type: ignore[misc]
            add(f"weighted_{kind}_by_{name}", ratio, "weighted mean over the plain mean of the error", "none")
        best = bootstrap(lambda i, e=error: _ratio(_all_knowing(e[i]), e[i]), n)  # type: ignore[misc]
        add(f"weighted_{kind}_by_truth", best, "the same for a weight that falls evenly with the error's rank", "none")
        known = bootstrap(lambda i, e=error: explained(e[i], facts[i]), n)  # type: ignore[misc]
        add(f"{kind}_by_facts", known, f"multiple rank correlation with {len(FACTS)} facts of the pair")
    return rows


def _over_pairs(first: FloatArray, second: FloatArray, facts: FloatArray | None = None) -> Estimate:
    def statistic(i: Rows) -> float:
        return partial_spearman(first[i], second[i], None if facts is None else facts[i])

    return bootstrap(statistic, len(first))


def fact_correlations(scored: Scored, facts: FloatArray) -> list[Metric]:
    """Which pictures of one teacher (1, N) are scored low, and which are wrong: `q_by_yaw`, `error_by_yaw` and so on."""
    rows: list[Metric] = []
    measured = {**scored.weights, "error": scored.errors["error"]}
    for name in ("q", "cos2", "error"):
        for column, fact in enumerate(FACTS):
            found = _over_pairs(measured[name][0], facts[:, column])
            label = f"{name}_by_{fact.replace(' ', '_')}"
            rows += estimate_rows(label, found, f"rank correlation of {name} and {fact} over pairs", len(facts))
    return rows


def across_checkpoints(scored: Scored) -> list[Metric]:
    """What the weights know about the pictures of all checkpoints (K, N).

    `all_error_by_q`: rank correlation over all pictures; `same_pair_error_by_q`: mean over pairs of the correlation
    among the pictures of that pair, where nothing but the checkpoint differs.
    """
    rows: list[Metric] = []
    for kind in ERRORS:
        for name in WEIGHTS:
            weight, error = scored.weights[name], scored.errors[kind]
            n = weight.size
            every = bootstrap(
                lambda i, w=weight, e=error: spearman(w[:, i].ravel(), e[:, i].ravel()),  # type: ignore[misc]
                weight.shape[1],
            )
            rows += estimate_rows(f"all_{kind}_by_{name}", every, "rank correlation, pictures of all checkpoints", n)
            columns = column_correlations(weight, error)
            within = bootstrap(lambda i, c=columns: float(c[i].mean()), len(columns))  # type: ignore[misc]
            protocol = "rank correlation over the checkpoints of a pair, mean over pairs"
            rows += estimate_rows(f"same_pair_{kind}_by_{name}", within, protocol, n)
    return rows


def means(prefix: str, weights: Mapping[str, FloatArray], what: str) -> list[Metric]:
    """Mean weights (N,) of some pictures: `q_of_truth` and so on."""
    rows: list[Metric] = []
    for name in WEIGHTS:
        values = weights[name]
        found = bootstrap(lambda i, v=values: float(v[i].mean()), len(values))  # type: ignore[misc]
        rows += estimate_rows(
            f"{name}_of_{prefix}", found, f"mean over pairs; pictures: {what}", len(values), backend="none"
        )
    return rows
