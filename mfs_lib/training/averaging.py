"""The exponential moving average of a network's weights: steadier than the weights of any one step."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move the average's weights and statistics towards the network's by the share 1 - `decay`; 0 copies them.

    In the first steps the decay is smaller, so that the random beginning is soon forgotten: (1 + step) / (10 + step).
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_([*average.parameters()], [*network.parameters()], 1 - decay)
    for kept, new in zip(average.buffers(), network.buffers(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
