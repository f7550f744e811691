"""SGD and Adam, and the learning rate as a pure function of the iteration."""

import inspect

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


class SGD(torch.optim.SGD):
    """PyTorch's own, without the wrappers that import torch.compile's front end at their first
    call, which takes longer than the rest of a start.
    """

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


def build_optimizer(model: nn.Module, cfg: OptimConfig) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam; weight decay on all parameters, biases included (Sec. 3.4)."""
    device = next(model.parameters()).device
    if cfg.name == "adam":
        betas = (cfg.momentum, 0.999)
        return torch.optim.Adam(
            model.parameters(), lr=cfg.lr, betas=betas, weight_decay=cfg.weight_decay
        )
    return SGD(
        model.parameters(),
        lr=cfg.lr,
        momentum=cfg.momentum,
        weight_decay=cfg.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
