"""Sources: whatever lies on disk or in memory, opened lazily as a `Stack`.

Duty: the public face of the readers. Must not know: any one format; each lives in its own module,
which is imported when a path of its kind is opened, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.sources._array import from_array as from_array
    from zfuse.pipeline.sources._collection import (
        Collection as Collection,
        open_collection as open_collection,
        open_member as open_member,
        open_stack as open_stack,
        open_stacks as open_stacks,
    )
    from zfuse.pipeline.sources._fused import FusedImage as FusedImage, open_fused as open_fused
    from zfuse.pipeline.sources._layout import NoStackError as NoStackError
    from zfuse.pipeline.sources._members import Member as Member
    from zfuse.pipeline.sources._micromanager import mm_summary as mm_summary
    from zfuse.pipeline.sources._names import natural as natural, tokens as tokens
    from zfuse.pipeline.sources._ndtiff_index import (
        NDTiffEntry as NDTiffEntry,
        NDTiffIndex as NDTiffIndex,
        ndtiff_summary as ndtiff_summary,
    )
    from zfuse.pipeline.sources._ome_zarr import (
        Growing as Growing,
        growing as growing,
        members as members,
    )
    from zfuse.pipeline.sources._planes import SUFFIXES as SUFFIXES, open_plane as open_plane

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_array": ["from_array"],
        "_collection": [
            "Collection",
            "open_collection",
            "open_member",
            "open_stack",
            "open_stacks",
        ],
        "_fused": ["FusedImage", "open_fused"],
        "_layout": ["NoStackError"],
        "_members": ["Member"],
        "_micromanager": ["mm_summary"],
        "_names": ["natural", "tokens"],
        "_ndtiff_index": ["NDTiffEntry", "NDTiffIndex", "ndtiff_summary"],
        "_ome_zarr": ["Growing", "growing", "members"],
        "_planes": ["SUFFIXES", "open_plane"],
    },
)
