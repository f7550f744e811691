"""SGD, and the learning rate as a pure function of the iteration."""

import torch
from torch import nn

from degradation.config import OptimConfig, ScheduleConfig


def learning_rate(iteration: int, base_lr: float, depth: int, cfg: ScheduleConfig) -> float:
    """The rate of step `iteration`, counted from 0: a milestone m changes the rate from the step
    after m steps on.
    """
    lr = base_lr
    for milestone in cfg.milestones:
        if iteration >= milestone:
            lr *= cfg.gamma
    if depth < cfg.warmup_min_depth or iteration >= cfg.warmup_iterations or cfg.warmup == "none":
        return lr
    if cfg.warmup == "constant":
        return cfg.warmup_lr
    return lr * (iteration + 1) / cfg.warmup_iterations


def build_optimizer(model: nn.Module, cfg: OptimConfig) -> torch.optim.SGD:
    """SGD with momentum; weight decay on all parameters, biases included (Sec. 3.4)."""
    device = next(model.parameters()).device
    return torch.optim.SGD(
        model.parameters(),
        lr=cfg.lr,
        momentum=cfg.momentum,
        weight_decay=cfg.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
