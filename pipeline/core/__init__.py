"""The vocabulary: stacks and readers, regions, samples, results, settings, atomic files.

What two folders of the pipeline need lives here. Imports kernels only.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.core._disk import (
        OutputError as OutputError,
        check_space as check_space,
        disk_errors as disk_errors,
        existing_parent as existing_parent,
        readable_size as readable_size,
    )
    from zfuse.pipeline.core._fused import Fused as Fused
    from zfuse.pipeline.core._growing import GrowingFolder as GrowingFolder, rename as rename
    from zfuse.pipeline.core._inside import inside as inside
    from zfuse.pipeline.core._lock import alone as alone
    from zfuse.pipeline.core._manifest import Manifest as Manifest
    from zfuse.pipeline.core._memory import release_free_memory as release_free_memory
    from zfuse.pipeline.core._output_names import (
        TRUTH as TRUTH,
        growing_folder as growing_folder,
        output_files as output_files,
        output_kind as output_kind,
        staging_folder as staging_folder,
    )
    from zfuse.pipeline.core._plate_layout import PlateLayout as PlateLayout
    from zfuse.pipeline.core._progress import Progress as Progress
    from zfuse.pipeline.core._reader import (
        BaseReader as BaseReader,
        NoPixels as NoPixels,
        PlaneReader as PlaneReader,
    )
    from zfuse.pipeline.core._region import Region as Region, within as within
    from zfuse.pipeline.core._sample import (
        Sample as Sample,
        sample_windows as sample_windows,
    )
    from zfuse.pipeline.core._settings import Settings as Settings
    from zfuse.pipeline.core._signal import Signal as Signal
    from zfuse.pipeline.core._sizes import byte_count as byte_count
    from zfuse.pipeline.core._stack import Channel as Channel, Stack as Stack
    from zfuse.pipeline.core._staging import (
        Staging as Staging,
        check_absent as check_absent,
        check_staging as check_staging,
    )
    from zfuse.pipeline.core._threads import (
        chunk_pool as chunk_pool,
        cores as cores,
        each as each,
        give_way as give_way,
        limit_cores as limit_cores,
        wait_all as wait_all,
    )
    from zfuse.pipeline.core._tiff_notes import tiff_notes as tiff_notes
    from zfuse.pipeline.core._validation import nearest as nearest, one_line as one_line
    from zfuse.pipeline.core._value_step import value_step as value_step
    from zfuse.pipeline.core._yaml import read_yaml as read_yaml

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_disk": ["OutputError", "check_space", "disk_errors", "existing_parent", "readable_size"],
        "_fused": ["Fused"],
        "_growing": ["GrowingFolder", "rename"],
        "_inside": ["inside"],
        "_lock": ["alone"],
        "_manifest": ["Manifest"],
        "_memory": ["release_free_memory"],
        "_output_names": [
            "TRUTH",
            "growing_folder",
            "output_files",
            "output_kind",
            "staging_folder",
        ],
        "_plate_layout": ["PlateLayout"],
        "_progress": ["Progress"],
        "_reader": ["BaseReader", "NoPixels", "PlaneReader"],
        "_region": ["Region", "within"],
        "_sample": ["Sample", "sample_windows"],
        "_settings": ["Settings"],
        "_signal": ["Signal"],
        "_sizes": ["byte_count"],
        "_stack": ["Channel", "Stack"],
        "_staging": ["Staging", "check_absent", "check_staging"],
        "_threads": ["chunk_pool", "cores", "each", "give_way", "limit_cores", "wait_all"],
        "_tiff_notes": ["tiff_notes"],
        "_validation": ["nearest", "one_line"],
        "_value_step": ["value_step"],
        "_yaml": ["read_yaml"],
    },
)
