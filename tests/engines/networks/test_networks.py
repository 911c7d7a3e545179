"""What the network definitions promise: sizes, symmetries, finite reach, and that they learn."""

import pytest

torch = pytest.importorskip("torch")

from zfuse.engines.networks import Fusion2Void, FusionNet, Inpainter, Rpsnn, Umis  # noqa: E402

PAIRWISE = [Rpsnn, Fusion2Void, FusionNet]
NETWORKS = [Umis, *PAIRWISE]


@pytest.fixture(autouse=True)
def repeatable():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        yield


def fuser(network):
    """Return the network as a function of one image (both sources made from it), ready to infer."""
    model = network()
    if network is Umis:
        # Start the batch norms from real statistics, as training would.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        model.reconstruct(torch.rand(4, 1, 64, 64))
        attention = torch.linspace(0.2, 0.9, model.attention_size)
        model.eval()
        return lambda image: model(image[:, :1] * 2 - 1, attention, torch.tensor(False))[0]
    model.eval()
    return lambda image: model(image, image.flip(1) ** 2)


def image(height, width, batch=1):
    return torch.rand(batch, 3, height, width)


@pytest.mark.parametrize(
    ("network", "millions"),
    [
        (Umis, 1.5),  # "about 1.5 M"
        # Counted by hand from the layers' list: kernel² · in · out, and biases where there are any.
        # Branch 2352 + 9216 + 3 blocks + 2 pyramids; generator 73728 + 4 blocks + 4096 + 9408 + 81.
        (Rpsnn, (2 * (11568 + 3 * 73728 + 2 * 3 * 122880) + 73728 + 4 * 73728 + 13585) / 1e6),
        # Two encoders of 896 + 5 blocks, 18464, 3 blocks, 867; a block is 18496.
        (Fusion2Void, (2 * (896 + 5 * 18496) + 18464 + 3 * 18496 + 867) / 1e6),
        (Inpainter, (2624 + 8 * 18496 + 1734) / 1e6),
        (FusionNet, 1.885),
    ],
)
def test_is_as_large_as_published(network, millions):
    count = sum(parameter.numel() for parameter in network().parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.02 if network is Umis else 1e-3)


def test_rpsnn_has_no_biases():
    assert not [name for name, _ in Rpsnn().named_parameters() if not name.endswith("weight")]


@pytest.mark.parametrize("network", NETWORKS)
def test_constants_and_graphs_describe_the_network(network):
    assert network.halo % network.multiple == 0
    (graph,) = network().eval().graphs().values()
    inputs = graph.example_inputs()
    outputs = graph(**inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert list(network().graphs()) == [network.name]
    assert len(outputs) == len(graph.output_names)
    assert set(graph.dynamic_axes) <= {*inputs, *graph.output_names}
    for name, tensor in {**inputs, **dict(zip(graph.output_names, outputs, strict=True))}.items():
        assert (name in graph.dynamic_axes) == (tensor.ndim == 4)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("batch", "rows", "columns"), [(1, 1, 3), (3, 2, 1)])
@torch.no_grad()
def test_any_batch_and_size(network, batch, rows, columns):
    unit = network.multiple if network.multiple > 1 else 17
    fused = fuser(network)(image(rows * unit, columns * unit, batch))
    assert fused.shape == (batch, 1 if network is Umis else 3, rows * unit, columns * unit)
    assert fused.isfinite().all()


