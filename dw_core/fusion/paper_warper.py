"""The paper's Warper in torch, with a deformable convolution of its own.

Sources: DenseWarper (ICLR 2026); PoseWarper (Bertasius et al., NeurIPS 2019), whose network it is;
Dai et al., "Deformable Convolutional Networks", ICCV 2017. 7.878 M parameters for 20
joints at its full width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dw_core.fusion.paper_warper_onnx import DILATIONS

BLOCKS = 20
WIDTH = 128
TAPS = 9  # of a 3x3 kernel


def deform_conv2d(x: Tensor, offsets: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """3x3 deformable convolution, stride 1, padding = dilation, one offset group per input channel.

    x (N, C, h, w); offsets (N, 18 C, h, w) in cells, per channel and tap (dy, dx), taps row by row, as
    in ONNX's DeformConv; weight (O, C, 3, 3). Returns (N, O, h, w). Samples outside of x are zero.
    Places are computed in float32 or better whatever the maps are: half precision knows no half cells at 64.
    """
    N, C, h, w = x.shape
    wide = torch.promote_types(x.dtype, torch.float32)
    y0 = torch.arange(h, device=x.device, dtype=wide)[:, None].expand(h, w)
    x0 = torch.arange(w, device=x.device, dtype=wide)[None, :].expand(h, w)
    tap = torch.arange(-1, 2, device=x.device, dtype=wide) * dilation
    dy, dx = (one.reshape(TAPS, 1, 1) for one in torch.meshgrid(tap, tap, indexing="ij"))
    shift = offsets.to(wide).reshape(N * C, TAPS, 2, h, w)
    at_y, at_x = shift[:, :, 0] + dy + y0, shift[:, :, 1] + dx + x0
    # -1 to 1 over the outer edges: that of the centres is no interval where there is one cell
    grid = torch.stack(((2 * at_x + 1) / w - 1, (2 * at_y + 1) / h - 1), -1)
    grid = grid.reshape(N * C, TAPS * h, w, 2)
    sampled = functional.grid_sample(x.reshape(N * C, 1, h, w).to(wide), grid, align_corners=False)
    sampled = sampled.to(x.dtype).reshape(N, C * TAPS, h, w)
    return functional.conv2d(sampled, weight.reshape(len(weight), C * TAPS, 1, 1))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al., "Deep Residual Learning", CVPR 2016)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, channels, h, w) to (N, width, h, w)."""
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class PaperWarper(nn.Module):
    """Warps a stale raw heatmap to the target time, led by what spatial fusion changed in it."""

    def __init__(self, joints: int, width: int = WIDTH) -> None:
        super().__init__()
        self.joints = joints
        widths = (joints,) + (width,) * BLOCKS
        self.blocks = nn.Sequential(*(BasicBlock(a, b) for a, b in zip(widths, widths[1:], strict=False)))
        self.offsets = nn.ModuleList(
            nn.Conv2d(width, joints * 2 * TAPS, 3, padding=d, dilation=d, bias=False) for d in DILATIONS
        )
        self.weights = nn.ParameterList(torch.zeros(joints, joints, 3, 3) for _ in DILATIONS)
        self.start_as_identity()

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Zero offsets and an identity kernel: the output is the raw map (PoseWarper's initialisation)."""
        for offset in self.offsets.parameters():
            offset.zero_()
        for weight in self.weights:
            weight.zero_()
            weight[range(self.joints), range(self.joints), 1, 1] = 1.0

    def forward(self, difference: Tensor, raw: Tensor) -> Tensor:
        """difference = fused - raw and raw, both (N, J, h, w); returns the warped map (N, J, h, w)."""
        features = self.blocks(difference)
        warped = [
            deform_conv2d(raw, offset(features), weight, d)
            for offset, weight, d in zip(self.offsets, self.weights, DILATIONS, strict=True)
        ]
        return torch.stack(warped).mean(0)
