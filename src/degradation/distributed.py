"""Several processes that make one run, as `torchrun` starts them: each takes its part of every
batch, the first keeps the record. In a single process all of this does nothing.

Averaging the gradients is PyTorch's DistributedDataParallel. What it leaves open is here: the run
is the one that a single process makes with the same config, up to rounding.
"""

import contextlib
import copy
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from degradation import stopping
from degradation.config import Config, ConfigError

Made = TypeVar("Made")


class ProcessLost(ConnectionError):
    """Another process of this run has ended, or does not answer."""


def launched() -> int:
    """Processes that torchrun has started, of which this is one; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if stopping.TORCHRUN in os.environ else 1


def size() -> int:
    """Processes that make this run."""
    return dist.get_world_size() if _is_joined() else 1


def rank() -> int:
    """Which of them this one is: the first, 0, writes the record, the checkpoint and W&B, and
    prints.
    """
    return dist.get_rank() if _is_joined() else 0


def _is_joined() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """A block in which the processes know of each other. Raises ProcessLost."""
    if launched() == 1:
        yield
        return
    # what the host decides by goes over gloo beside a GPU too, so that no step waits for the GPU
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
        dist.all_reduce(torch.zeros(()))  # one that ends while another still talks to it may abort
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost(
            f"process {rank()} of {size()}: another process of this run has ended or does not "
            "answer; the same command continues from the last checkpoint"
        ) from error
    dist.destroy_process_group()  # not after an error: it could wait for one that is gone


def leave(status: int) -> None:
    """Ends the process if it is one of several, without the interpreter's own end, in which some
    were aborted after all was done: presumably by a thread of gloo's that asked for the interpreter
    then.
    """
    if launched() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def refuse_sweep() -> None:
    """Raises ConfigError."""
    if launched() > 1:
        raise ConfigError(
            f"torchrun: {launched()} processes for a sweep (-m, or an experiment with its own "
            "axes); accepted: one run"
        )


def local_device(name: str) -> str:
    """`hardware.device` as this process has it: a GPU for each. Raises ConfigError."""
    if size() == 1:
        return name
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"hardware.device: {name!r} for {size()} processes; accepted: auto, cpu, cuda"
        )
    if name == "cpu" or not (torch.cuda.is_available() or name == "cuda"):
        return "cpu"
    gpus, here = torch.cuda.device_count(), int(os.environ["LOCAL_WORLD_SIZE"])
    if gpus < here:
        raise ConfigError(
            f"hardware.device: {name!r}, {here} processes on a machine with {gpus} GPUs; "
            "accepted: cpu, or --nproc_per_node of at most that many"
        )
    return f"cuda:{os.environ['LOCAL_RANK']}"


def check_config(cfg: Config, device: torch.device) -> None:
    """Raises ConfigError for a batch that cannot be spread, or normalised where it then is."""
    if size() == 1:
        return
    if (kernels := cfg.hardware.batch_norm_kernels) != "library":
        key = "hardware.batch_norm_kernels"
        raise ConfigError(f"{key}: {kernels!r}; accepted: library with several processes")
    batch, group, processes = cfg.trainer.batch_size, cfg.model.bn_group_size, size()
    if batch % processes:
        raise ConfigError(
            f"trainer.batch_size: {batch}; accepted: a multiple of the {processes} processes"
        )
    if cfg.model.net != "resnet" or not cfg.model.batch_norm:
        return
    mine, on_cuda = batch // processes, device.type == "cuda"
    over = f"{mine}, the images of each process (trainer.batch_size={batch} over {processes})"
    if group and mine % group:
        zero = "0 or " if on_cuda else ""
        raise ConfigError(f"model.bn_group_size: {group}; accepted: {zero}a divisor of {over}")
    if not group and not on_cuda:  # PyTorch has SyncBatchNorm for CUDA only
        raise ConfigError(
            f"model.bn_group_size: 0, the whole batch over {processes} processes, which needs "
            f"CUDA; accepted on {device.type}: a divisor of {over}"
        )


def share(values: Tensor, batch_size: int) -> Tensor:
    """(steps * batch_size, ...) -> (steps * batch_size / processes, ...): this process's part of
    each batch.
    """
    if size() == 1:
        return values
    batches = values.view(-1, size(), batch_size // size(), *values.shape[1:])
    return batches[:, rank()].flatten(0, 1)


def part(values: Tensor) -> Tensor:
    """This process's part of any number of images, which may be none."""
    return torch.tensor_split(values, size())[rank()] if size() > 1 else values


