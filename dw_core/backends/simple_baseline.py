"""SimpleBaseline with ResNet-152 in torch: 384x384 crops to 96x96 heatmaps, the paper's 2D network.

Sources: Xiao, Wu, Wei, "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018; He et al., "Deep
Residual Learning for Image Recognition", CVPR 2016, with the stride in the 3x3 convolution. The parameters
are named as in the public code bases, so that checkpoints of those load.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from dw_core.errors import AssetError

BLOCKS = (3, 8, 36, 3)  # ResNet-152
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
DECONVOLUTIONS, DECONVOLUTION_WIDTH = 3, 256
# A convolution, the pooling and three stages halve the image, three deconvolutions double it.
INPUT_STEP, INPUT_PER_CELL = 32, 4
# Of ImageNet, RGB in [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            convolution = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, C, h, w) to (N, 4 width, h / stride, w / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return functional.relu(self.bn3(self.conv3(y)) + shortcut)


class SimpleBaseline(nn.Module):
    """The whole network for J joints, with random weights."""

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        channels = WIDTHS[0]
        stages = []
        for width, blocks in zip(WIDTHS, BLOCKS, strict=True):
            stride = 1 if width == WIDTHS[0] else 2
            first = Bottleneck(channels, width, stride)
            channels = width * EXPANSION
            rest = (Bottleneck(channels, width, 1) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *rest))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        layers: list[nn.Module] = []
        for _ in range(DECONVOLUTIONS):
            layers += [
                nn.ConvTranspose2d(channels, DECONVOLUTION_WIDTH, 4, 2, 1, bias=False),
                nn.BatchNorm2d(DECONVOLUTION_WIDTH),
                nn.ReLU(),
            ]
            channels = DECONVOLUTION_WIDTH
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels, joints, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, s, s) as `normalise` gives them, s a multiple of 32, to heatmaps (N, J, s/4, s/4)."""
        x = functional.relu(self.bn1(self.conv1(images)))
        x = functional.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        maps: Tensor = self.final_layer(self.deconv_layers(x))
        return maps


def normalise(images: Tensor) -> Tensor:
    """RGB images (N, s, s, 3) of uint8 as what the network takes: (N, 3, s, s) float32."""
    # by numbers, not tensors made here: nothing may be uploaded while a CUDA graph is captured
    planes = zip(images.unbind(-1), MEAN, STD, strict=True)
    return torch.stack([(plane - 255 * mean) / (255 * std) for plane, mean, std in planes], 1)


def load_simple_baseline(path: Path, joints: int) -> SimpleBaseline:
    """The network with a checkpoint's weights, in evaluation mode.

    The file is a state dict, or holds one as "state_dict"; names may carry the "module." of a parallel
    training. Raises AssetError when it is none of this network for so many joints.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise AssetError(f"SimpleBaseline weights {path} do not exist, expected a torch checkpoint") from None
    except Exception as error:  # torch.load's exceptions share no narrower base
        reason = str(error).splitlines()[0]
        raise AssetError(f"SimpleBaseline weights {path} cannot be read as a checkpoint: {reason}") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state)
    if not isinstance(state, dict):
        raise AssetError(
            f"SimpleBaseline weights {path} hold a {type(state).__name__}, expected a state dict"
        )
    network = SimpleBaseline(joints)
    try:
        network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise AssetError(
            f"SimpleBaseline weights {path} are not those of ResNet-152 with {joints} joints: {reason}"
        ) from error
    return network.eval()
