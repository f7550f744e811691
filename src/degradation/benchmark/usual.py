"""The training script most people start from: what the project's own loop is measured against."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

WORKERS = 2
"""The number such scripts have, and the number of cores the targets are for."""


def batches(root: Path, batch_size: int, workers: int = WORKERS) -> Iterator[tuple[Tensor, Tensor]]:
    """Epoch after epoch of CIFAR-10 through PIL; `root` holds cifar-10-batches-py/."""
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ]
    )
    with warnings.catch_warnings():  # of new NumPys, about the pickles of an old one
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        images = datasets.CIFAR10(str(root), train=True, transform=transform)
    loader = DataLoader(images, batch_size=batch_size, shuffle=True, num_workers=workers)
    while True:
        yield from loader


def train(model: nn.Module, data: Iterator[tuple[Tensor, Tensor]], every: int) -> Iterator[float]:
    """Takes `every` steps and yields their mean loss, again and again; `.item()` twice a step."""
    device = next(model.parameters()).device
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    model.train()
    while True:
        running_loss, correct = 0.0, 0
        for _ in range(every):
            inputs, targets = (tensor.to(device) for tensor in next(data))
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            correct += (outputs.argmax(1) == targets).sum().item()
        yield running_loss / every
