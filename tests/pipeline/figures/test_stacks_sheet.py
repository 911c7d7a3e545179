import numpy as np

from zfuse.pipeline.figures import stacks_sheet


def drawn(stacks) -> np.ndarray:
    figure = stacks_sheet(
        ["a", "b"], ["time 1"], ["DAPI", "FITC"], stacks, shape=(64, 96), depth_range=(0, 5),
        pixel_size=0.5, title="two fields of view",
    )  # fmt: skip
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def test_it_grows_without_moving_what_is_there():
    rng = np.random.default_rng(0)

    def stack():
        return rng.integers(0, 4000, (64, 96), np.uint16), rng.uniform(0, 5, (64, 96))

    stacks = {(0, 0): {0: stack(), 1: stack()}}
    first = drawn(stacks)
    stacks[1, 0] = {1: stack()}
    second = drawn(stacks)
    assert first.shape == second.shape
    changed = (first != second).any(-1)
    columns = np.flatnonzero(changed.any(0))
    assert changed.any()
    assert columns[0] > first.shape[1] / 2, "only the second field of view has changed"
    assert second[:, : first.shape[1] // 2].std() > 30


def test_nothing_yet_can_be_drawn():
    assert drawn({}).max() > 200  # the names
