"""Where the images of an output are made: the one value that other processes need to add to it.

Duty: from the place of an output and an image's settings to a sink. Must not know: which images
there are, what is recorded, when all of it is published.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from zfuse.errors import ZfuseError
from zfuse.pipeline.core import disk_errors, output_files, output_kind
from zfuse.pipeline.sinks._labels import clean, labelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfuse.pipeline.core import Stack
    from zfuse.pipeline.sinks._ome_version import OmeZarrVersion
    from zfuse.pipeline.sinks._png import PngSink
    from zfuse.pipeline.sinks._sink import Sink
    from zfuse.pipeline.sinks._tiff import TiffSink

__all__ = ["Place"]


@dataclass(frozen=True)
class Place:
    """An output that is being made; picklable.

    Attributes
    ----------
    output
        Its final path, for messages.
    staging
        The folder in which it is made.
    version
        Of OME-Zarr.
    """

    output: Path
    staging: Path
    version: OmeZarrVersion = "0.5"

    @property
    def root(self) -> Path:
        """The output as long as it is not published."""
        return self.staging / self.output.name

    def folder(self, image: str) -> Path:
        """Where an image lies; ``""`` is the output itself.

        Raises
        ------
        ZfuseError
            The image's path leads elsewhere.
        """
        parts = PurePosixPath(image).parts
        if image and ("\\" in image or ":" in image or {"..", "/", "OME"} & set(parts)):
            raise ZfuseError(f"an image may not lie at {image!r} in {self.output}; rename it")
        return self.root.joinpath(*parts)

    def remove(self, image: str) -> None:
        """Remove what there is of an image of several."""
        if image and self.folder(image).is_dir():
            with disk_errors(self.output):
                shutil.rmtree(self.folder(image))

    def sink(
        self,
        image: str,
        stack: Stack,
        *,
        tile: int,
        each: bool,
        provenance: Mapping[str, Any],
        make: bool = True,
        again: bool = False,
    ) -> Sink:
        """Open an image for its tiles.

        Parameters
        ----------
        image
            Its path in the output.
        stack, tile, each
            See `Sink`.
        provenance
            JSON-like values: version, method, settings, source, planes.
        make
            Make its metadata: one process of several does. OME-Zarr only, as `again`.
        again
            Parts of it may be there.

        Raises
        ------
        ZfuseError
            The disk refuses.
        """
        stack, provenance = labelled(stack, image), clean(dict(provenance))
        with disk_errors(self.output):
            if output_kind(self.output) == "ome-zarr":
                from zfuse.pipeline.sinks._ome_zarr import OmeZarrSink

                return OmeZarrSink(
                    stack, tile, self.output, folder=self.folder(image), provenance=provenance,
                    each=each, make=make, again=again, staging=self.staging,
                    version=self.version,
                )  # fmt: skip
            kind: type[PngSink] | type[TiffSink]
            if output_kind(self.output) == "png":
                from zfuse.pipeline.sinks._png import PngSink as kind
            else:
                from zfuse.pipeline.sinks._tiff import TiffSink as kind
            files = [self.staging / file.name for file in output_files(self.output)]
            return kind(stack, tile, self.output, files=files, provenance=provenance, each=each)
