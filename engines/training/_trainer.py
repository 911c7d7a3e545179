"""Networks while they learn: one step, one validation, and their whole state.

Duty: mixed precision, optimiser, averaged weights. Must not know: files, clocks, when to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from zfuse.errors import ZfuseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zfuse.engines.training._config import TrainConfig
    from zfuse.engines.training._recipe import Batch
    from zfuse.engines.training._scenes import Scene

__all__ = ["Trainer", "pick_device"]

_MOST_LOST = 20
_AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(wanted: str) -> torch.device:
    """Return the device that a config asks for: "auto" is the GPU when there is one.

    Raises
    ------
    ZfuseError
        A GPU is asked for and torch sees none.
    """
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ZfuseError("device cuda: torch sees no GPU here; use --device cpu")
    return torch.device("cuda" if present and wanted != "cpu" else "cpu")


class Trainer:
    """Everything that changes from step to step; the same config and batches, the same numbers.

    Attributes
    ----------
    step
        Steps done.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.device = pick_device(config.device)
        self.step = 0
        self._seed(0)
        self._networks = config.recipe.build().to(self.device)
        # Convolutions are faster so, on CPU and GPU.
        self._networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = AveragedModel(self._networks, avg_fn=self._mean) if config.ema else None
        self._optimiser = config.optimiser.build(self._networks.parameters(), config.learning_rate)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=config.amp == "fp16")
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._lost = 0

    @property
    def networks(self) -> nn.ModuleDict:
        """What is scored and ships: the averaged networks where the config asks for them."""
        if self._average is None:
            return self._networks
        averaged = self._average.module
        assert isinstance(averaged, nn.ModuleDict)
        return averaged

    def learning_rate(self, fraction: float) -> float:
        """Return the learning rate of the next step."""
        return self.config.learning_rate * self.config.schedule.factor(self.step, fraction)

    def advance(self, batch: Batch, fraction: float) -> None:
        """Learn from one batch; ``fraction`` of the run has passed."""
        config = self.config
        self._seed(self.step + 1)
        self._networks.train()
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate(fraction)
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, _AMP.get(config.amp), enabled=config.amp != "none"):
            total, terms = config.recipe.loss(self._networks, batch)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(total).backward()
        self._scaler.unscale_(self._optimiser)
        limit = config.clip_norm or float("inf")
        norm = nn.utils.clip_grad_norm_(self._networks.parameters(), limit)
        self.step += 1
        if not torch.isfinite(norm) and not self._scaler.is_enabled():
            # One batch in some 5000 overflows in bfloat16: it must not spoil all weights for good.
            self._lost += 1
            if self._lost > _MOST_LOST:
                raise ZfuseError(
                    f"gradients of {_MOST_LOST} steps in a row are not finite at step {self.step}: "
                    "give a lower learning_rate, clip_norm: 1, or amp: none"
                )
            return
        self._lost = 0
        self._scaler.step(self._optimiser)
        self._scaler.update()
        if self._average is not None:
            self._average.update_parameters(self._networks)
        for name, value in {"loss": total, **terms}.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().double()
        self._count += 1

    def _mean(self, mean: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
        """Move averaged weights towards the present ones, faster in the beginning."""
        decay = min(self.config.ema, (1 + int(count)) / (10 + int(count)))
        return torch.lerp(mean, now, 1 - decay)

    def mean_losses(self) -> dict[str, float]:
        """Return the means of "loss" and its terms since the last call.

        Raises
        ------
        ZfuseError
            They are no longer finite.
        """
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        means = means or {"loss": float("nan")}  # all steps were lost
        self._sums, self._count = {}, 0
        if not np.isfinite(means["loss"]):
            raise ZfuseError(
                f"the loss is {means['loss']} at step {self.step}: give a lower learning_rate, "
                "clip_norm: 1, or amp: none"
            )
        return means

    def validate(self, held_out: Sequence[Scene]) -> Mapping[str, float]:
        """Return the recipe's score on scenes that were never trained on."""
        self.networks.eval()
        with torch.no_grad():
            return self.config.recipe.score(self.networks, held_out)

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return what ships: a state of each network, on the CPU."""
        return {
            name: {key: value.cpu() for key, value in network.state_dict().items()}
            for name, network in self.networks.items()
        }

    def start_from(self, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Begin with weights that `weights` returned, of the same networks.

        Raises
        ------
        ZfuseError
            A network is missing, or its weights do not fit.
        """
        for networks in (self._networks, self.networks):
            for name, network in networks.items():
                try:
                    network.load_state_dict(dict(weights[name]))
                except (KeyError, RuntimeError) as error:
                    raise ZfuseError(
                        f"the weights to start from do not fit the network {name!r}: they are of "
                        f"{', '.join(weights)}, or of another version"
                    ) from error

    def state(self) -> dict[str, Any]:
        """Return all that a resumed run needs to go on with the same numbers."""
        return {
            "step": self.step,
            "networks": self._networks.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "sums": self._sums,
            "count": self._count,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state` returned."""
        self.step = state["step"]
        self._networks.load_state_dict(state["networks"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self._sums, self._count = dict(state["sums"]), state["count"]

    def _seed(self, index: int) -> None:
        """Seed torch for one step, so that no generator's state needs to be kept."""
        sequence = np.random.SeedSequence([self.config.seed, index, 1])
        torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
