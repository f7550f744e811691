"""The existence argument of He et al. 2015, Sec. 1, carried out: a deeper net that computes what a
trained shallower one does; "the added layers are identity mapping, and the other layers are copied
from the learned shallower model".

A plain block is the identity where its convs are Dirac and its batch norms undo themselves: its
inputs come out of a ReLU, so both ReLUs pass them. A residual block is where its last batch norm
gives 0.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from degradation.nets.resnet import Block, ResNet, blocks_per_stage


def copy_and_extend(shallow: ResNet, deep: ResNet) -> list[Block]:
    """Fills `deep` with the layers of `shallow`, and each stage's end with identity blocks, which
    are returned. In eval mode the two nets are then the same function, bit for bit.
    """
    deep.stem.load_state_dict(shallow.stem.state_dict())
    deep.linear.load_state_dict(shallow.linear.state_dict())
    added = []
    for ours, theirs in zip(_stages(deep), _stages(shallow), strict=True):
        for block, copied in zip(ours, theirs, strict=False):
            block.load_state_dict(copied.state_dict())
        added += ours[len(theirs) :]
    for block in added:
        make_identity(block)
    return added


def _stages(model: ResNet) -> list[list[Block]]:
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    counts = blocks_per_stage(2 * len(blocks) + 2)
    ends = [sum(counts[:stage]) for stage in range(len(counts) + 1)]
    return [blocks[start:end] for start, end in pairwise(ends)]


@torch.no_grad()
def make_identity(block: Block) -> None:
    """A residual block by F(x) = 0, its first conv as it is initialised; a plain one by Dirac convs
    and, in eval mode exactly, neutral batch norms.
    """
    if block.shortcut is not None:
        assert isinstance(block.shortcut, nn.Identity)
        nn.init.zeros_(block.norm2.weight)  # type: ignore[arg-type]
        return
    for conv, norm in ((block.conv1, block.norm1), (block.conv2, block.norm2)):
        nn.init.dirac_(conv.weight)
        neutralise(norm)


@torch.no_grad()
def neutralise(norm: nn.Module) -> None:
    """Running variance 1 - eps: the division is by sqrt(1 - eps + eps) = 1."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    norm.reset_parameters()  # weight 1, bias 0, running mean 0
    norm.running_var.fill_(1 - norm.eps)


@torch.no_grad()
def calibrate(model: ResNet, blocks: list[Block], images: Tensor) -> None:
    """weight = sqrt(var + eps) and bias = mean of what each batch norm of plain blocks sees in
    train mode, which become its running statistics too: the identity in both modes, in train mode
    on these images (B, 3, P, P), nearly so on others.
    """
    wanted = [norm for block in blocks for norm in (block.norm1, block.norm2)]
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    hooks = [norm.register_forward_pre_hook(_calibrate) for norm in wanted]
    try:
        model.train()(images)
    finally:
        for hook in hooks:
            hook.remove()
    calibrated = {id(buffer) for norm in wanted for buffer in norm.buffers()}
    for name, buffer in model.named_buffers():
        if id(buffer) not in calibrated:
            buffer.copy_(kept[name])
    model.train()


def _calibrate(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None
    assert norm.running_mean is not None
    var, mean = torch.var_mean(inputs[0].double(), (0, 2, 3), correction=0)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(var)
    norm.weight.copy_((var + norm.eps).sqrt())
    norm.bias.copy_(mean)
    norm.eval()  # so that this pass does not move what it has just been given
