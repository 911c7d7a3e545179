"""PDMNet: wavelet-domain focal stack fusion as a fold that does not care about the order of planes.

Our design inside the published description (ICDSA 2024: a wavelet transform in the network,
focused regions of several inputs encoded, features merged, the image reconstructed):

    survey       every plane's features, from its Haar sub-bands; kept are their maximum and sum
    merge        every plane again: features beside the pooled ones give logits; the sub-bands of
                 all planes are averaged with softmax weights, one map of weights a band
    reconstruct  a decoder corrects the merged sub-bands, knowing the noise that is left in them;
                 the inverse transform ends it

Logits are bounded, so the softmax over planes is plain sums of exponentials: a stack of any length
is one fold, its state a fixed number of maps that begin as zeros. One decision, made on one signal,
serves all channels. Must not know: training, tiles, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PdmNet"]

_BOUND = 8.0  # of logits: e^16 between planes is as good as a choice, and 200 e^8 is no overflow
_TINY = 1e-20  # of a sum of weights: no plane had a value here
_FINE, _COARSE, _DEEP = 24, 48, 64
_DECODER = 48


def haar(image: Tensor) -> tuple[Tensor, Tensor]:
    """Split (N, C, H, W) into means (N, C, H/2, W/2) and details (N, 3C, H/2, W/2).

    Orthonormal Haar wavelets, but the low-pass keeps the mean: values stay in the image's range.
    """
    a, b = image[..., ::2, ::2], image[..., ::2, 1::2]
    c, d = image[..., 1::2, ::2], image[..., 1::2, 1::2]
    low = (a + b + c + d) * 0.25
    details = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], 1) * 0.25
    return low, details


def inverse_haar(low: Tensor, details: Tensor) -> Tensor:
    """Join what `haar` split of one channel: (N, 1, h, w) and (N, 3, h, w) to (N, 1, 2h, 2w)."""
    h, v, d = details[:, :1], details[:, 1:2], details[:, 2:]  # `split` exports as a sequence
    cells = [low + h + v + d, low - h + v - d, low + h - v - d, low - h - v + d]
    return functional.pixel_shuffle(torch.cat(cells, 1), 2)


def noise_deviation(level: Tensor, noise: Tensor) -> Tensor:
    """Return the standard deviation of a pixel at each level: sqrt(gain · level + floor).

    `noise` (N, 2) or (2,) holds gain and floor; `level` is (N, C, H, W).
    """
    gain, floor = noise[..., 0], noise[..., 1]
    shape = (-1, 1, 1, 1)
    return torch.sqrt(functional.relu(gain.reshape(shape) * level + floor.reshape(shape)) + 1e-8)


def _conv(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())


def _down(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 2, 2), nn.ReLU())


def _up(image: Tensor) -> Tensor:
    return functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


class _Encoder(nn.Module):
    """Features of one plane at half and at quarter resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_conv(5, _FINE), _conv(_FINE, _FINE))
        self.coarse = nn.Sequential(_down(_FINE, _COARSE), _conv(_COARSE, _COARSE))

    def forward(self, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        low, details = haar(signal)
        deviation = noise_deviation(low, noise)
        # Details and noise are small beside the range of an image; 8 brings them to its size.
        fine = self.fine(torch.cat([low - 0.5, details * 8, deviation * 8], 1))
        return fine, self.coarse(fine)


class _Chooser(nn.Module):
    """Logits of a plane from its own features and those pooled over all planes.

    Two maps at half resolution: fine details, depth; two at quarter resolution: coarse details,
    means. The coarser a band, the more planes can be averaged in noise. The pooled features are
    brought in by a sum, so what is made of them is made once for all planes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.own_fine = nn.Conv2d(_FINE, _FINE, 1)
        self.own_coarse = nn.Conv2d(_COARSE, _COARSE, 1)
        self.pooled_fine = nn.Conv2d(2 * _FINE, _FINE, 1, bias=False)
        self.pooled_coarse = nn.Conv2d(2 * _COARSE, _COARSE, 1, bias=False)
        self.coarse = _conv(_COARSE, _COARSE)
        self.deep = nn.Sequential(_down(_COARSE, _DEEP), _conv(_DEEP, _DEEP), _conv(_DEEP, _DEEP))
        self.from_deep = nn.Conv2d(_DEEP, _COARSE, 1)
        self.join_coarse = _conv(_COARSE, _COARSE)
        self.from_coarse = nn.Conv2d(_COARSE, _FINE, 1)
        self.join_fine = _conv(_FINE, _FINE)
        self.fine_logits = nn.Conv2d(_FINE, 2, 1)
        self.coarse_logits = nn.Conv2d(_COARSE, 2, 1)

    def context(
        self, fine_top: Tensor, fine_mean: Tensor, coarse_top: Tensor, coarse_mean: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what all planes share."""
        fine = self.pooled_fine(torch.cat([fine_top, fine_mean], 1))
        return fine, self.pooled_coarse(torch.cat([coarse_top, coarse_mean], 1))

    def forward(
        self, own: tuple[Tensor, Tensor], shared: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        fine, coarse = self.own_fine(own[0]) + shared[0], self.own_coarse(own[1]) + shared[1]
        coarse = self.coarse(functional.relu(coarse))
        coarse = self.join_coarse(coarse + _up(self.from_deep(self.deep(coarse))))
        fine = self.join_fine(functional.relu(fine + _up(self.from_coarse(coarse))))
        return _bounded(self.fine_logits(fine)), _bounded(self.coarse_logits(coarse))


def _bounded(logits: Tensor) -> Tensor:
    return _BOUND * torch.tanh(logits / _BOUND)


class _Decoder(nn.Module):
    """Corrects merged sub-bands, knowing the features and the noise that is left in them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(_conv(6 + _FINE, _DECODER), _conv(_DECODER, _DECODER))
        self.deep = nn.Sequential(
            _down(_DECODER, _DEEP), _conv(_DEEP, _DEEP), _conv(_DEEP, _DEEP), _conv(_DEEP, _DEEP)
        )
        self.from_deep = nn.Conv2d(_DEEP, _DECODER, 1)
        out = nn.Conv2d(_DECODER, 4, 3, padding=1)
        self.last = nn.Sequential(_conv(_DECODER, _DECODER), out)
        nn.init.zeros_(out.weight)  # an untrained network merges and corrects nothing
        assert out.bias is not None
        nn.init.zeros_(out.bias)

    def forward(self, low: Tensor, details: Tensor, noise: Tensor, features: Tensor) -> Tensor:
        seen = torch.cat([low - 0.5, details * 8, noise * 8, features], 1)
        first = self.first(seen)
        correction = self.last(first + _up(self.from_deep(self.deep(first))))
        return inverse_haar(low + correction[:, :1] / 8, details + correction[:, 1:] / 8)


class PdmNet(nn.Module):
    """PDMNet; see the module's text.

    `forward` fuses whole stacks at once, for training; `graphs` are the steps of the fold. Both
    are built of the same three methods, `pool`, `weigh` and `reconstruct`.
    """

    name: ClassVar[str] = "pdmnet"
    multiple: ClassVar[int] = 8
    halo: ClassVar[int] = 64

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.chooser = _Chooser()
        self.decoder = _Decoder()

    def forward(
        self, signal: Tensor, planes: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse stacks of equal length.

        Parameters
        ----------
        signal
            (B, N, H, W), what the decision is made on, 0..1.
        planes
            (B, N, C, H, W), 0..1.
        noise
            (B, 2), gain and floor of the noise: variance = gain · value + floor.

        Returns
        -------
        image
            (B, C, H, W).
        depth, spread
            (B, H, W), in planes: mean and standard deviation of the depth weights.
        """
        stacks, count, channels, height, width = planes.shape
        together = signal.reshape(-1, 1, height, width), noise.repeat_interleave(count, 0)
        own = self.encoder(*together)
        apart = [m.unflatten(0, (stacks, count)) for m in own]
        shared = self.chooser.context(*(p for m in apart for p in (m.amax(1), m.mean(1))))
        fine, coarse = (p.repeat_interleave(count, 0) for p in shared)
        logits = self.chooser(own, (fine, coarse))
        z = torch.arange(count, device=planes.device, dtype=torch.float32).repeat(stacks)
        terms = self.weigh(planes.flatten(0, 1), z, own[0], logits)
        sums = [term.unflatten(0, (stacks, count)).sum(1) for term in terms]
        low2, details2, details, features, fine_weights, coarse_weights = sums
        image, depth, spread = self.reconstruct(
            low2,
            details2,
            details,
            features,
            fine_weights,
            coarse_weights,
            noise.repeat_interleave(channels, 0),
        )
        return image.unflatten(0, (stacks, channels)).squeeze(2), depth, spread

    def weigh(
        self, planes: Tensor, z: Tensor, features: Tensor, logits: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, ...]:
        """Return what planes (N, C, H, W) add to the sums that `reconstruct` takes."""
        fine, coarse = (torch.exp(m.float()) for m in logits)
        detail, place = fine[:, :1], fine[:, 1:]
        detail2, mean = coarse[:, :1], coarse[:, 1:]
        low, details = haar(planes)
        low2, details2 = haar(low)
        z = z.reshape(-1, 1, 1, 1)
        return (
            mean * low2,
            detail2 * details2,
            detail * details,
            detail * features,
            torch.cat([detail, detail * detail, place, place * z, place * z * z], 1),
            torch.cat([mean, detail2, detail2 * detail2], 1),
        )

    def reconstruct(
        self,
        low2: Tensor,
        details2: Tensor,
        details: Tensor,
        features: Tensor,
        fine_weights: Tensor,
        coarse_weights: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode the sums over planes (B, kC, h, w), all channels by the same network.

        Returns the image (B·C, 1, H, W), depth and spread (B, H, W).
        """
        channels = low2.shape[1]

        def apart(band: Tensor, count: int) -> Tensor:  # (B, kC) to (B·C, k)
            by_kind: Tensor = band.unflatten(1, (count, channels))
            return by_kind.transpose(1, 2).flatten(0, 1)

        fine, coarse = fine_weights.clamp(min=_TINY), coarse_weights.clamp(min=_TINY)
        detail, squared, place, first, second = (fine[:, i : i + 1] for i in range(5))
        mean, detail2, squared2 = (coarse[:, i : i + 1] for i in range(3))
        low = inverse_haar(apart(low2 / mean, 1), apart(details2 / detail2, 3))
        # The part of a plane's noise that is left in a weighted mean: sqrt(Σ w²) / Σ w.
        left = torch.cat([squared.sqrt() / detail, _up(squared2.sqrt() / detail2)], 1)
        left = noise_deviation(low, noise) * left.repeat_interleave(channels, 0)
        seen = (features / detail).repeat_interleave(channels, 0)
        image = self.decoder(low, apart(details / detail, 3), left, seen)
        depth = first / place
        spread = (second / place - depth * depth).clamp(min=0).sqrt()
        return image, _up(depth)[:, 0], _up(spread)[:, 0]

    def graphs(self) -> dict[str, nn.Module]:
        """Return the fold's steps, by file name."""
        return {
            "pdmnet-survey": Survey(self),
            "pdmnet-merge": Merge(self),
            "pdmnet-reconstruct": Reconstruct(self),
        }


_BATCH = {0: "batch", 2: "height", 3: "width"}
_HALF = {2: "height/2", 3: "width/2"}
_QUARTER = {2: "height/4", 3: "width/4"}
_POOLED: dict[str, dict[int, str]] = {
    "fine_top": _HALF,
    "fine_sum": _HALF,
    "coarse_top": _QUARTER,
    "coarse_sum": _QUARTER,
    "count": {},
}
_SUMS: dict[str, dict[int, str]] = {
    "low2": {1: "channels", **_QUARTER},
    "details2": {1: "3*channels", **_QUARTER},
    "details": {1: "3*channels", **_HALF},
    "features": _HALF,
    "fine_weights": _HALF,
    "coarse_weights": _QUARTER,
}


def _zeros(names: Iterable[str]) -> dict[str, Tensor]:
    """Return the state at the start: two channels, 64 x 48 px."""
    half, quarter = (32, 24), (16, 12)
    maps = {
        "fine_top": (1, _FINE, *half),
        "fine_sum": (1, _FINE, *half),
        "coarse_top": (1, _COARSE, *quarter),
        "coarse_sum": (1, _COARSE, *quarter),
        "count": (1,),
        "low2": (1, 2, *quarter),
        "details2": (1, 6, *quarter),
        "details": (1, 6, *half),
        "features": (1, _FINE, *half),
        "fine_weights": (1, 5, *half),
        "coarse_weights": (1, 3, *quarter),
    }
    return {name: torch.zeros(maps[name]) for name in names}


class Survey(nn.Module):
    """First pass: what all planes of a stack have, whatever their order."""

    output_names: ClassVar[tuple[str, ...]] = tuple(f"{name}_out" for name in _POOLED)
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        "signal": _BATCH,
        **{k: v for k, v in _POOLED.items() if v},
        **{f"{k}_out": v for k, v in _POOLED.items() if v},
    }

    def __init__(self, network: PdmNet) -> None:
        super().__init__()
        self.encoder = network.encoder

    def forward(
        self,
        signal: Tensor,
        noise: Tensor,
        fine_top: Tensor,
        fine_sum: Tensor,
        coarse_top: Tensor,
        coarse_sum: Tensor,
        count: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take planes (N, 1, H, W) and the noise (2,); features are never below zero."""
        fine, coarse = self.encoder(signal, noise)
        return (
            torch.maximum(fine_top, fine.amax(0, keepdim=True)),
            fine_sum + fine.sum(0, keepdim=True),
            torch.maximum(coarse_top, coarse.amax(0, keepdim=True)),
            coarse_sum + coarse.sum(0, keepdim=True),
            count + torch.ones_like(signal[:, 0, 0, 0]).sum(0, keepdim=True),
        )

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        return {
            "signal": torch.rand(3, 1, 64, 48),
            "noise": torch.tensor([1e-3, 1e-4]),
            **_zeros(_POOLED),
        }


class Merge(nn.Module):
    """Second pass: the sums over planes, weighted by what each is beside all others."""

    output_names: ClassVar[tuple[str, ...]] = tuple(f"{name}_out" for name in _SUMS)
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        "signal": _BATCH,
        "planes": {**_BATCH, 1: "channels"},
        "z": {0: "batch"},
        **{k: v for k, v in _POOLED.items() if v},
        **_SUMS,
        **{f"{k}_out": v for k, v in _SUMS.items()},
    }

    def __init__(self, network: PdmNet) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.chooser = network.chooser
        self._weigh = network.weigh

    def forward(
        self,
        signal: Tensor,
        planes: Tensor,
        noise: Tensor,
        z: Tensor,
        fine_top: Tensor,
        fine_sum: Tensor,
        coarse_top: Tensor,
        coarse_sum: Tensor,
        count: Tensor,
        low2: Tensor,
        details2: Tensor,
        details: Tensor,
        features: Tensor,
        fine_weights: Tensor,
        coarse_weights: Tensor,
    ) -> tuple[Tensor, ...]:
        """Take planes (N, C, H, W), their signal (N, 1, H, W) and places z (N,)."""
        own = self.encoder(signal, noise)
        shared = self.chooser.context(fine_top, fine_sum / count, coarse_top, coarse_sum / count)
        logits = self.chooser(own, shared)
        sums = low2, details2, details, features, fine_weights, coarse_weights
        terms = self._weigh(planes, z, own[0], logits)
        return tuple(old + new.sum(0, keepdim=True) for old, new in zip(sums, terms, strict=True))

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        pooled = {k: v + 1 for k, v in _zeros(_POOLED).items()}
        return {
            "signal": torch.rand(3, 1, 64, 48),
            "planes": torch.rand(3, 2, 64, 48),
            "noise": torch.tensor([1e-3, 1e-4]),
            "z": torch.arange(3.0),
            **pooled,
            **_zeros(_SUMS),
        }


class Reconstruct(nn.Module):
    """The end: the image of the sums; depth and its spread in planes."""

    output_names: ClassVar[tuple[str, ...]] = ("image", "depth", "spread")
    dynamic_axes: ClassVar[dict[str, dict[int, str]]] = {
        **_SUMS,
        "plane_noise": {0: "channels"},
        "image": {0: "channels", 1: "height", 2: "width"},
        "depth": {0: "height", 1: "width"},
        "spread": {0: "height", 1: "width"},
    }

    def __init__(self, network: PdmNet) -> None:
        super().__init__()
        self.decoder = network.decoder
        self._decode = network.reconstruct

    def forward(
        self,
        low2: Tensor,
        details2: Tensor,
        details: Tensor,
        features: Tensor,
        fine_weights: Tensor,
        coarse_weights: Tensor,
        plane_noise: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take the sums of `Merge` and each channel's noise (C, 2)."""
        sums = low2, details2, details, features, fine_weights, coarse_weights
        image, depth, spread = self._decode(*sums, plane_noise)
        return image[:, 0], depth[0], spread[0]

    def example_inputs(self) -> dict[str, Tensor]:
        """Return small inputs of the right shapes: what an exporter traces with."""
        sums = {k: torch.rand_like(v) + 0.5 for k, v in _zeros(_SUMS).items()}
        return {**sums, "plane_noise": torch.tensor([[1e-3, 1e-4], [0.0, 0.0]])}