@pytest.mark.parametrize("network", PAIRWISE)
def test_a_plane_of_a_batch_is_the_plane_alone(network):
    fuse = fuser(network)
    batch = image(24, 20, 3)
    with torch.no_grad():
        torch.testing.assert_close(fuse(batch)[1:2], fuse(batch[1:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_moves_with_its_input(network):
    # A tile's place must not matter: cut the same scene one `multiple` further on.
    fuse, step, halo = fuser(network), network.multiple, network.halo
    scene = image(32, 2 * halo + 64)
    here, there = fuse(scene[..., :-step]), fuse(scene[..., step:])
    core, moved = here[..., halo + step : -halo], there[..., halo : -halo - step]
    assert (core - moved).abs().max() < 1e-3 * core.abs().max()
    assert not torch.allclose(core, there[..., halo + step : -halo], atol=1e-2 * core.abs().max())


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_halo_covers(network):
    fuse, halo, core = fuser(network), network.halo, 16
    side = 2 * (halo + 16) + core
    first, second = image(side, side), image(side, side)
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[16 : side - 16, 16 : side - 16] = True
    middle = (..., slice(16 + halo, 16 + halo + core), slice(16 + halo, 16 + halo + core))
    before = fuse(first)[middle]
    outside_changed = (fuse(torch.where(inside, first, second))[middle] - before).abs().mean()
    all_changed = (fuse(second)[middle] - before).abs().mean()
    assert outside_changed < 1e-3 * all_changed


@torch.no_grad()
def test_umis_given_what_it_measured_is_the_same():
    model = Umis().eval()
    planes, zeros = torch.rand(2, 1, 32, 48) * 2 - 1, torch.zeros(model.attention_size)
    activity, attention = model(planes, zeros, torch.tensor(True))
    again, kept = model(planes, attention, torch.tensor(False))
    torch.testing.assert_close(again, activity)
    torch.testing.assert_close(kept, attention)
    assert (attention > 0).all()
    assert (attention < 1).all()
    assert (activity >= 0).all()


@torch.no_grad()
def test_umis_measures_all_planes_together():
    model = Umis().eval()
    planes, zeros = torch.rand(2, 1, 32, 32) * 2 - 1, torch.zeros(model.attention_size)
    pooled = model(planes, zeros, torch.tensor(True))[1]
    twice = model(planes.repeat(2, 1, 1, 1), zeros, torch.tensor(True))[1]
    torch.testing.assert_close(twice, pooled)
    assert not torch.allclose(model(planes[:1], zeros, torch.tensor(True))[1], pooled, atol=1e-7)


@torch.no_grad()
def test_umis_uses_each_part_of_the_attention():
    # Zero scales for the last block (16 channels) leave nothing; for the first, something else.
    model = Umis().eval()
    plane, half = torch.rand(1, 1, 32, 32) * 2 - 1, torch.full((model.attention_size,), 0.5)
    last, first = half.clone(), half.clone()
    last[-16:], first[:16] = 0, 0
    given = torch.tensor(False)
    assert model(plane, half, given)[0].max() > 0
    assert model(plane, last, given)[0].max() == 0
    assert not torch.allclose(model(plane, first, given)[0], model(plane, half, given)[0])


@torch.no_grad()
def test_umis_trains_with_an_attention_for_each_image():
    model = Umis().eval()
    planes = torch.rand(2, 1, 32, 32) * 2 - 1
    together, alone = model.reconstruct(planes), model.reconstruct(planes[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_fusion2void_forgets_the_order():
    model, first, second = Fusion2Void().eval(), image(24, 31), image(24, 31)
    assert torch.equal(model(first, second), model(second, first))
    assert not torch.allclose(model(first, second), model(first, first))


@torch.no_grad()
def test_rpsnn_scales_with_the_exposure():
    model, first, second = Rpsnn().eval(), image(24, 31), image(24, 31)
    expected = 3 * model(first, second)
    torch.testing.assert_close(model(3 * first, 3 * second), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_inpainter_answers_with_both_sources():
    first, second = Inpainter()(image(20, 33, 2), image(20, 33, 2), image(20, 33, 2))
    assert first.shape == second.shape == (2, 3, 20, 33)
    assert not torch.equal(first, second)


def loss_of(network, model):
    target = torch.linspace(0.2, 0.8, 32).expand(2, 3, 32, 32)
    first, second = target + 0.05 * torch.randn(2, *target.shape)

    def loss():
        if network is Umis:
            answer, truth = model.reconstruct(first[:, :1] * 2 - 1), target[:, :1] * 2 - 1
        elif network is Inpainter:
            answer, truth = torch.cat(model(first, second, target), 1), torch.cat([target] * 2, 1)
        else:
            answer, truth = model(first, second), target
        return (answer - truth).square().mean()

    return loss


@pytest.mark.parametrize("network", [*NETWORKS, Inpainter])
def test_a_step_of_training_lowers_the_loss(network):
    model = network().train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-5)
    loss = loss_of(network, model)
    before = loss()
    before.backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all()
        for parameter in model.parameters()
    )
    optimiser.step()
    assert loss() < before
