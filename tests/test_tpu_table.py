import shlex
from pathlib import Path

from benchmarks import tpu_table
from benchmarks.tpu_chips import slice_of
from softaug_jax.cli import config_of
from softaug_jax.run_files import read_json


def test_the_documentations_table_is_that_of_the_records(capsys):
    tpu_table.main(missing=False)
    printed = capsys.readouterr().out
    assert printed.count("\n") > 2
    assert printed in Path("docs/pods.md").read_text()


def test_the_records_are_of_what_their_names_say():
    found = 0
    for topology in tpu_table.SLICES.values():
        for model, augmentation in ((m, a) for m in tpu_table.MODELS for a in tpu_table.POLICIES):
            path = tpu_table.path_of(topology, model, augmentation)
            if path.exists():
                record, found = read_json(path), found + 1
                policy = config_of(record["config"]).augment.policy
                assert (record["topology"], record["model"]) == (topology, model)
                assert record["chips"] == slice_of(topology).chips and record["images_per_chip"] == 128
                assert policy == ("randaugment" if "randaugment" in augmentation else "none")
    assert found > 0


def test_the_table_is_whole(capsys):
    tpu_table.main(missing=True)
    assert capsys.readouterr().out == ""


def test_what_is_missing_is_a_command_for_each_record_that_is_not_there(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(tpu_table, "RESULTS", tmp_path)
    tpu_table.main(missing=True)
    commands = capsys.readouterr().out.splitlines()
    assert len(set(commands)) == len(tpu_table.SLICES) * len(tpu_table.MODELS) * len(tpu_table.POLICIES)
    for command in commands:
        options = dict(word.removeprefix("--").split("=", 1) for word in shlex.split(command)[3:])
        assert config_of([f"--config={options['config']}"]).augment.crop in ("soft", "soft_resized")
        assert Path(options["out"]).parent == tmp_path


def test_the_kernels_cycles_and_shares_are_those_of_the_records():
    pods = " ".join(Path("docs/pods.md").read_text().split())
    cycles, share, without = {}, {}, {}
    for path in Path("benchmarks/results/tpu_kernel").glob("*.json"):
        kernel = read_json(path)
        step = read_json(tpu_table.path_of(kernel["topology"], "resnet50", "soft_crop+randaugment"))
        chip, policy, total = kernel["topology"].split(":")[0], step["augmentation_cycles"]["policy"], step["cycles"]
        assert step["kernels"] == kernel["operations"] and step["images_per_chip"] == kernel["images_per_chip"]
        cycles[chip] = kernel["cycles"] / 1e6
        without[chip], share[chip] = (
            100 * (policy + more) / (sum(total.values()) + more) for more in (0, kernel["cycles"])
        )
    least, most = sorted(cycles, key=cycles.get)[:: len(cycles) - 1]
    assert f"at least {cycles[least]:.2f} ({least}) to {cycles[most]:.2f} ({most}) million cycles a step" in pods
    *first, last = (f"{share[chip]:.1f} % ({chip})" for chip in sorted(share, key=share.get))
    assert f"with them RandAugment is {', '.join(first)} and {last}" in pods
    assert f"RandAugment is {without['v5e']:.1f} % (v5e) to {without['v4']:.1f} % (v4) of ResNet-50's step" in pods
    assert len(share) == 4 and max(share.values()) < 10
