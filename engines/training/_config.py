"""Everything that decides a training run, but for where scenes come from.

Duty: one frozen value, checked before anything is built. Must not know: files, the loop.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from zfuse.engines.training._pairwise import Fusion2VoidRecipe, FusionNetRecipe, RpsnnRecipe
from zfuse.engines.training._pdmnet import PdmNetRecipe
from zfuse.engines.training._schedules import Adam, Constant, Optimiser, Schedule
from zfuse.engines.training._umis import UmisRecipe

__all__ = ["AnyRecipe", "TrainConfig"]

AnyRecipe = Annotated[
    Fusion2VoidRecipe | FusionNetRecipe | PdmNetRecipe | RpsnnRecipe | UmisRecipe,
    Field(discriminator="network"),
]


class TrainConfig(BaseModel):
    """One training run. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: AnyRecipe
    steps: int | None = Field(None, ge=1, description="the run ends after so many")
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="the run ends after so many, resumed or not"
    )
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    schedule: Schedule = Constant()
    optimiser: Optimiser = Adam()
    clip_norm: float | None = Field(
        None, gt=0, description="gradients of a greater norm are scaled down"
    )
    ema: float = Field(0.0, ge=0, lt=1, description="averages the weights; 0: off")
    amp: Literal["none", "bf16", "fp16"] = "none"
    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="of torch; default: all cores")
    workers: int = Field(1, ge=1, description="threads that make scenes")
    validate_every: int = Field(500, ge=1, description="steps; a checkpoint is written too")
    patience: int | None = Field(
        None, ge=1, description="validations without a better score that end the run"
    )

    @model_validator(mode="after")
    def _ends(self) -> TrainConfig:
        if self.steps is None and self.minutes is None:
            raise ValueError("the run would never end: give steps, minutes, or both")
        return self

    def identity(self) -> dict[str, object]:
        """Return what a checkpoint is bound to: all but when the run ends and what it runs on."""
        free = {"steps", "minutes", "device", "threads", "workers", "patience", "validate_every"}
        return self.model_dump(mode="json", exclude=free)
