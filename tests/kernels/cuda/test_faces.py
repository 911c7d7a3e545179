"""CPU and CUDA kernels are twins: the same names, the same signatures."""

import inspect

import pytest

pytest.importorskip("numba_cuda", reason="needs numba-cuda: pip install zfuse[cuda]")

from zfuse.kernels import cpu, cuda


def test_names_agree():
    assert set(cuda.__all__) == {*cpu.__all__, "on_stream"}


@pytest.mark.parametrize("name", cpu.__all__)
def test_signatures_agree(name):
    here, there = getattr(cpu, name), getattr(cuda, name)
    if inspect.isclass(here) or not callable(here):
        assert there is here
    else:
        function = getattr(here, "py_func", here)
        parameters = [inspect.signature(f).parameters.values() for f in (function, there)]
        plain, twin = ([(p.name, p.kind, p.default) for p in each] for each in parameters)
        assert twin == plain
