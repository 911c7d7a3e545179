"""The command `zfuse demo`: a stack with known truth, fused like any other, drawn and scored.

Duty: the three outputs in the demo's folder and the scores. It calls the same `run` as everybody.
Must not know: how fusion works.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zfuse.errors import ZfuseError
from zfuse.pipeline.cli._console import say

if TYPE_CHECKING:
    from zfuse.pipeline.simulation import Phantom
    from zfuse.pipeline.sources import FusedImage

__all__ = ["DemoResult", "demo", "run_demo"]

_STACK, _FUSED, _OVERVIEW = "stack.ome.zarr", "fused.ome.zarr", "overview.png"
_MARK = "zfuse_demo"  # attribute that tells our own stack from somebody else's of the same name


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Folder for the three outputs.")
    ] = Path("zfuse-demo"),
    method: Annotated[
        str | None, typer.Option(help="Fusion method; default: adaptive, with --live select.")
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Fuse while a simulated microscope acquires (zfuse\\[rig])."),
    ] = False,
) -> None:
    """Render a focal stack with known truth, fuse it, draw it, and compare with the truth."""
    from zfuse.pipeline.cli._live_demo import run_live_demo
    from zfuse.pipeline.cli._progress import compiling_notice
    from zfuse.pipeline.methods import make_method

    method = method or ("select" if live else "adaptive")
    make_method(method)  # an unknown name is refused before anything is rendered
    with compiling_notice():
        result = run_live_demo if live else run_demo
        say(result(directory, method=method))


@dataclass(frozen=True)
class DemoResult:
    """Where the demo wrote, and how near the result is to the truth.

    Attributes
    ----------
    stack, fused, overview
        Paths of the rendered stack, the fused OME-Zarr and the picture.
    ssim, psnr
        Fused image against the truth; the data range is the truth's own span. PSNR in dB.
    depth_mae, depth_rmse
        Depth errors in planes.
    z_step
        µm a plane.
    best_plane
        Number of the single plane nearest to the truth.
    best_plane_ssim, best_plane_psnr
        Its scores: what one gets without fusion.
    seconds
        Wall time of the fusion, rendering and scoring apart.
    """

    stack: Path
    fused: Path
    overview: Path
    ssim: float
    psnr: float
    depth_mae: float
    depth_rmse: float
    z_step: float
    best_plane: int
    best_plane_ssim: float
    best_plane_psnr: float
    seconds: float

    def __str__(self) -> str:
        um = self.depth_mae * self.z_step
        return "\n".join(
            (
                f"fused in {self.seconds:.2f} s     SSIM {self.ssim:.4f}   PSNR {self.psnr:.1f} dB"
                "   against the true all-in-focus image",
                f"best single plane   SSIM {self.best_plane_ssim:.4f}   "
                f"PSNR {self.best_plane_psnr:.1f} dB   (plane {self.best_plane})",
                f"depth               MAE {self.depth_mae:.2f} planes = {um:.2f} µm, "
                f"RMSE {self.depth_rmse:.2f} planes",
                f"wrote {self.stack}, {self.fused} and {self.overview}",
            )
        )


def run_demo(
    directory: Path,
    *,
    method: str = "adaptive",
    planes: int = 24,
    size: int = 512,
    seed: int = 0,
) -> DemoResult:
    """Render, fuse, draw and score.

    Parameters
    ----------
    directory
        Folder for the three outputs; made when missing. What an earlier demo left there is
        replaced, nothing else is touched.
    method
        Name of the fusion method.
    planes, size, seed
        Of the phantom, see `render_phantom`.

    Returns
    -------
    DemoResult
        Paths and scores.

    Raises
    ------
    ZfuseError
        The folder holds something with the name of an output that no demo wrote, cannot be
        written, or another demo writes there.
    """
    from zfuse.pipeline.core import alone
    from zfuse.pipeline.simulation import render_phantom
    from zfuse.pipeline.sources import open_fused

    stack, fused, picture = (directory / name for name in (_STACK, _FUSED, _OVERVIEW))
    phantom = render_phantom(planes, size, seed=seed, relief="diatoms")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with alone(directory / ".zfuse-demo"):
            _check_ours(stack, fused, picture)
            _write_stack(stack, phantom, seed)
            seconds = _fuse(stack, fused, method)
            opened = open_fused(fused)
            result = _score(phantom, opened, (stack, fused, picture), seconds)
            _draw(picture, phantom, opened, result.best_plane, method)
    except OSError as error:
        raise ZfuseError(
            f"the demo cannot write to {directory}: {error}. Give it a folder that you may write "
            "to, with 50 MB of free space."
        ) from error
    return result


def _check_ours(stack: Path, fused: Path, picture: Path) -> None:
    """Refuse to replace what no demo wrote; the stack carries the mark, and is written first."""
    found = [path for path in (stack, fused, picture) if path.exists()]
    if found and not _is_ours(stack):
        raise ZfuseError(
            f"{found[0]} exists and was not written by a demo: nothing was changed. "
            "Give the demo another folder."
        )


def _is_ours(stack: Path) -> bool:
    import zarr

    try:
        return _MARK in zarr.open_group(stack, mode="r").attrs
    except (OSError, ValueError, KeyError):
        return False


def _fuse(stack: Path, fused: Path, method: str) -> float:
    from zfuse.pipeline import RunConfig, run
    from zfuse.pipeline.methods import make_method, warm_up

    warm_up(make_method(method))  # compiling is no part of fusing
    started = time.perf_counter()
    run(
        RunConfig.model_validate(
            {"input": stack, "output": fused, "method": {"name": method}, "overwrite": True}
        )
    )
    return time.perf_counter() - started


def _write_stack(path: Path, phantom: Phantom, seed: int) -> None:
    """Write the phantom as OME-Zarr 0.5, one chunk a plane, as a camera would."""
    from zfuse.pipeline.core import Staging
    from zfuse.pipeline.simulation import write_image

    staging, mark = Staging(path, overwrite=True), {_MARK: {"seed": seed}}
    try:
        staging.create()
        new = staging.path(path)
        write_image(new, phantom.planes, phantom.z_step, phantom.pixel_size, mark)
        staging.publish()
    except BaseException:
        staging.abandon()
        raise


def _draw(path: Path, phantom: Phantom, opened: FusedImage, best: int, method: str) -> None:
    import numpy as np

    from zfuse.files import replacing
    from zfuse.pipeline.figures import overview

    count, rows, columns = phantom.planes.shape
    shown = {*np.linspace(0, count - 1, 5).round().astype(int).tolist(), best}
    assert opened.depth is not None
    assert opened.confidence is not None
    figure = overview(
        {number: phantom.planes[number] for number in sorted(shown)},
        best,
        opened.image,
        opened.depth / np.float32(phantom.z_step),
        opened.confidence,
        z_step=phantom.z_step,
        pixel_size=phantom.pixel_size,
        title=f"zfuse demo · {count} planes of {columns} x {rows} · method {method}",
    )
    with replacing(path) as new:
        figure.savefig(new, dpi="figure", pil_kwargs={"compress_level": 1})  # more gains 5 %


def _score(
    phantom: Phantom, opened: FusedImage, paths: tuple[Path, Path, Path], seconds: float
) -> DemoResult:
    import numpy as np

    from zfuse.pipeline.evaluation import depth_mae, depth_rmse, psnr, ssim

    span = float(np.ptp(phantom.image))
    scores = [psnr(plane, phantom.image, data_range=span) for plane in phantom.planes]
    best = int(np.argmax(scores))
    image = opened.image[0]
    assert opened.depth is not None
    depth = opened.depth / np.float32(phantom.z_step)
    stack, fused, picture = paths
    return DemoResult(
        stack=stack,
        fused=fused,
        overview=picture,
        ssim=ssim(image, phantom.image, data_range=span),
        psnr=psnr(image, phantom.image, data_range=span),
        depth_mae=depth_mae(depth, phantom.depth),
        depth_rmse=depth_rmse(depth, phantom.depth),
        z_step=phantom.z_step,
        best_plane=best,
        best_plane_ssim=ssim(phantom.planes[best], phantom.image, data_range=span),
        best_plane_psnr=scores[best],
        seconds=seconds,
    )
