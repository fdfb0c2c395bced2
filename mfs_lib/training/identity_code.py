"""Teaches the injection network's code who people are, before any picture is drawn.

Who a sampled person is, is known exactly: the face world's identity code. A linear head must read it from the network's
code; only sources' features are needed, no pictures, so this takes a minute and saves the student from finding out by
way of pixels. The head is thrown away.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from tqdm import tqdm

from mfs_lib.errors import ConfigError
from mfs_lib.networks.injection import IdentityInjectionNetwork
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
    iin: IdentityInjectionNetwork, bank: IdentityBank, codes: Tensor, *, steps: int, generator: torch.Generator
) -> float:
    """Fit the code to `codes` (K, D) of the bank's first K pictures; returns R squared on people held out.

    Raises:
        ConfigError: the network has no code.
    """
    if iin.code is None:
        raise ConfigError("this network has no identity code to learn: set code_dim, or code_steps to 0")
    head = nn.Linear(iin.code.out_features, codes.shape[1])
    goal = codes / codes.std()
    people, kept = _kept(codes)
    modules = (iin.predictor.first, iin.predictor.norm, iin.code, head)
    parameters = [p for m in modules for p in m.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps + 1)

    def read(index: Tensor) -> Tensor:
        code = iin.identity_code(iin.predictor.hidden(bank[index]))
        assert code is not None
        seen: Tensor = head(code * code.shape[1] ** 0.5)
        return seen

    iin.train()
    for _ in tqdm(range(steps), desc="identity code"):
        person = torch.randint(0, kept, (_BATCH,), generator=generator)
        index = person + people * torch.randint(0, 2, (_BATCH,), generator=generator)
        loss = (read(index) - goal[index]).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    iin.eval()
    with torch.no_grad():
        held = torch.arange(kept, people)
        return explained(torch.cat([read(part) for part in torch.split(held, _BATCH)]), goal[held])