def total(value: Tensor) -> Tensor:
    """The sum over the processes."""
    if size() > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


def mean(value: Tensor) -> Tensor:
    """The mean over the processes."""
    return total(value) / size() if size() > 1 else value


def check() -> None:
    """Between two steps, in all processes at the same one: a signal to any of them stops all. Costs
    an exchange of one number among the hosts. Raises Stopped.
    """
    if size() > 1:
        stopped = stopping.noted()
        sign = torch.tensor(stopped.status - 128 if stopped else 0)
        dist.all_reduce(sign, dist.ReduceOp.MAX)
        if sign:
            stopping.note(signal.Signals(int(sign)))
    stopping.check()


def from_first(make: Callable[[], Made]) -> Made:
    """What the first process makes, for all of them; what it raises, all raise."""
    if size() == 1:
        return make()
    sent: list[Any] = [b"", None]
    if rank() == 0:
        buffer = io.BytesIO()
        try:
            torch.save(make(), buffer)
            sent[0] = buffer.getvalue()
        except Exception as error:
            sent[1] = error
    dist.broadcast_object_list(sent, device=torch.device("cpu"))
    if sent[1] is not None:
        raise sent[1]
    # numbers, text and tensors; one of the first one's GPU comes to the CPU
    made: Made = torch.load(io.BytesIO(sent[0]), map_location="cpu", weights_only=True)
    return made


def adopt(*parts: Any) -> None:
    """Gives modules and optimizers the state they have in the first process."""
    for each in parts if size() > 1 else ():
        state = from_first(each.state_dict)
        if rank():
            each.load_state_dict(state)


def parallel(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The model, as a training step calls it."""
    return Parallel(model) if size() > 1 else model


class Parallel:
    """A net that each process applies to its part of the batch; gradients are averaged on the way
    back.

    It is a copy that shares weights and statistics with the net, which stays what it is in one
    process: nobody waits where one process alone measures it. DistributedDataParallel reorders its
    buckets after the first step, so with more than two processes a continued run may differ in the
    last bit.
    """

    def __init__(self, model: nn.Module):
        shared: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
        copied = copy.deepcopy(model, shared).train()
        norms = [layer for layer in copied.modules() if isinstance(layer, nn.BatchNorm2d)]
        self._norms: list[Any] = [layer for layer in norms if hasattr(layer, "group_size")]
        if len(self._norms) < len(norms):  # over the whole batch, and so are its running statistics
            copied = nn.SyncBatchNorm.convert_sync_batchnorm(copied)  # type: ignore[no-untyped-call]
        pairs = [(layer.running_mean, layer.running_var) for layer in self._norms]
        # `.data`: the backward pass holds them without a look at them, and must not mind a change
        self._running = [each.data for pair in pairs for each in pair]
        self._net = DistributedDataParallel(copied, broadcast_buffers=False)

    def __call__(self, images: Tensor) -> Tensor:
        """images: (B, C, P, P), this process's."""
        if self._norms and rank():  # what was there before is in the first one's
            torch._foreach_zero_(self._running)
        output: Tensor = self._net(images)
        if self._norms:
            self._gather_statistics(len(images))
        return output

    def _gather_statistics(self, images: int) -> None:
        """Running statistics as if one process had normalised all groups in their order: each group
        after those of this process leaves a share of `1 - momentum` of what was there.
        """
        groups = images // self._norms[0].group_size
        keep = (1 - self._norms[0].momentum) ** (groups * (size() - 1 - rank()))
        running = torch.cat(self._running) * keep
        dist.all_reduce(running)
        torch._foreach_copy_(self._running, torch.split(running, [len(t) for t in self._running]))
        for layer in self._norms:
            layer.num_batches_tracked.add_(groups * (size() - 1))
