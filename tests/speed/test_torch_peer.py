"""The PyTorch peer is the same recipe: from the same parameters and images it makes the same steps."""

import argparse
import json
import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import training
from softaug_jax import crops
from softaug_jax.cli import config_of
from softaug_jax.train import optim

torch = pytest.importorskip("torch")

from benchmarks import torch_data, torch_model, torch_peer

OPTIONS = argparse.Namespace(loader="gpu", device="cpu", compile="off", compile_mode="default", workers=0)


def digits_config(*words):
    return config_of(["--config=configs/digits_sa.py:model=resnet8,epochs=2", "--config.batch_size=16", *words])


def put(params, model):
    """Copies our parameters into the peer's network, layer by layer."""
    as_torch = lambda array: torch.from_numpy(np.array(array))
    conv = lambda module, leaf: module.weight.data.copy_(as_torch(leaf["kernel"]).permute(3, 2, 0, 1))

    def norm(module, leaf):
        module.weight.data.copy_(as_torch(leaf["scale"]))
        module.bias.data.copy_(as_torch(leaf["bias"]))

    conv(model.stem, params["stem"])
    norm(model.stem_norm, params["stem_norm"])
    for number, block in enumerate(model.blocks):
        ours = params["blocks"][number]
        for name in ("conv1", "conv2"):
            conv(getattr(block, name), ours[name])
        for name in ("norm1", "norm2"):
            norm(getattr(block, name), ours[name])
        if block.shortcut is not None:
            conv(block.shortcut[0], ours["shortcut_conv"])
            norm(block.shortcut[1], ours["shortcut_norm"])
    model.classifier.weight.data.copy_(as_torch(params["classifier"]["kernel"]).T)
    model.classifier.bias.data.copy_(as_torch(params["classifier"]["bias"]))


def test_steps_from_the_same_state_on_the_same_images_are_the_same():
    config = digits_config()
    config.data.steps_per_dispatch = 1
    arrays, about = training.data_of("digits", "")
    ours, peer = training.start(config, arrays, about), torch_peer.Peer(config, OPTIONS)
    put(jax.device_get(ours.state.params), peer.model)
    images, labels = arrays.images[:16], arrays.labels[:16]
    offsets = np.array(crops.sample_offsets(jax.random.key(3), (16,), size=(8, 8)))
    batch = {"image": jnp.asarray(images), "label": jnp.asarray(labels), "crop": jnp.asarray(offsets)}
    step = jax.jit(ours.parts.step)
    normal = torch_data.normalised(images, about, "cpu").permute(0, 3, 1, 2)
    shifted = torch.stack([torch_data.shift(image, *t) for image, t in zip(normal, offsets.tolist(), strict=True)])
    visibility = torch_data.visibility_of(torch.from_numpy(offsets), (8, 8)).float()
    peer._batches = iter([torch_data.Batch(shifted, torch.from_numpy(labels).long(), visibility)] * 3)
    peer.total_steps = ours.parts.schedule.total_steps
    state = ours.state
    for _ in range(3):
        state, sums = step(state, batch)
        means = peer.advance(1)
        for name in ("loss", "weight", "visibility", "top1_error"):
            np.testing.assert_allclose(means[name], sums.means[name], rtol=1e-3, err_msg=name)
    expected = torch_model.create("resnet8", channels=1, num_classes=10)
    put(jax.device_get(state.params), expected)
    for (name, value), seen in zip(expected.named_parameters(), peer.model.parameters(), strict=True):
        np.testing.assert_allclose(seen.detach(), value.detach(), rtol=2e-2, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "resnet20"])
