"""One visit to a machine with a GPU and no network: speed figures as small JSON files, in nine minutes.

  python -m softaug_jax.data.prepare cifar10 --archive=cifar-10-binary.tar.gz --format=npz --data_dir=DIR
  python -m benchmarks.gpu_session --data_dir=DIR --out=DIR [--minutes=9] [--parts=roofline,profile]

The first command, given once and anywhere, writes DIR/cifar10.npz. Each part is a process of its own with a limit of
time; one that fails or takes too long is named, and the next goes on. The exit code is 1 if one did. Records are
written as they grow, so that of a part whose time was up what it had seen is kept. The first three of the parts may
take the nine minutes together, and the others what they leave; in another visit they can be asked for alone. Parts
that are not asked for by default: members, startup, wide, imagenet.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import compare, machine, roofline, step_profile, throughput
from softaug_jax.commands import Parser, as_command, several
from softaug_jax.run_files import read_json, write_json

DEFAULT = ("throughput_128", "throughput_1024", "compare", "profile", "roofline")


class Part(NamedTuple):
    """A command that writes a record with --json, and the seconds it may take."""

    module: str
    words: tuple[str, ...]
    limit_s: float


def parts(data_dir: str, scratch: str, toy: bool) -> dict[str, Part]:
    """All parts by name; with `toy` digits and ResNet-8, to see that they run."""
    if toy:
        small = ("--dataset=digits", "--model=resnet8")
        few = (*small, "--batch_size=16", "--steps=2", "--rounds=1", "--cases=constant,soft_crop")
        peers = ("--epochs=1", "--seeds=0,1", "--rounds=1", "--laps=1", "--steps=2", "--peer_option=--workers=0")
        config: tuple[str, ...] = ("--config=configs/digits_sa.py:model=resnet8",)
        traced: tuple[str, ...] = (*small, "--batch_size=16")
        roof: tuple[str, ...] = (*small, "--batch_size=4", "--seconds=0.001")
        one, large, wide, imagenet = few, few, few, few
    else:
        data = (f"--data_dir={data_dir}",)
        one = (*data, "--batch_size=128", "--rounds=3", "--seconds=1")
        large = (*data, "--batch_size=1024", "--rounds=3", "--seconds=1", "--cases=constant,soft_crop,soft_crop+ra")
        wide = (*data, "--model=wideresnet28_10", "--rounds=3", "--seconds=1", "--cases=constant,soft_crop")
        imagenet = ("--random=4096", "--image_px=224", "--model=resnet50", "--batch_size=256", "--rounds=3",
                    "--steps_per_dispatch=8", "--cases=constant,soft_crop")  # fmt: skip
        peers = ("--epochs=2", "--seeds=0,1,2", "--rounds=2", "--laps=3", "--seconds=1")
        config = ("--config=configs/cifar10_sa.py:model=resnet18", f"--config.data.dir={data_dir}")
        traced, roof = (*data, "--batch_size=128"), ("--batch_size=128,1024", "--seconds=0.05")
    return {
        "throughput_128": Part("throughput", one, 150),
        "throughput_1024": Part("throughput", large, 110),
        "compare": Part("compare", (*config, *peers), 280),
        "profile": Part("step_profile", (*traced, "--cases=soft_crop", f"--out={scratch}/trace"), 90),
        "roofline": Part("roofline", roof, 150),
        "members": Part("throughput", (*one, "--members=3", "--cases=soft_crop"), 240),
        "startup": Part("throughput", (*one, "--startup", "--cases=soft_crop"), 240),
        "wide": Part("throughput", wide, 300),
        "imagenet": Part("throughput", imagenet, 300),
    }


def run(part: Part, out: Path, seconds: float, environment: dict[str, str]) -> str:
    """Runs a part for at most so long; returns what went wrong, or an empty string.

    When its time is up, or this program is interrupted, the process and those that it started are ended.
    """
    out.unlink(missing_ok=True)  # an earlier session's
    command = machine.python(f"benchmarks.{part.module}", *part.words, f"--json={out}")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"took more than {seconds:.0f} s"
        finally:
            if process.poll() is None:  # its time is up, or this program is ended
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return "" if code == 0 else f"exit code {code}: {output.read().strip()[-600:]}"


def table(part: Part, record: dict[str, Any]) -> str:
    """A part's figures, short."""
    tables = {"compare": compare.table, "roofline": roofline.table, "throughput": throughput.table}
    if part.module == "step_profile":
        return "\n".join(step_profile.table(record["profile"]))
    return tables[part.module](record)


@as_command
def main(words: list[str]) -> int:
    """Runs the parts, and prints the table of each as it ends; 1 if one failed."""
    parser = Parser(
        prog="python -m benchmarks.gpu_session",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data_dir", default="data", help="where cifar10.npz is; default: data")
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON files")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all together; default: 9")
    parser.add_argument(
        "--parts", type=several(str), default=DEFAULT, help=f"in this order; default: {','.join(DEFAULT)}"
    )
    parser.add_argument("--commit", help="what records name where the checkout has no .git to ask")
    parser.add_argument("--toy", action="store_true", help="digits and ResNet-8, to see that all parts run")
    options = parser.parse_args(words)
    deadline = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    outcome: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        known = parts(options.data_dir, scratch, options.toy)
        if unknown := [name for name in options.parts if name not in known]:
            parser.error(f"--parts={unknown[0]} is unknown. Choose from {', '.join(known)}.")
        environment = {"JAX_COMPILATION_CACHE_DIR": f"{scratch}/cache", **machine.environment()}
        if options.commit:
            environment[machine.COMMIT] = options.commit
        for name in options.parts:
            start, left = time.monotonic(), deadline - time.monotonic()
            path = options.out / f"{name}.json"
            wrong = run(known[name], path, min(left, known[name].limit_s), environment) if left > 0 else "no time left"
            outcome[name] = {"failed": wrong, "seconds": round(time.monotonic() - start, 1)}
            write_json(options.out / "session.json", {"command": words, "parts": outcome})
            print(f"{name}: {outcome[name]['seconds']:.0f} s {wrong or 'done'}", flush=True)
            if left > 0 and path.exists():
                print(table(known[name], read_json(path)), flush=True)
    return int(any(part["failed"] for part in outcome.values()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # and so ends the part that runs
    sys.exit(main())
