"""Every CUDA kernel, compiled for real cards: it fits their registers, and rounds as the CPU does.

For Hopper by default; for all of `CARDS` on request (`-m slow`), as in `.ci/run`.
"""

import numpy as np
import pytest
from numba import config

pytest.importorskip("numba_cuda", reason="needs numba-cuda: pip install zfuse[cuda]")

from support import ptx
from support.cuda_cases import CASES

from zfuse.kernels import cuda as face

pytestmark = [
    pytest.mark.skipif(bool(config.ENABLE_CUDASIM), reason="the simulator compiles nothing"),
    pytest.mark.skipif(ptx.ptxas() is None, reason="needs ptxas: nvidia-cuda-nvcc-cu12"),
]

REGISTERS = 65536  # of a multiprocessor
WITH_LOGARITHM = {"_fit"}  # the card's own, made of fused products


def check(folder, cards, cases):
    with ptx.assembled(folder, cards) as done:
        for name in cases:
            CASES[name](face, np.array)
    assert done
    for kernel in done:
        print(
            f"{kernel.kernel} sm_{kernel.card[0]}{kernel.card[1]}: {kernel.registers} registers, "
            f"{kernel.shared} bytes shared, {kernel.spilled} spilled"
        )
        assert kernel.spilled == 0, kernel.kernel
        assert kernel.registers * kernel.threads <= REGISTERS
        assert kernel.shared <= 48 * 1024
        if kernel.kernel not in WITH_LOGARITHM:
            # A fused product and sum would round once where the CPU rounds twice.
            assert "fma.rn" not in kernel.ptx, kernel.kernel


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("fold_focus")])
def test_kernels_fit_hopper(tmp_path, name):
    check(tmp_path, [(9, 0)], [name])


def test_the_fold_fits_hopper(tmp_path):
    check(tmp_path, [(9, 0)], ["fold_focus-sml-u2"])


@pytest.mark.slow
@pytest.mark.parametrize("card", ptx.CARDS, ids=lambda card: "sm_{}{}".format(*card))
def test_kernels_fit_every_card(tmp_path, card):
    check(tmp_path, [card], CASES)