def test_networks_have_our_parameters(name):
    from softaug_jax import models

    params, _ = jax.eval_shape(models.create(name, num_classes=10, channels=3).init, jax.random.key(0))
    ours = sorted(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    peer = torch_model.create(name, channels=3, num_classes=10)
    assert sorted(p.numel() for p in peer.parameters()) == ours


def test_a_network_starts_as_ours_does():
    peer = torch_model.create("resnet18", channels=3, num_classes=10)
    torch_model.initialise(peer, 0)
    weight = peer.blocks[2].conv1.weight.detach()  # 64 to 128 channels
    np.testing.assert_allclose(weight.std(), math.sqrt(2 / (9 * 128)), rtol=0.02)
    first = peer.classifier.weight.detach().clone()
    assert first.abs().max() <= 1 / math.sqrt(512) and first.std() > 0.5 / math.sqrt(512)
    torch_model.initialise(peer, 1)
    assert not torch.equal(first, peer.classifier.weight)
    torch_model.initialise(peer, 0)
    assert torch.equal(first, peer.classifier.weight)


def test_offsets_are_a_truncated_normal_toward_zero():
    torch.manual_seed(0)
    random.seed(0)
    at_once = torch_data.soft_offsets(20_000, (32, 32), 0.3).numpy()
    one_by_one = np.array([torch_data.soft_offset((32, 32), 0.3) for _ in range(20_000)])
    ours = np.array(crops.sample_offsets(jax.random.key(0), (20_000,), size=(32, 32)))
    share = lambda offsets: np.histogram(offsets, np.arange(-31.5, 32))[0] / offsets.size
    for seen in (at_once, one_by_one):
        assert np.abs(seen).max() <= 31
        assert np.abs(share(seen) - share(ours)).max() < 0.005  # zero has twice the others' share in all
    visibility = torch_data.visibility_of(torch.from_numpy(ours), (32, 32))
    np.testing.assert_allclose(visibility, crops.crop_visibility(ours, (32, 32)), rtol=1e-6)


def test_the_device_s_loader_crops_as_we_do_and_shows_each_image_once(monkeypatch):
    arrays, about = training.data_of("digits", "")
    drawn = []
    real = torch_data.soft_offsets
    monkeypatch.setattr(torch_data, "soft_offsets", lambda *args: drawn.append(real(*args)) or drawn[-1])
    torch.manual_seed(0)
    loader = torch_data.DeviceLoader(
        arrays, about, 16, torch.device("cpu"), torch.float32, flip=False, sigma=0.3
    )  # fmt: skip
    whole = [batch.images for batch in loader.epoch(crops=False)]
    plain = torch_data.normalised(arrays.images, about, "cpu").numpy()[..., 0]
    assert len(whole) == 1437 // 16
    rows = {image.tobytes() for image in plain}
    assert all(image.numpy().tobytes() in rows for batch in whole for image in batch[:, 0])
    torch.manual_seed(0)
    order = torch.randperm(1437)
    torch.manual_seed(0)
    batches = list(loader.epoch(crops=True))
    offsets = drawn[-1].numpy()[:16]
    expected = crops.crop(plain[order[:16].numpy()][..., None], offsets)[..., 0]
    np.testing.assert_array_equal(batches[0].images[:, 0], expected)
    np.testing.assert_array_equal(batches[0].labels, arrays.labels[order[:16].numpy()])
    np.testing.assert_allclose(batches[0].visibility, crops.crop_visibility(offsets, (8, 8)), rtol=1e-6)


def test_the_per_image_loader_crops_normalised_images():
    pytest.importorskip("torchvision")
    arrays, about = training.data_of("digits", "")
    dataset = torch_data.PerImage(arrays, about, flip=False, sigma=0.3)
    plain = torch_data.normalised(arrays.images[:32], about, "cpu").numpy()[..., 0]
    seen = [dataset[number] for number in range(32)]
    visible = [v for _, _, v in seen]
    assert min(visible) < 1
    for (pixels, label, visibility), image, expected in zip(seen, plain, arrays.labels, strict=False):
        assert label == expected
        shown = [
            np.allclose(pixels[0], crops.crop(image[..., None], np.array([ty, tx]))[..., 0], atol=1e-6)
            for ty in range(-7, 8) for tx in range(-7, 8)
            if np.isclose((8 - abs(ty)) * (8 - abs(tx)) / 64, visibility)
        ]  # fmt: skip
        assert any(shown)
    dataset.crops.fill_(False)
    assert dataset[3][2] == 1.0


def test_a_seed_s_crops_are_the_same_again_without_workers():
    pytest.importorskip("torchvision")
    peer = torch_peer.Peer(digits_config(), argparse.Namespace(**{**vars(OPTIONS), "loader": "dataloader"}))
    seen = []
    for seed in (0, 1, 0):
        peer.start(seed)
        seen.append(next(peer._batches).visibility.tolist())
    assert seen[0] == seen[2] != seen[1]


def test_the_learning_rate_is_our_cosine():
    config = digits_config()
    peer = torch_peer.Peer(config, OPTIONS)
    ours = optim.learning_rate(config, peer.total_steps)
    seen = []
    for _ in range(3):
        peer.advance(1)
        seen.append(peer.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(seen, [ours(step) for step in range(3)], rtol=1e-6)


def test_speed_counts_images_and_curves_are_of_each_seed(tmp_path, capsys):
    out = tmp_path / "peer.json"
    words = ["--config=configs/digits_sa.py:model=resnet8,epochs=1", "--loader=gpu", "--device=cpu", f"--json={out}"]
    assert torch_peer.main([*words, "--steps=1", "--rounds=2"]) == 0
    assert len(json.loads(out.read_text())["images_per_second"]["rounds"]) == 2
    assert torch_peer.main([*words, "--config.batch_size=256", "--curve", "--seeds=0,1,0"]) == 0
    losses = json.loads(out.read_text())["train_loss"]
    assert [len(each) for each in losses] == [1, 1, 1]
    assert losses[0] == pytest.approx(losses[2], rel=1e-4) and losses[0] != losses[1]


@pytest.mark.parametrize("field", ["augment.policy=randaugment", "soften.mode=target", "augment.mix=mixup"])
def test_what_the_peer_has_not_is_refused(field, capsys):
    assert torch_peer.main(["--config=configs/digits_sa.py", f"--config.{field}"]) == 2
    assert field.partition("=")[0] in capsys.readouterr().err


def test_a_way_to_compile_is_refused_where_nothing_is_compiled(capsys):
    words = ["--config=configs/digits_sa.py:model=resnet8", "--device=cpu", "--compile_mode=reduce-overhead"]
    assert torch_peer.main([*words, "--loader=gpu"]) == 2
    assert "nothing is compiled on cpu" in capsys.readouterr().err
