import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from zfuse.errors import ZfuseError
from zfuse.pipeline import RunConfig, run
from zfuse.pipeline.cli._app import app
from zfuse.pipeline.evaluation import (
    Evaluation,
    calibration_error,
    depth_mae,
    evaluate,
    psnr,
    ssim,
    surest_error,
)
from zfuse.pipeline.evaluation._maps import score_maps
from zfuse.pipeline.simulation import make_settings, simulate, write_simulated
from zfuse.pipeline.sources import FusedImage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A simulated stack, and its fusion in tiles of 64 px in three formats."""
    folder = tmp_path_factory.mktemp("evaluate")
    stack = folder / "stack.ome.zarr"
    settings = make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1)
    write_simulated(simulate(settings), stack)
    for name in ("fused.ome.zarr", "fused.ome.tif", "picture.png"):
        run(RunConfig.checked({"input": str(stack), "output": str(folder / name), "tile": 64}))
    return folder


def test_command_line_scores_a_fused_stack(folder):
    names = [str(folder / name) for name in ("fused.ome.zarr", "stack.ome.zarr")]
    result = CliRunner().invoke(app, ["evaluate", names[0], "--planes", names[1]])
    assert result.exit_code == 0, result.output
    for label in (
        "SSIM",
        "PSNR",
        "Q^AB/F",
        "Q_MI",
        "depth MAE",
        "surest 80 %: MAE",
        "calibration error",
        "noise gain",
        "seam index",
    ):
        assert label in result.output
    assert "are scaled to 0 to 255" in result.output


def test_scores_are_those_of_the_arrays(folder):
    result = evaluate(folder / "fused.ome.zarr", planes=folder / "stack.ome.zarr")
    image = tifffile.imread(folder / "fused.ome.tif").squeeze().astype(float)
    truth = simulate(make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1))
    low, span = truth.image.min(), float(np.ptp(truth.image))
    assert result.scores["ssim"] == pytest.approx(
        ssim(image - low, truth.image - low, data_range=span), abs=1e-6
    )
    assert result.scores["psnr"] == pytest.approx(
        psnr(image, truth.image, data_range=span), abs=1e-6
    )
    depth = tifffile.imread(folder / "fused.depth.tif").squeeze()
    assert result.scores["depth_mae"] == pytest.approx(depth_mae(depth, truth.depth_um), abs=1e-6)
    assert result.depth_unit == "µm"
    assert result.scores["depth_mae"] < 0.4 * 2.5
    assert 0.7 < result.scores["seam_index"] < 1.3


def test_confidence_is_scored_against_the_true_depth(folder):
    result = evaluate(folder / "fused.ome.zarr", planes=folder / "stack.ome.zarr")
    truth = simulate(make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1))
    depth = tifffile.imread(folder / "fused.depth.tif").squeeze()
    sure = tifffile.imread(folder / "fused.confidence.tif").squeeze()
    error = depth - truth.depth_um
    right = np.abs(error) <= truth.settings.optics.z_step
    least = surest_error(-np.abs(error), error)
    expected = {
        "calibration_error": calibration_error(sure, right),
        "surest_error": surest_error(sure, error),
        "surest_ratio": surest_error(sure, error) / least,
    }
    assert {name: result.scores[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert result.reliability.samples.sum() == 160 * 160
    assert ("ranking" in result.scores) != any("nothing to rank" in n for n in result.notes)


def test_blank_depth_is_left_out(folder, tmp_path):
    stack = folder / "stack.ome.zarr"
    limit = float(np.median(tifffile.imread(folder / "fused.confidence.tif")))
    values = {"input": str(stack), "output": str(tmp_path / "f.tif"), "min_confidence": limit}
    run(RunConfig.checked(values))
    result = evaluate(tmp_path / "f.tif", planes=stack)
    counted = result.reliability.samples
    assert 0.3 < counted.sum() / 160**2 < 0.7
    assert counted[: int(limit * 10)].sum() == 0
    assert any("depth is compared in" in note for note in result.notes)
    assert np.isfinite(list(result.scores.values())).all()


@pytest.mark.parametrize("channel", [0, 1])
def test_each_channel_is_scored_with_its_own_maps(channel):
    truth, step = np.zeros((1, 8, 8), np.float32), 2.0
    depth = np.stack([truth[0] + 1, truth[0] + 5])  # within a plane of 2 µm, and not
    sure = np.stack([np.full((8, 8), 0.9, np.float32), np.full((8, 8), 0.15, np.float32)])
    opened = FusedImage(depth, depth, sure, "micrometer", None, step, (), False)
    true = FusedImage(truth, truth[0], None, "micrometer", None, step, (), False)
    result = Evaluation()
    score_maps(opened, true, channel, step, result)
    assert result.scores["depth_mae"] == (1, 5)[channel]
    assert result.scores["calibration_error"] == pytest.approx((0.1, 0.15)[channel])
    result = Evaluation()
    score_maps(opened, true, channel, None, result)
    assert "calibration_error" not in result.scores
    assert any("need the z step" in note for note in result.notes)


def test_what_is_no_probability_is_not_scored_as_one():
    depth = np.zeros((8, 8), np.float32)
    opened = FusedImage(depth, depth, depth + 255, "plane", None, None, (), False)
    result = Evaluation()
    score_maps(opened, opened, 0, None, result)
    assert list(result.scores) == ["depth_rmse", "depth_mae"]
    assert any("no probability" in note for note in result.notes)


def test_the_reliability_diagram_is_drawn(folder, tmp_path):
    names = [str(folder / name) for name in ("fused.ome.zarr", "stack.ome.zarr")]
    picture = tmp_path / "r.png"
    asked = ["evaluate", names[0], "--planes", names[1], "--figure", str(picture)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert f"wrote {picture}" in done.output.replace("\n", " ").replace("  ", " ")
    assert picture.stat().st_size > 5000
    assert "exists" in CliRunner().invoke(app, asked).stderr
    assert CliRunner().invoke(app, [*asked, "--overwrite"]).exit_code == 0
    lone = ["evaluate", str(folder / "picture.png"), "--figure", str(tmp_path / "no.png")]
    done = CliRunner().invoke(app, lone)
    assert done.exit_code == 1
    assert "needs" in done.stderr
    assert not (tmp_path / "no.png").exists()


@pytest.mark.parametrize("name", ["fused.ome.tif", "picture.png"])
def test_formats_score_alike(folder, name):
    stack = folder / "stack.ome.zarr"
    result = evaluate(folder / name, planes=stack, tile=64)
    expected = evaluate(folder / "fused.ome.zarr", truth=stack, planes=stack)
    assert result.scores == pytest.approx(expected.scores, abs=1e-6)


def test_without_truth_and_planes_only_the_image_speaks(folder):
    result = evaluate(folder / "picture.png")
    assert list(result.scores) == ["spatial_frequency", "average_gradient"]


def test_noise_gain_tells_averaging_from_picking(folder, tmp_path):
    stack = folder / "stack.ome.zarr"
    planes = simulate(make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1))
    tifffile.imwrite(tmp_path / "mean.tif", np.rint(planes.planes.mean(0)).astype(np.uint16))
    tifffile.imwrite(tmp_path / "one.tif", planes.planes[3])
    gain = {
        name: evaluate(tmp_path / f"{name}.tif", planes=stack).scores["noise_gain"]
        for name in ("mean", "one")
    }
    assert gain["mean"] < 0.6 * gain["one"]


def test_depth_in_planes_is_converted_or_left_out(folder, tmp_path):
    stack = folder / "stack.ome.zarr"
    array = tmp_path / "bare.tif"
    tifffile.imwrite(
        array,
        simulate(make_settings(size=160, planes=8, photons=20_000, texture="fine", seed=1)).planes,
        photometric="minisblack",
        metadata={"axes": "ZYX"},
    )
    for name in ("one.tif", "two.ome.tif"):
        run(
            RunConfig.checked(
                {"input": str(array), "output": str(tmp_path / name), "overwrite": True}
            )
        )
        result = evaluate(tmp_path / name, truth=stack)
        expected = evaluate(folder / "fused.ome.zarr", truth=stack)
        assert result.scores["depth_mae"] == pytest.approx(expected.scores["depth_mae"], abs=0.01)


def test_what_does_not_belong_together_is_refused(folder, tmp_path):
    stack = folder / "stack.ome.zarr"
    with pytest.raises(ZfuseError, match="is a simulated stack, not one image"):
        evaluate(stack)
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((32, 32), np.uint16))
    with pytest.raises(ZfuseError, match="160 x 160"):
        evaluate(tmp_path / "small.tif", truth=stack)
