"""Parts shared by the networks. Legend: B batch, C channels, H W image or feature size."""

import torch.nn.functional as F
from torch import Tensor, nn

_SURROUNDINGS_PX = 7


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution whose output is the input's size divided by `stride`."""
    return nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=kernel // 2)


def mirrored_conv(channels_in: int, channels_out: int, kernel: int) -> nn.Conv2d:
    """Return a convolution without bias that mirrors its input at the borders."""
    return nn.Conv2d(
        channels_in,
        channels_out,
        kernel,
        padding=kernel // 2,
        padding_mode="reflect",
        bias=False,
    )


class ResidualBlock(nn.Module):
    """`x + conv(relu(conv(x)))`, 3x3, no normalisation; `mirrored` as in `mirrored_conv`."""

    def __init__(self, channels: int, *, mirrored: bool = False) -> None:
        super().__init__()
        make = mirrored_conv if mirrored else conv
        self.conv1 = make(channels, channels, 3)
        self.conv2 = make(channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        """B C H W to the same."""
        return features + self.conv2(F.relu(self.conv1(features), inplace=True))


def detail(image: Tensor) -> Tensor:
    """Return what of B C H W is not in the mean of its surroundings: the same shape."""
    surroundings = F.avg_pool2d(
        image, _SURROUNDINGS_PX, stride=1, padding=_SURROUNDINGS_PX // 2, count_include_pad=False
    )
    return image - surroundings


def initialise(module: nn.Module) -> None:
    """Give convolutions the variance that keeps a network without normalisation level; biases zero.

    Variance 1/fan-in (LeCun et al. 1998, section 4.6): with sums over skips and the positive means
    that ReLUs leave, the 2/fan-in of He et al. 2015 makes MIMO-UNet's features grow a hundredfold.
    The second convolution of a residual block is divided by the square root of the number of blocks
    chained with it (after Zhang et al. 2019, Fixup), so that a stage does not grow with its depth.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            fan_in = part.in_channels * part.weight[0, 0].numel()
            if isinstance(part, nn.ConvTranspose2d):
                # each output pixel meets only every stride-th row and column of the kernel
                fan_in /= part.stride[0] ** 2
            nn.init.normal_(part.weight, std=fan_in**-0.5)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for stage in module.modules():
        if isinstance(stage, nn.Sequential):
            blocks = [block for block in stage if isinstance(block, ResidualBlock)]
            for block in blocks:
                block.conv2.weight.data.div_(len(blocks) ** 0.5)


def zero(*convolutions: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Zero the weights and biases: a network that adds this output to its input is the identity."""
    for convolution in convolutions:
        nn.init.zeros_(convolution.weight)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
