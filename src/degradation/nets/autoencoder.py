"""The small convolutional autoencoder for MNIST that tutorials copy from one another, with and
without a shortcut from its input to its output.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from degradation.nets.initial import fill


class Autoencoder(nn.Module):
    """Two convs of 16 and 4 channels, each with a max pool; two transposed convs back; a sigmoid.

    With the shortcut the output is sigmoid(...) + x, so it copies its input where the sigmoid is 0.
    """

    def __init__(self, residual: bool, init: str = "torch"):
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 4, 3, padding=1)
        self.up1 = nn.ConvTranspose2d(4, 16, 2, stride=2)
        self.up2 = nn.ConvTranspose2d(16, 1, 2, stride=2)
        for conv in (self.conv1, self.conv2):
            fill(conv, init)

    def forward(self, x: Tensor) -> Tensor:  # (B, 1, 28, 28)
        y = F.max_pool2d(F.relu(self.conv1(x)), 2)  # (B, 16, 14, 14)
        y = F.max_pool2d(F.relu(self.conv2(y)), 2)  # (B, 4, 7, 7)
        y = F.relu(self.up1(y))  # (B, 16, 14, 14)
        y = F.sigmoid(self.up2(y))  # (B, 1, 28, 28)
        return y + x if self.residual else y

    def loss(self, output: Tensor, x: Tensor) -> Tensor:
        """Mean squared error of the reconstruction."""
        return F.mse_loss(output, x)
