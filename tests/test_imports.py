"""Who may import whom: read from the source, and seen in a fresh process.

Ruff says it while one types, as far as it can: its exceptions are by file, for all its banned modules at once.
"""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORMULAS = ["softening.py", "crops.py", "*losses.py", "metrics.py", "calibration.py"]
CORE = [*FORMULAS, "checks.py", "numerics.py", "__init__.py", "augment/*"]
HEAVY = {"tensorflow", "tensorflow_datasets", "flax", "orbax", "optax", "matplotlib", "sklearn", "ml_collections"}
STEPS = ["softaug_jax.train", "softaug_jax.evals", "softaug_jax.models", "softaug_jax.data", "softaug_jax.report"]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function, in full."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def files(*patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in ROOT.glob(pattern) if path.suffix == ".py"]
    assert found
    return found


def belongs_to(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize(
    ("patterns", "forbidden"),
    [
        ([f"softaug_jax/{part}" for part in CORE], [*HEAVY, *STEPS, "configs"]),
        (
            ["softaug_jax/evals/*"],  # with optax, for the classifier that measures features
            [*(HEAVY - {"optax"}), *(f"softaug_jax.{part}" for part in ("train", "models", "data")), "configs"],
        ),
        (["softaug_jax/models/*"], [*(HEAVY - {"flax"}), *(set(STEPS) - {"softaug_jax.models"}), "configs"]),
        (["softaug_jax/data/*"], [*(HEAVY - {"tensorflow", "tensorflow_datasets", "sklearn"}), "softaug_jax.train"]),
        (
            ["softaug_jax/report/*"],
            ["flax", "orbax", "optax", "tensorflow", "tensorflow_datasets", "softaug_jax.train"],
        ),
        (["softaug_jax/train/*"], ["tensorflow", "tensorflow_datasets", "matplotlib", "configs"]),
        ([f"softaug_jax/{name}.py" for name in ("child", "commands")], [*HEAVY, *STEPS, "jax", "numpy"]),
        # It asks train whether a config can be trained.
        (["softaug_jax/sweep.py"], [*HEAVY, *(set(STEPS) - {"softaug_jax.train"}), "jax", "numpy"]),
        (["configs/*"], [*(HEAVY - {"ml_collections"}), "jax", "numpy", "softaug_jax"]),
    ],
    ids=lambda value: value[0] if value[0].count("/") else "",
)
def test_layers_import_only_what_lies_below(patterns, forbidden):
    for path in files(*patterns):
        wrong = {module for module in imports(path) if any(belongs_to(module, package) for package in forbidden)}
        assert not wrong, f"{path.relative_to(ROOT)} must not import {sorted(wrong)}"


def test_tensorflow_is_imported_in_one_file():
    tensorflow = {"tensorflow", "tensorflow_datasets"}
    importing = [path for path in files("softaug_jax/**/*", "configs/*", "*.py") if imports(path) & tensorflow]
    assert [path.relative_to(ROOT).as_posix() for path in importing] == ["softaug_jax/data/tf_import.py"]


@pytest.mark.parametrize("module", ["softaug_jax", "softaug_jax.augment"])
def test_the_core_loads_jax_and_nothing_heavier(module):
    heavy = sorted(HEAVY | {"scipy.stats", "tqdm", "tensorboardX"})
    code = f"import sys, {module}; print(*[name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
@pytest.mark.parametrize(
    ("path", "line", "flagged"),
    [
        ("softaug_jax/losses.py", "import optax", True),
        ("softaug_jax/augment/color.py", "from flax import nnx", True),
        ("softaug_jax/train/steps.py", "import optax", False),
        ("softaug_jax/models/resnet.py", "from flax import nnx", False),
        ("softaug_jax/evals/probe.py", "from softaug_jax.train import loop", True),
        ("softaug_jax/evals/probe.py", "from softaug_jax import train", True),
        ("softaug_jax/evals/probe.py", "import orbax.checkpoint as ocp", True),
        ("softaug_jax/data/tfdata.py", "import tensorflow_datasets", True),
        ("softaug_jax/data/tf_import.py", "import tensorflow as tf", False),
    ],
)
def test_ruff_says_so_too(path, line, flagged):
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--stdin-filename", path, "--select", "TID251", "-"]
    result = subprocess.run(command, cwd=ROOT, input=line, capture_output=True, text=True, timeout=60)
    assert result.returncode == int(flagged), result.stdout + result.stderr
    assert (" is banned: " in result.stdout) == flagged
