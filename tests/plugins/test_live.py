"""Live pictures: films grow, stay within their budget, and say how they are shown."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.live import Acquisition
from zfuse import Fused
from zfuse.live import Session, StackKey
from zfuse.plugins._live import Film, LiveImages, Rate, Shown
from zfuse.plugins._live_run import LiveRun

IMAGE, DEPTH = Shown("image", 0), Shown("depth", 0)


def _fused(value: float, shape: tuple[int, ...] = (4, 5)) -> Fused:
    maps = shape[-2:]
    return Fused(
        np.full(shape, value, np.uint16),
        np.full(maps, value, np.float32),
        np.full(maps, 0.5, np.float32),
    )


def test_a_film_grows_and_is_blank_where_nothing_is() -> None:
    film = Film(np.ones((4, 5), np.float32))
    film.frames[2], film.length = np.ones((4, 5), np.float32), 3
    assert film.shape == (3, 1, 4, 5)
    assert np.isnan(film[0]).all()
    assert np.isnan(film[:2]).all()
    whole = np.asarray(film)
    assert whole.shape == film.shape
    np.testing.assert_array_equal(film[2, 0], np.ones((4, 5)))
    np.testing.assert_array_equal(film[1:3, :, 1, 2:], whole[1:3, :, 1, 2:])
    np.testing.assert_array_equal(film[..., 0], whole[..., 0])


def test_results_are_shown_by_position_channel_and_time() -> None:
    series = Acquisition(positions=2, channels=2).series()
    images = LiveImages(series)
    assert images.take_news() is None
    images.put(StackKey(1, 0), 0, _fused(3))
    images.put(StackKey(1, 1), 1, _fused(4))
    assert not images.is_whole(StackKey(1, 0))
    assert images.take_news() == StackKey(1, 1)
    assert images.take_news() is None
    assert images.of(0) == []
    shown = dict(images.of(1))
    assert [(s.quantity, s.channel) for s in shown] == [
        (quantity, c) for quantity in ("confidence", "depth", "image") for c in (0, 1)
    ]
    assert (shown[IMAGE][0] == 3).all()
    assert (shown[DEPTH][0] == 1.5).all()  # planes of 0.5 µm
    assert (shown[Shown("image", 1)][1] == 4).all()
    assert (shown[Shown("image", 1)][0] == 0).all()
    look = images.look(1, DEPTH, shown[DEPTH])
    assert look["name"] == "cells depth dye 0 (µm)"
    assert look["contrast_limits"] == (0, 1.5)
    assert look["scale"] == (1.0, 4 * 0.5, 0.1, 0.1)
    colours = {images.look(1, Shown("image", c), shown[IMAGE])["colormap"] for c in (0, 1)}
    assert len(colours) == 2


def test_channels_that_decide_together_share_their_maps() -> None:
    images = LiveImages(Acquisition(channels=2).series())
    images.put(StackKey(0, 0), None, _fused(3, (2, 4, 5)))
    assert images.is_whole(StackKey(0, 0))
    assert [s for s, _ in images.of(0)] == [
        Shown("confidence", None), Shown("depth", None), Shown("image", 0), Shown("image", 1)
    ]  # fmt: skip


def test_colours_are_one_layer() -> None:
    images = LiveImages(Acquisition(channels=1).series(rgb=True))
    images.put(StackKey(0, 0), None, _fused(3, (3, 4, 5)))
    shown, film = images.of(0)[-1]
    assert film.shape == (1, 1, 4, 5, 3)
    assert images.look(0, shown, film)["rgb"]


def test_memory_stays_within_its_budget() -> None:
    one = 4 * 5 * (2 + 4 + 4)
    images = LiveImages(Acquisition().series(), memory=3 * one)
    for t in range(10):
        images.put(StackKey(0, t), 0, _fused(t + 1))
    film = dict(images.of(0))[IMAGE]
    assert sorted(film.frames) == [7, 8, 9]
    assert film.shape[0] == 10
    assert (film[9] == 10).all()
    assert (film[0] == 0).all()
    assert images.blanked


def test_pictures_that_go_blank_are_told_of_once() -> None:
    run = LiveRun(lambda run: (run.cancel.wait() and "done") or "")
    run.images = LiveImages(Acquisition().series(), memory=100)
    for t in range(5):
        run.hooks["on_fused"](StackKey(0, t), 0, _fused(t + 1))
    run.stop()
    run.wait(20)
    (line,) = run.take_complaints()
    assert "output" in line


def test_what_is_left_of_the_acquisition_before_is_left_out() -> None:
    images = LiveImages(Acquisition().series())
    images.put(StackKey(0, 0), 0, _fused(1))
    images.put(StackKey(0, 1), 0, _fused(2, (8, 9)))
    assert {film.shape for _, film in images.of(0)} == {(1, 1, 4, 5)}


def test_it_takes_what_a_session_gives() -> None:
    acquisition = Acquisition(positions=2, times=3, channels=2)
    images = LiveImages(acquisition.series())
    session = Session(None, on_fused=images.put, workers=2)
    session.begin(acquisition.series())
    for frame in acquisition.frames():
        session.put(frame)
    session.end()
    assert images.stacks == 12
    for p in range(2):
        for _, film in images.of(p):
            assert film.shape == (3, 1, 70, 90)
            assert len(film.frames) == 3


def test_the_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate(5.0)
    assert rate(0.0, 0) == 0
    assert rate(1.0, 100) == pytest.approx(100)
    for second in range(2, 20):
        last = rate(float(second), 100 + 10 * (second - 1))
    assert last == pytest.approx(10)
    assert rate(21.0, 0) == 0
