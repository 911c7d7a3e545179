"""Fusion methods: one file each, one line each in the table of `_table.py`."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from zfuse.pipeline.methods._method import Method as Method
    from zfuse.pipeline.methods._table import (
        DEFAULT_METHOD as DEFAULT_METHOD,
        METHODS as METHODS,
        MethodEntry as MethodEntry,
        make_method as make_method,
        warm_up as warm_up,
    )

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "_method": ["Method"],
        "_table": ["DEFAULT_METHOD", "METHODS", "MethodEntry", "make_method", "warm_up"],
    },
)
