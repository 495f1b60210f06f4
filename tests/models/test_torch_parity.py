"""The same weights in PyTorch give the same logits. Skipped where PyTorch is not installed, as in CI.

Networks that torchvision lacks are written here in PyTorch, with our names, so that only the arrays' layout differs.
"""

import jax
import numpy as np
import pytest

from softaug_jax import models
from softaug_jax.models import import_torchvision, pyramidnet, weights, wide_resnet

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
nn, F = torch.nn, torch.nn.functional

TORCH_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def prepare(network, seed=0):
    """Evaluation mode, with BatchNorm's parameters and statistics away from 0 and 1.

    Then a pass over noise sets the statistics to what the layers see, off by a random factor: with wholly random ones
    the activations of a hundred layers would overflow or vanish, and nothing would be compared.
    """
    torch.manual_seed(seed)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0.0, 0.2)
        norm.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(torch.randn(4, 3, 64, 64))
        for norm in norms:
            norm.running_mean += 0.2 * torch.randn_like(norm.running_mean) * norm.running_var.sqrt()
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.5, 2.0)
    return network.eval()


def numpy_state(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def compare(network, predict, params, stats, size, request, batch=2):
    """Largest difference of logits, absolute and relative to their largest; both are printed with -rP."""
    images = np.random.default_rng(1).normal(size=(batch, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    logits = np.asarray(jax.jit(predict)(params, stats, images))
    assert logits.shape == expected.shape
    assert expected.std() > 1e-2
    absolute = np.abs(logits - expected).max()
    print(f"{request.node.name}: absolute {absolute:.1e}, relative {absolute / np.abs(expected).max():.1e}")
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", import_torchvision.NETWORKS)
@pytest.mark.parametrize("stem", models.STEMS)
def test_torchvision(name, stem, request):
    network = getattr(torchvision.models, name)(num_classes=100)
    if stem == "cifar" and name == "efficientnet_b0":
        network.features[0][0].stride = (1, 1)
    elif stem == "cifar":
        network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    prepare(network)
    params, stats = import_torchvision.convert(name, numpy_state(network), stem=stem)
    model = models.create(name, num_classes=100, channels=3, dtype="float32", stem=stem)
    compare(network, model.predict, params, stats, 96 if stem == "imagenet" else 32, request)


def test_the_command_reads_a_saved_state_dict(tmp_path, capsys, request):
    network = prepare(torchvision.models.resnet18())
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    out = str(tmp_path / "weights.npz")
    assert import_torchvision.main(["resnet18", str(tmp_path / "weights.pth"), f"--out={out}"]) == 0
    assert "resnet18, 1000 classes" in capsys.readouterr().out
    model = models.create("resnet18", num_classes=1000, channels=3, dtype="float32", stem="imagenet")
    compare(network, model.predict, *weights.load(out, model), 64, request)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda network: network, "is damaged or not a state dict"),
        (lambda network: {"model": network.state_dict(), "epoch": 3}, "it holds a dict of model, epoch"),
        (lambda network: [1, 2], "it holds <class 'list'>"),
    ],
    ids=["module", "checkpoint", "list"],
)
def test_files_that_are_not_state_dicts_are_one_line(tmp_path, capsys, content, message):
    torch.save(content(nn.Linear(2, 2)), tmp_path / "a.pth")
    assert import_torchvision.main(["resnet18", str(tmp_path / "a.pth"), f"--out={tmp_path}/a.npz"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_a_damaged_file_is_one_line(tmp_path, capsys):
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04 and then nothing")
    assert import_torchvision.main(["resnet18", str(tmp_path / "a.pth"), f"--out={tmp_path}/a.npz"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def conv3(channels_in, channels, stride=1):
    return nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)


class TorchWideBlock(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels_in), conv3(channels_in, channels, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(channels), conv3(channels, channels)
        self.shortcut_conv = None
        if channels_in != channels or stride != 1:
            self.shortcut_conv = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x):
        y = F.relu(self.norm1(x))
        identity = x if self.shortcut_conv is None else self.shortcut_conv(y)
        return identity + self.conv2(F.relu(self.norm2(self.conv1(y))))


class TorchPyramidBlock(nn.Module):
    def __init__(self, channels_in, channels, stride, p):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels_in), nn.Conv2d(channels_in, channels, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(channels), conv3(channels, channels, stride)
        self.norm3, self.conv3 = nn.BatchNorm2d(channels), nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(4 * channels)
        self.stride, self.p = stride, p

    def forward(self, x):
        y = self.conv1(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(y)))
        y = self.p * self.norm4(self.conv3(F.relu(self.norm3(y))))
        shortcut = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        zeros = shortcut.new_zeros(len(x), y.shape[1] - x.shape[1], *shortcut.shape[2:])
        return y + torch.cat([shortcut, zeros], 1)


class TorchPreActivation(nn.Module):
    """Stem, blocks, norm, ReLU, average, classifier."""

    def __init__(self, blocks, channels, stem_norm):
        super().__init__()
        self.stem = conv3(3, 16)
        self.stem_norm = nn.BatchNorm2d(16) if stem_norm else None
        self.blocks = nn.ModuleList(blocks)
        self.final_norm, self.classifier = nn.BatchNorm2d(channels), nn.Linear(channels, 100)

    def forward(self, x):
        x = self.stem(x) if self.stem_norm is None else self.stem_norm(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.classifier(F.relu(self.final_norm(x)).mean((2, 3)))


def torch_wide_resnet(depth, widen):
    blocks, channels = [], 16
    for width, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
        for i in range((depth - 4) // 6):
            blocks.append(TorchWideBlock(channels, width, stride if i == 0 else 1))
            channels = width
    return TorchPreActivation(blocks, channels, stem_norm=False)


def torch_pyramidnet(depth, alpha):
    """The width is summed up step by step and rounded where it is used."""
    n = (depth - 2) // 9
    blocks, channels, width, layer = [], 16, 16.0, 0
    for stage in range(3):
        for i in range(n):
            width, layer = width + alpha / (3 * n), layer + 1
            p = 1 - 0.5 * layer / (3 * n)
            blocks.append(TorchPyramidBlock(channels, round(width), 2 if stage > 0 and i == 0 else 1, p))
            channels = 4 * round(width)
    return TorchPreActivation(blocks, channels, stem_norm=True)


@pytest.fixture
def as_name(monkeypatch):
    """Gives a name to a network that has none, so that `models.create` makes it."""

    def register(build):
        monkeypatch.setitem(models.MODELS, "test", build)
        return models.create("test", num_classes=100, channels=3, dtype="float32")

    return register


def assert_same_network(network, model, request, size=32):
    theirs = numpy_state(prepare(network))
    arrays = {}
    for name in weights.names(model):
        _, *path, leaf = name.split(".")
        tensor = theirs.pop(".".join([*path, TORCH_LEAVES[leaf]]))
        arrays[name] = tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
    assert all(name.endswith("num_batches_tracked") for name in theirs)
    compare(network, model.predict, *weights.from_flat(model, arrays), size, request)


@pytest.mark.parametrize(("depth", "widen"), [(10, 1), (16, 2), (28, 10)])
def test_wide_resnet(depth, widen, as_name, request):
    model = as_name(lambda **kwargs: wide_resnet.WideResNet(depth, widen, **kwargs))
    assert_same_network(torch_wide_resnet(depth, widen), model, request)


@pytest.mark.parametrize(("depth", "alpha", "size"), [(20, 24, 32), (29, 48, 18), (272, 200, 32)])
def test_pyramidnet(depth, alpha, size, as_name, request):
    """At 18 pixels the last pooling is of an odd size, 9 to 5."""
    model = as_name(lambda **kwargs: pyramidnet.PyramidNet(depth, alpha, **kwargs))
    assert_same_network(torch_pyramidnet(depth, alpha), model, request, size)
