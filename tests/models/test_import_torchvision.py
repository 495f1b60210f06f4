"""Torchvision's state dicts, faked as NumPy arrays with its names and shapes."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from softaug_jax import models
from softaug_jax.checks import UsageError
from softaug_jax.models import import_torchvision, weights


def norm(name, channels):
    fields = {f"{name}.{field}": (channels,) for field in ("weight", "bias", "running_mean", "running_var")}
    return {**fields, f"{name}.num_batches_tracked": ()}


def resnet_shapes(depths, bottleneck, classes):
    shapes = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    channels = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        out = width * (4 if bottleneck else 1)
        for i in range(depth):
            block = f"layer{stage + 1}.{i}"
            sizes = [(width, channels, 1), (width, width, 3), (out, width, 1)]
            for j, (o, c, k) in enumerate(sizes if bottleneck else [(width, channels, 3), (width, width, 3)], start=1):
                shapes |= {f"{block}.conv{j}.weight": (o, c, k, k), **norm(f"{block}.bn{j}", o)}
            if i == 0 and channels != out:
                shapes |= {f"{block}.downsample.0.weight": (out, channels, 1, 1), **norm(f"{block}.downsample.1", out)}
            channels = out
    return shapes | {"fc.weight": (classes, channels), "fc.bias": (classes,)}


def efficientnet_shapes(classes):
    shapes = {"features.0.0.weight": (32, 3, 3, 3), **norm("features.0.1", 32)}
    channels = 32
    rows = [(1, 3, 16, 1), (6, 3, 24, 2), (6, 5, 40, 2), (6, 3, 80, 3), (6, 5, 112, 3), (6, 5, 192, 4), (6, 3, 320, 1)]
    for stage, (expand, kernel, out, depth) in enumerate(rows, start=1):
        for i in range(depth):
            wide, squeezed = channels * expand, channels // 4
            layers = [] if expand == 1 else [(wide, channels, 1)]
            layers += [(wide, 1, kernel), None, (out, wide, 1)]
            for j, layer in enumerate(layers):
                name = f"features.{stage}.{i}.block.{j}"
                if layer is None:
                    shapes |= {f"{name}.fc1.weight": (squeezed, wide, 1, 1), f"{name}.fc1.bias": (squeezed,)}
                    shapes |= {f"{name}.fc2.weight": (wide, squeezed, 1, 1), f"{name}.fc2.bias": (wide,)}
                else:
                    o, c, k = layer
                    shapes |= {f"{name}.0.weight": (o, c, k, k), **norm(f"{name}.1", o)}
            channels = out
    shapes |= {"features.8.0.weight": (1280, channels, 1, 1), **norm("features.8.1", 1280)}
    return shapes | {"classifier.1.weight": (classes, 1280), "classifier.1.bias": (classes,)}


def fake(network, classes=7):
    """Every tensor a number of its own, and one element of it another, far from any diagonal."""
    shapes = {
        "resnet18": lambda: resnet_shapes((2, 2, 2, 2), False, classes),
        "resnet50": lambda: resnet_shapes((3, 4, 6, 3), True, classes),
        "resnet101": lambda: resnet_shapes((3, 4, 23, 3), True, classes),
        "efficientnet_b0": lambda: efficientnet_shapes(classes),
    }[network]()
    tensors = {name: np.full(shape, i, np.float32) for i, (name, shape) in enumerate(shapes.items())}
    for name, tensor in tensors.items():
        if tensor.ndim:
            tensor[(-1,) + (0,) * (tensor.ndim - 1)] = -tensors[name].max()
    return tensors


@pytest.mark.parametrize("network", import_torchvision.NETWORKS)
def test_every_tensor_is_used_once_and_every_array_filled(network):
    tensors = fake(network)
    params, stats = import_torchvision.convert(network, tensors)
    used = sorted(float(x.max()) for x in jax.tree.leaves((params, stats)))
    assert used == sorted(float(t.max()) for name, t in tensors.items() if "num_batches" not in name)


def test_names_and_axes_are_those_of_the_layer(tmp_path):
    tensors = fake("resnet50")
    params, stats = import_torchvision.convert("resnet50", tensors)
    block = params["blocks"][4]  # the second of the second stage
    np.testing.assert_array_equal(block["conv2"]["kernel"], tensors["layer2.1.conv2.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(params["classifier"]["kernel"], tensors["fc.weight"].T)
    np.testing.assert_array_equal(block["norm3"]["scale"], tensors["layer2.1.bn3.weight"])
    np.testing.assert_array_equal(
        stats["blocks"][3]["shortcut_norm"]["var"], tensors["layer2.0.downsample.1.running_var"]
    )


def test_depthwise_kernels_and_squeezes_of_efficientnet():
    tensors = fake("efficientnet_b0")
    params, _ = import_torchvision.convert("efficientnet_b0", tensors)
    first, second = params["blocks"][0], params["blocks"][2]  # only the first does not expand
    assert first["depthwise_conv"]["kernel"].shape == (3, 3, 1, 32)
    np.testing.assert_array_equal(
        first["depthwise_conv"]["kernel"][0, 0, 0], tensors["features.1.0.block.0.0.weight"][:, 0, 0, 0]
    )
    np.testing.assert_array_equal(first["squeeze"]["expand"]["bias"], tensors["features.1.0.block.1.fc2.bias"])
    np.testing.assert_array_equal(second["squeeze"]["reduce"]["bias"], tensors["features.2.1.block.2.fc1.bias"])
    np.testing.assert_array_equal(second["project_norm"]["bias"], tensors["features.2.1.block.3.1.bias"])


def test_the_command_writes_what_load_reads(tmp_path):
    tensors = fake("resnet18", classes=1000)
    np.savez(tmp_path / "theirs.npz", **tensors)
    command = [sys.executable, "-m", "softaug_jax.models.import_torchvision", "resnet18", str(tmp_path / "theirs.npz")]
    out = tmp_path / "new" / "ours.npz"
    done = subprocess.run([*command, f"--out={out}"], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Wrote resnet18, 1000 classes, 11,699,112 parameters and statistics, to ")
    model = models.create("resnet18", num_classes=1000, channels=3, dtype="float32", stem="imagenet")
    loaded = weights.load(out, model)
    jax.tree.map(np.testing.assert_array_equal, loaded, import_torchvision.convert("resnet18", tensors))
    assert [path.name for path in out.parent.iterdir()] == ["ours.npz"]
    assert "params.blocks.7.conv2.kernel" in np.load(out).files


def change(**changes):
    """The tensors of a ResNet-18 with some replaced, or removed if None."""
    tensors = {**fake("resnet18"), **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in tensors.items() if value is not None}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (lambda: change(layer3__0__bn2__bias=None), "has no layer3.0.bn2.bias, which the network needs"),
        (lambda: change(fc__bias=None), "has no fc.bias, which the network needs"),
        (lambda: change(aux__weight=np.ones(3)), "has aux.weight, which the network does not"),
        (
            lambda: change(layer4__1__conv1__weight=np.ones((512, 256, 3, 3))),
            r"layer4.1.conv1.weight has shape \(512, 256, 3, 3\), the network needs \(512, 512, 3, 3\)",
        ),
        (
            lambda: fake("resnet50"),
            "has layer1.0.conv3.weight, which the network does not",
        ),
        (
            lambda: fake("efficientnet_b0"),
            "has no .*, which the network needs. Is it of another network than resnet18\\?",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tensors, message):
    with pytest.raises(UsageError, match=message):
        import_torchvision.convert("resnet18", tensors())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.npz", None, "missing.npz can't be read: No such file"),
        ("missing.pth", None, "missing.pth is not there"),
        ("a.txt", b"", "a.txt must end with .pth, .pt or .npz"),
        ("a.npz", b"", "a.npz is damaged or not an .npz file"),
        ("a.npz", b"PK\x03\x04 and then nothing", "a.npz is damaged or not an .npz file"),
        ("a.npz", b"\x80\x04not a pickle", "a.npz is damaged or not an .npz file"),
    ],
)
def test_bad_files_are_one_line_and_code_2(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert import_torchvision.main(["resnet18", str(tmp_path / name), f"--out={tmp_path}/out.npz"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()


def test_words_are_no_weights_and_out_is_an_npz_file(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", **change(fc__bias=np.array(["a", "b"])))
    assert import_torchvision.main(["resnet18", str(tmp_path / "a.npz"), f"--out={tmp_path}/out.npz"]) == 2
    assert "fc.bias is not an array of numbers" in capsys.readouterr().err
    assert import_torchvision.main(["resnet18", str(tmp_path / "a.npz"), "--out=out.h5"]) == 2
    assert "--out=out.h5 must end with .npz" in capsys.readouterr().err
