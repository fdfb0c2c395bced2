"""Teaches the injection network's code who people are, before any picture is drawn.

Who a sampled person is, is known exactly: the face world's identity code. A linear head must read it from the network's
code; only sources' features are needed, no pictures, so this takes minutes and saves the student from finding out by
way of pixels. The head is thrown away, and the code stays as it is from then on: pixels would make it forget people
whom it doesn't draw.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from tqdm import tqdm

from mfs_lib.networks.identity_code import IdentityCode
from mfs_lib.training.pools import IdentityBank

_BATCH, _RATE = 48, 2e-3
_HELD_OUT = 0.05


def explained(seen: Tensor, truth: Tensor) -> float:
    """Share of the variance of `truth` (N, D) that `seen` (N, D) explains (R squared, all entries together)."""
    return float(1 - (seen - truth).square().sum() / (truth - truth.mean(0)).square().sum())


def _kept(codes: Tensor) -> tuple[int, int]:
    """People whom the bank shows (person p at p and at K / 2 + p), and how many of them are learned from."""
    people = len(codes) // 2
    return people, max(1, min(people - 1, int(people * (1 - _HELD_OUT))))


def explained_by_embedding(bank: IdentityBank, codes: Tensor) -> float:
    """R squared of the best linear map from the embedding alone to `codes` (K, D), on people held out."""
    people, kept = _kept(codes)
    known = torch.cat([bank.embedding, torch.ones(len(bank), 1)], 1)
    learned = torch.cat([torch.arange(kept), people + torch.arange(kept)])
    weights = torch.linalg.lstsq(known[learned], codes[learned], driver="gelsd").solution
    return explained(known[kept:people] @ weights, codes[kept:people])


def learn_code(
    network: IdentityCode, bank: IdentityBank, codes: Tensor, *, steps: int, generator: torch.Generator
) -> float:
    """Fit the code to `codes` (K, D) of the bank's first K pictures and freeze it; returns R squared on people held out."""
    head = nn.Linear(network.code.out_features, codes.shape[1])
    goal = codes / codes.std()
    people, kept = _kept(codes)
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps + 1)

    def read(index: Tensor) -> Tensor:
        code = network(bank[index].feature_map)
        seen: Tensor = head(code * code.shape[1] ** 0.5)
        return seen

    network.train().requires_grad_(True)
    for _ in tqdm(range(steps), desc="identity code"):
        person = torch.randint(0, kept, (_BATCH,), generator=generator)
        index = person + people * torch.randint(0, 2, (_BATCH,), generator=generator)
        loss = (read(index) - goal[index]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    network.eval().requires_grad_(False)
    with torch.no_grad():
        held = torch.arange(kept, people)
        return explained(torch.cat([read(part) for part in torch.split(held, _BATCH)]), goal[held])
