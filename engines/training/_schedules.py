"""How the learning rate changes while a network learns, and which optimiser uses it.

Duty: small frozen values that a YAML file gives. Must not know: networks, the trainer's loop.

Not `torch.optim.lr_scheduler`, which counts steps: most runs end by the clock (``minutes``), and a
cosine must then follow the clock. Its only way in, a LambdaLR that is told the time, would need all
of this and more. Optimisers are torch's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Optimiser", "Schedule"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constant(_Value):
    """The same rate throughout."""

    kind: Literal["constant"] = "constant"

    def factor(self, step: int, fraction: float) -> float:
        """Return what the learning rate is multiplied by at a step."""
        return 1.0


class Exponential(_Value):
    """The rate times ``decay`` after every so many steps, smoothly."""

    kind: Literal["exponential"] = "exponential"
    decay: float = Field(0.9, gt=0, le=1, description="factor after `every` steps")
    every: int = Field(gt=0, description="steps")

    def factor(self, step: int, fraction: float) -> float:
        """Return what the learning rate is multiplied by at a step."""
        return float(self.decay ** (step / self.every))


class Halving(_Value):
    """Half the rate after every so many steps, at once."""

    kind: Literal["halving"] = "halving"
    every: int = Field(gt=0, description="steps")

    def factor(self, step: int, fraction: float) -> float:
        """Return what the learning rate is multiplied by at a step."""
        return float(0.5 ** (step // self.every))


class Cosine(_Value):
    """Up in a straight line, down along half a cosine until the run ends."""

    kind: Literal["cosine"] = "cosine"
    warm_up: int = Field(200, ge=0, description="steps until the full rate")
    final: float = Field(0.01, ge=0, le=1, description="what is left at the end of the run")

    def factor(self, step: int, fraction: float) -> float:
        """Return what the learning rate is multiplied by at a step.

        Parameters
        ----------
        step
            From 0.
        fraction
            Of the run that has passed, in 0..1: by steps, or by the clock if the run has minutes.
        """
        rise = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        fall = (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
        return rise * (self.final + (1 - self.final) * fall)


Schedule = Annotated[Constant | Exponential | Halving | Cosine, Field(discriminator="kind")]


class _Adaptive(_Value):
    optimiser: ClassVar[type[torch.optim.Adam | torch.optim.AdamW]]
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)

    def build(self, parameters: Iterable[torch.Tensor], rate: float) -> torch.optim.Optimizer:
        """Return the optimiser of these parameters."""
        return self.optimiser(parameters, lr=rate, betas=self.betas, weight_decay=self.weight_decay)


class Adam(_Adaptive):
    """Adam (Kingma & Ba 2015); weight decay is added to the gradient."""

    optimiser = torch.optim.Adam
    kind: Literal["adam"] = "adam"


class AdamW(_Adaptive):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    optimiser = torch.optim.AdamW
    kind: Literal["adamw"] = "adamw"
    weight_decay: float = Field(0.01, ge=0)


Optimiser = Annotated[Adam | AdamW, Field(discriminator="kind")]
