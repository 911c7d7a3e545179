"""What methods that run a network share: settings, and the call.

Duty: open a network's graphs. Must not know: what a network computes, which runner serves it, where
its weights lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from zfuse.pipeline.methods._method import Method
from zfuse.pipeline.methods.parts._floats import FILL_ALIGN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import NDArray

__all__ = ["Batch", "Graph", "NetworkMethod"]

Batch = Annotated[
    int,
    Field(ge=1, le=64, description="planes at once; more than 1 pays for small tiles on a GPU"),
]


class NetworkMethod(Method):
    """A method that runs a trained network."""

    own_threads: ClassVar[bool] = True
    activation_bytes: ClassVar[int]
    """Memory that a runner on the CPU needs for one plane, a pixel (measured)."""

    runner: Literal[
        "auto", "onnxruntime", "onnxruntime-cuda", "openvino", "tensorrt", "torch", "torch-compile"
    ] = Field("auto", description="software that runs the network; auto: the fastest installed")
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        "auto",
        description="of its numbers; fp32 is exact, bf16 quick on new CPUs, fp16 on GPUs; auto: "
        "bf16 by OpenVINO (but for pdmnet), else fp32",
    )
    threads: int | None = Field(
        None,
        ge=1,
        exclude=True,
        description="threads for the network; usually the run's",
    )

    def with_workers(self, workers: int) -> Self:
        """Let the network use as many threads as the run may."""
        return self if self.threads else self.model_copy(update={"threads": workers})

    @property
    def pixels(self) -> str:
        """What a network makes is new, even where it comes close to its input."""
        return "copied" if self.copies_pixels else "re-synthesised"

    @property
    def grid_step(self) -> int:
        """What the network's pooling halves again and again, and invalid pixels are filled in."""
        return max(int(self._card.multiple), FILL_ALIGN)

    @property
    def _card(self) -> Any:
        from zfuse import engines

        return engines.card(self.name)

    def _aligned(self, reach: float) -> int:
        return ceil(reach / self.grid_step) * self.grid_step

    def open(self, graph: str | None = None) -> Graph:
        """Open one of the network's graphs, once in a process.

        Raises
        ------
        ZfuseError
            Its weights are missing or damaged, or the runner is not there.
        """
        from zfuse import engines

        runner = engines.session(
            graph or self.name,
            runner=self.runner,
            precision=self.precision,
            threads=self.threads,
        )
        return Graph(runner)


@dataclass(frozen=True)
class Graph:
    """An opened graph: arrays by name in, arrays by name out."""

    runner: Any

    @property
    def inputs(self) -> Mapping[str, tuple[int | str, ...]]:
        """Shapes of its inputs, dynamic axes by name."""
        shapes: Mapping[str, tuple[int | str, ...]] = self.runner.inputs
        return shapes

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run it."""
        outputs: dict[str, NDArray[Any]] = self.runner(arrays)
        return outputs
