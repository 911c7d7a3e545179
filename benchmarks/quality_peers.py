"""What zfuse is compared with: other programs, run on the same planes in the same run.

Duty: one function a peer, from planes (Z, Y, X) or (Z, Y, X, 3) of 8 or 16 bits to an image. A peer
that is not installed says so, and its row is left out. Must not know: data sets, scores.

    apt-get install enfuse
    pip install --no-deps dtcwt        # its last release wants numpy < 2, and works with 2
    python -m venv PEERS && PEERS/bin/pip install shinestacker
    python benchmarks/quality.py --shinestacker PEERS/bin/python
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_ENFUSE = ("enfuse", "--exposure-weight=0", "--saturation-weight=0", "--contrast-weight=1")


@dataclass(frozen=True)
class Peer:
    """One program with one setting."""

    name: str
    fuse: Callable[[NDArray[Any]], NDArray[Any]]


def installed(shinestacker: str | None) -> tuple[list[Peer], dict[str, str]]:
    """Find the peers.

    Parameters
    ----------
    shinestacker
        Python of the environment that Shine Stacker is installed in.

    Returns
    -------
    tuple
        The peers, and versions (or why they are missing) by program.
    """
    peers: list[Peer] = []
    versions: dict[str, str] = {}
    if shutil.which("enfuse"):
        peers += [
            Peer("enfuse (hard mask)", lambda planes: enfuse(planes, "--hard-mask")),
            Peer("enfuse (soft mask)", enfuse),
        ]
        printed = subprocess.run(["enfuse", "--version"], capture_output=True, text=True)
        versions["enfuse"] = printed.stdout.split("\n")[0].removeprefix("enfuse ")
    else:
        versions["enfuse"] = "not installed"
    if shinestacker:
        worker = ShineStacker(shinestacker)
        peers += [
            Peer(f"Shine Stacker ({name})", lambda planes, name=name: worker.fuse(planes, name))
            for name in ("pyramid", "depth map")
        ]
        versions["Shine Stacker"] = worker.version
    else:
        versions["Shine Stacker"] = "not installed"
    if util.find_spec("dtcwt"):
        peers += [
            Peer(f"DTCWT ({n} levels)", lambda planes, n=n: dtcwt_maximum(planes, n))
            for n in (5, 4)
        ]
        versions["dtcwt"] = metadata.version("dtcwt")
    else:
        versions["dtcwt"] = "not installed"
    return peers, versions


def remembered(peer: Peer, planes: NDArray[Any], folder: Path | None) -> NDArray[Any]:
    """Fuse with a peer, or take what it made of the very same planes in an earlier run."""
    if folder is None:
        return peer.fuse(planes)
    key = hashlib.sha1(np.ascontiguousarray(planes).tobytes(), usedforsecurity=False)
    key.update(f"{peer.name} {planes.shape} {planes.dtype}".encode())
    file = folder / f"{key.hexdigest()}.npy"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(file, peer.fuse(planes))
    return np.load(file)


def enfuse(planes: NDArray[Any], *options: str) -> NDArray[Any]:
    """Fuse with enfuse, weighted by contrast alone as its manual advises for focus stacks."""
    with tempfile.TemporaryDirectory() as folder:
        files = _write(planes, Path(folder))
        out = Path(folder, "fused.tif")
        subprocess.run(
            [*_ENFUSE, *options, "-o", str(out), *files], check=True, capture_output=True
        )
        image = tifffile.imread(out)
    return image[..., 0] if planes.ndim == 3 and image.ndim == 3 else image[..., : planes.shape[-1]]


def _write(planes: NDArray[Any], folder: Path) -> list[str]:
    files = []
    for number, plane in enumerate(planes):
        file = folder / f"{number:04d}.tif"
        kind = "rgb" if plane.ndim == 3 else "minisblack"
        tifffile.imwrite(file, plane, photometric=kind)
        files.append(str(file))
    return files


_SHINE_STACKER = '''
"""Fuse each folder of planes named on standard input. Runs in Shine Stacker's environment."""
import logging, os, sys
import shinestacker
from shinestacker.algorithms import DepthMapStack, FocusStack, PyramidStack, StackJob
answers, sys.stdout = sys.stdout, open(os.devnull, "w")
logging.disable(logging.CRITICAL)
print(shinestacker.__version__, file=answers, flush=True)
for line in sys.stdin:
    folder, kind = line.rstrip("\\n").split("\\t")
    job = StackJob("job", folder, input_path="planes")
    algorithm = PyramidStack() if kind == "pyramid" else DepthMapStack()
    job.add_action(FocusStack("stack", algorithm, output_path="fused", prefix=""))
    print(job.run(), file=answers, flush=True)
'''


class ShineStacker:
    """A process in Shine Stacker's own environment; its defaults, without alignment."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-P", "-c", _SHINE_STACKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version = self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError(f"Shine Stacker ended with {self._process.wait()}")
        return answer

    def fuse(self, planes: NDArray[Any], kind: str) -> NDArray[Any]:
        """Fuse; `kind` is ``pyramid`` or ``depth map``. It takes colour only."""
        grey = planes.ndim == 3
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "planes").mkdir()
            _write(np.repeat(planes[..., None], 3, -1) if grey else planes, Path(folder, "planes"))
            assert self._process.stdin is not None
            self._process.stdin.write(f"{folder}\t{kind}\n")
            self._process.stdin.flush()
            if self._answer() != "True":
                raise RuntimeError(f"Shine Stacker could not fuse {planes.shape}")
            image = tifffile.imread(next(Path(folder, "fused").iterdir()))
        return image[..., 1] if grey else image


@cache
def _dtcwt() -> Any:
    # What numpy 2 no longer has, and dtcwt 0.14 asks for when it is imported.
    gone = {"asfarray": lambda a, dtype=None: np.asarray(a, dtype or float)}
    for name, stand_in in {**gone, "issubsctype": np.issubdtype}.items():
        setattr(np, name, stand_in)
    import dtcwt

    return dtcwt


def dtcwt_maximum(planes: NDArray[Any], levels: int) -> NDArray[Any]:
    """Dual-tree complex wavelets: per sub-band the plane with the largest magnitude in 3 x 3.

    The usual fusion rule of the literature (Lewis et al. 2007): magnitudes averaged over 3 x 3
    coefficients, low-pass averaged over the planes, each colour for itself.
    """
    if planes.ndim == 4:
        return np.stack([dtcwt_maximum(planes[..., c], levels) for c in range(3)], -1)
    from scipy.ndimage import uniform_filter

    dtcwt = _dtcwt()
    transform = dtcwt.Transform2d()
    low: NDArray[Any] | float = 0.0
    high: list[NDArray[Any]] = []
    activity: list[NDArray[Any]] = []
    for number, plane in enumerate(planes):
        pyramid = transform.forward(plane.astype(np.float64), nlevels=levels)
        low = low + pyramid.lowpass / len(planes)
        for level, band in enumerate(pyramid.highpasses):
            here = uniform_filter(np.abs(band), (3, 3, 1))
            if number == 0:
                high.append(band.copy())
                activity.append(here)
                continue
            wins = here > activity[level]
            activity[level][wins] = here[wins]
            high[level][wins] = band[wins]
    image = transform.inverse(dtcwt.Pyramid(low, tuple(high)))
    image = image[: planes.shape[1], : planes.shape[2]]
    return np.rint(image).clip(0, np.iinfo(planes.dtype).max).astype(planes.dtype)


if __name__ == "__main__":
    for program, version in installed(sys.argv[1] if len(sys.argv) > 1 else None)[1].items():
        print(program, version)
