"""One plane in one image file: PNG, JPEG or BMP.

Duty: size and dtype from the header alone, and pixels as (samples, Y, X). Must not know: folders,
names, stacks, TIFF. EXIF orientation is not applied: the sensor's rows are the microscope's rows.
"""

from __future__ import annotations

import io
import itertools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zfuse.errors import ZfuseError
from zfuse.pipeline.sources._magic import BMP, JPEG, PNG, kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Plane", "decode", "embedded_size", "header"]

MOST_PARTS = 100_000  # of a PNG or JPEG before its pixels


@dataclass(frozen=True)
class Plane:
    """What the header of a plane says.

    Attributes
    ----------
    kind
        Format.
    samples, height, width, dtype
        Of the pixels that are kept (alpha is not).
    rgb
        The samples are red, green and blue.
    alpha
        There is an alpha channel, which is left out.
    chunk
        Rows and columns that are decoded at once.
    """

    kind: str
    samples: int
    height: int
    width: int
    dtype: np.dtype[Any]
    rgb: bool
    alpha: bool
    chunk: tuple[int, int]

    @property
    def likeness(self) -> tuple[tuple[int, int, int], str]:
        """What all planes of a stack must share."""
        return (self.samples, self.height, self.width), self.dtype.name


def header(path: Path) -> Plane:
    """Read the header of a file.

    Raises
    ------
    ZfuseError
        The file is no image, is damaged, or has pixels that can't be fused.
    """
    try:
        kind = kind_of(path)
        with open(path, "rb") as file:
            start = file.read(64)
            if kind == JPEG:
                return _jpeg(path, _jpeg_frame(file))
            if kind == PNG:
                file.seek(0)
                return _png(start, _png_chunks(file))
            if kind == BMP:
                return _bmp(file)
    except (OSError, ValueError, struct.error) as error:
        raise ZfuseError(f"{path} cannot be read ({error}); it is truncated or damaged") from error
    raise ZfuseError(f"{path} is named like an image but is none; move it out of the folder")


def decode(path: Path, plane: Plane) -> NDArray[Any]:
    """Decode a PNG, JPEG or BMP.

    Returns
    -------
    NDArray
        (Y, X, samples).

    Raises
    ------
    ZfuseError
        The file is truncated, damaged, or has changed since its header was read.
    """
    import imagecodecs

    codec = {
        PNG: imagecodecs.png_decode, JPEG: imagecodecs.jpeg8_decode, BMP: imagecodecs.bmp_decode
    }[plane.kind]  # fmt: skip
    try:
        data = path.read_bytes()
        pixels: NDArray[Any] = codec(data)
    except Exception as error:  # each codec has its own
        raise ZfuseError(
            f"{path} cannot be decoded ({error}); it is truncated or damaged: "
            "copy it again from the original"
        ) from error
    if plane.kind == JPEG and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        # libjpeg fills what is cut off with grey and says nothing
        raise ZfuseError(f"{path} is truncated: its end marker is missing; copy it again")
    pixels = np.atleast_3d(pixels)[..., : plane.samples]
    if pixels.shape != (plane.height, plane.width, plane.samples) or pixels.dtype != plane.dtype:
        raise ZfuseError(
            f"{path} decodes to {pixels.shape} {pixels.dtype}, its header said "
            f"{(plane.height, plane.width, plane.samples)} {plane.dtype}; has it just been written?"
        )
    return pixels


def _plane(
    kind: str, height: int, width: int, samples: int, bits: int, *, alpha: bool = False
) -> Plane:
    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
    if min(height, width) < 1:
        raise ValueError(f"its header says {width} x {height} px")
    return Plane(kind, samples, height, width, dtype, samples == 3, alpha, (height, width))


def _bmp(file: Any) -> Plane:
    """Read the header of a BMP; one with a palette of greys is a grey image."""
    file.seek(14)
    head = file.read(40)
    size, width, height, _, bits = struct.unpack_from("<IiiHH", head)
    grey = False
    if bits <= 8:
        (colours,) = struct.unpack_from("<I", head, 32)
        file.seek(14 + size)
        colours = min(colours or 256, 2**bits)  # the header may say anything
        palette = np.frombuffer(file.read(4 * colours), np.uint8).reshape(-1, 4)
        grey = bool((palette[:, :1] == palette[:, :3]).all())
    return _plane(BMP, abs(height), width, 1 if grey else 3, 8)


def _png_chunks(file: Any) -> list[bytes]:
    """List the chunks before the pixels, where tRNS makes an alpha channel."""
    names: list[bytes] = []
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        names.append(head[4:])
        _check_count(len(names))
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return names


def _png(start: bytes, chunks: list[bytes]) -> Plane:
    width, height, bits, colour = struct.unpack_from(">IIBB", start, 16)
    samples = 1 if colour in (0, 4) else 3  # a palette decodes to its colours
    alpha = colour in (4, 6) or b"tRNS" in chunks
    return _plane(PNG, height, width, samples, bits, alpha=alpha)


def _jpeg_frame(file: Any) -> tuple[int, int, int, int]:
    """Return precision, height, width and components from the frame header."""
    file.seek(2)
    for count in itertools.count():
        if len(head := file.read(4)) < 4:
            break
        _check_count(count)
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if head[0] != 0xFF:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            precision, height, width, components = struct.unpack(">BHHB", file.read(6))
            return precision, height, width, components
        if length < 2:
            break
        file.seek(length - 2, 1)
    raise OSError("no frame header")


def _check_count(count: int) -> None:
    if count > MOST_PARTS:
        raise OSError(f"more than {MOST_PARTS} parts before its pixels")


def embedded_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width that a PNG or JPEG in memory announces, None for anything else."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
            return height, width
        if data.startswith(b"\xff\xd8\xff"):
            _, height, width, _ = _jpeg_frame(io.BytesIO(data))
            return height, width
    except (OSError, struct.error):
        pass  # told by whoever decodes it
    return None


def _jpeg(path: Path, frame: tuple[int, int, int, int]) -> Plane:
    precision, height, width, components = frame
    if components not in (1, 3) or precision != 8:
        raise ZfuseError(
            f"{path} is a JPEG of {components} components with {precision} bits; "
            "grey and RGB with 8 bits can be read: convert it to TIFF"
        )
    return _plane(JPEG, height, width, components, 8)
