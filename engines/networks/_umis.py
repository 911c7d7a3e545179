"""UMIS: a nested U-Net whose features say how sharp each pixel of a plane is.

Trained as an auto-encoder, without truth. Source: UMIS-Fusion, on UNet++ (Zhou et al. 2018).
Must not know of files, ONNX, runners or training, nor of what is done with the activity: windows,
argmax and majority are the pipeline's.
"""

from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d, pad

from zfuse.engines.networks._blocks import conv, he_start

_FILTERS = (16, 16, 32, 32, 64)
_LEVELS = len(_FILTERS)


class _Block(nn.Module):
    """conv 7x7, BN, ReLU6, conv 7x7, BN, channel attention, ReLU6.

    No bias before a batch norm: it would be subtracted again.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.body = nn.Sequential(
            conv(channels_in, channels, 7, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU6(),
            conv(channels, channels, 7, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.attention = nn.Sequential(
            nn.Linear(channels, channels // 2, bias=False),
            nn.GELU(),
            nn.Linear(channels // 2, channels, bias=False),
            nn.Sigmoid(),
        )
        self.activation = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Scale each image of the batch by its own attention, as published."""
        features = self.body(x)
        scales = self.attention(features.mean((2, 3)))
        out: Tensor = self.activation(features * scales[:, :, None, None])
        return out

    def shared(self, x: Tensor, given: Tensor, measure: Tensor) -> tuple[Tensor, Tensor]:
        """Scale the whole batch alike: by the given attention (channels,), or the batch's own."""
        features = self.body(x)
        measured = self.attention(features.mean((0, 2, 3)))
        scales = torch.where(measure, measured, given.to(measured.dtype))
        return self.activation(features * scales[:, None, None]), scales


class Umis(nn.Module):
    """UMIS-Fusion's network: features by a nested U-Net, their activity, a decoder to train it.

    The published attention pools over the image it is given, so tiles of one plane would be scaled
    differently and show seams. Here it is measured once (``measure`` true) on a sample that stands
    for the stack, returned as one flat vector, and given to every tile (``measure`` false): the
    network is then a plain convolution with a finite receptive field, and tiles agree. For the same
    reason up-sampling does not align corners: as published it does, and drifts with a tile's size.
    """

    name: ClassVar[str] = "umis"
    multiple: ClassVar[int] = 2 ** (_LEVELS - 1)
    # From the layers, for a core aligned to 16: 298. Measured at the start: 240 px leave 0.02 to
    # 0.05 % of the effect outside, 112 px 5 to 10 %: the deep levels do count.
    halo: ClassVar[int] = 240
    output_names: ClassVar[tuple[str, ...]] = ("activity", "attention_out")
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        "plane": {0: "batch", 2: "height", 3: "width"},
        "activity": {0: "batch", 2: "height", 3: "width"},
    }

    def __init__(self) -> None:
        super().__init__()
        # blocks["i_j"] is UNet++'s node X^(i,j): level i, j-th from the left. It reads its row's
        # earlier nodes and the node below left, enlarged. The dictionary's order is the forward's.
        self.blocks = nn.ModuleDict()
        for j in range(_LEVELS):
            for i in range(_LEVELS - j):
                if j == 0:
                    channels_in = _FILTERS[i - 1] if i else 1
                else:
                    channels_in = j * _FILTERS[i] + _FILTERS[i + 1]
                self.blocks[f"{i}_{j}"] = _Block(channels_in, _FILTERS[i])
        self.decoder = nn.Sequential(
            conv(_FILTERS[0], 16, 7),
            nn.ReLU(),
            conv(16, 8, 7),
            nn.ReLU(),
            conv(8, 4, 7),
            nn.ReLU(),
            # Linear: a tanh would have to saturate on the black background (-1) of most stacks.
            conv(4, 1, 7),
        )
        he_start(self)

    @property
    def attention_size(self) -> int:
        """Length A of the attention vector: the channels of all blocks, in forward order."""
        return sum(block.channels for block in self._ordered())

    def forward(self, plane: Tensor, attention: Tensor, measure: Tensor) -> tuple[Tensor, Tensor]:
        """Return how sharp every pixel is.

        Parameters
        ----------
        plane
            (N, 1, H, W) float, scaled to -1..1; H and W multiples of 16.
        attention
            (A,) float, the scales to use; read only where `measure` is false.
        measure
            () bool. True: compute the scales from this call, over all its planes together.

        Returns
        -------
        activity
            (N, 1, H, W), >= 0: the gradients' magnitude, summed over the 16 features. Not windowed.
        attention
            (A,), the scales used.
        """
        given = iter(torch.split(attention, [block.channels for block in self._ordered()]))
        used: list[Tensor] = []

        def node(block: _Block, x: Tensor) -> Tensor:
            out, scales = block.shared(x, next(given), measure)
            used.append(scales)
            return out

        features = self._features(plane, node)
        # Replicated, not zero, outside: at the border the gradient is 0 rather than the brightness.
        grown = pad(features, (1, 0, 1, 0), mode="replicate")
        across, down = grown[:, :, 1:, :-1] - features, grown[:, :, :-1, 1:] - features
        activity = (across.square() + down.square()).sqrt().sum(1, keepdim=True)
        return activity, torch.cat(used)

    def reconstruct(self, plane: Tensor) -> Tensor:
        """Return planes (N, 1, H, W) through the auto-encoder, each with its own attention."""
        out: Tensor = self.decoder(self._features(plane, lambda block, x: block(x)))
        return out

    def _features(self, plane: Tensor, node: Callable[[_Block, Tensor], Tensor]) -> Tensor:
        rows: list[list[Tensor]] = [[] for _ in _FILTERS]
        blocks = iter(self._ordered())
        for j in range(_LEVELS):
            for i in range(_LEVELS - j):
                if j:
                    below = rows[i + 1][j - 1]
                    larger = interpolate(
                        below, scale_factor=2.0, mode="bilinear", align_corners=False
                    )
                    x = torch.cat([*rows[i], larger], 1)
                else:
                    x = max_pool2d(rows[i - 1][0], 2) if i else plane
                rows[i].append(node(next(blocks), x))
        return rows[0][-1]

    def _ordered(self) -> list[_Block]:
        return [block for block in self.blocks.values() if isinstance(block, _Block)]

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        return {
            "plane": torch.rand(2, 1, 64, 48) * 2 - 1,
            "attention": torch.full((self.attention_size,), 0.5),
            "measure": torch.tensor(False),
        }

    def graphs(self) -> dict[str, Self]:
        """Return the graphs to export, by file name: one."""
        return {self.name: self}
