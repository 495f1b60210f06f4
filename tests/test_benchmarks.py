"""The benchmark commands run from end to end at a toy size. Nothing here looks at a time."""

import json
import subprocess
import sys
from pathlib import Path

from tests.report.synthetic import make_run

ROOT = Path(__file__).parents[1]


def run(*command):
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_input_pipeline_measures_each_and_writes_its_record(tmp_path):
    out = tmp_path / "record.json"
    done = run("-m", "benchmarks.input_pipeline", "--images=512", "--rounds=1", "--seconds=0.05", f"--json={out}")
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert set(record["images_per_second"]) == {"host", "host+pixels", record["peer"]}
    for name, ratio in record["ratio_to_per_image"].items():
        (ours,), (peer,) = record["images_per_second"][name], record["images_per_second"][record["peer"]]
        assert ratio == ours / peer
        assert f"{ratio:.1f} x" in done.stdout
    assert {"command", "date", "commit", "versions", "machine"} <= set(record)


def test_record_copies_a_finished_run_and_refuses_another(tmp_path):
    finished, summary = make_run(tmp_path / "finished")
    summary |= {"epochs": 20, "device": "cpu"}
    (finished / "summary.json").write_text(json.dumps(summary))
    unfinished, _ = make_run(tmp_path / "unfinished", finished=False)
    done = run("-m", "benchmarks.record", finished, f"--out={tmp_path}/results")
    assert done.returncode == 0, done.stderr
    record = json.loads(Path(done.stdout.strip()).read_text())
    assert summary.items() <= record.items()
    other, _ = make_run(tmp_path / "other", changes={"epochs": 20, "batch_size": 128})
    (other / "summary.json").write_text(json.dumps(summary))
    clash = run("-m", "benchmarks.record", other, f"--out={tmp_path}/results")
    assert clash.returncode == 1
    assert "other settings" in clash.stderr and "--label=NAME" in clash.stderr
    assert run("-m", "benchmarks.record", other, f"--out={tmp_path}/results", "--label=other").returncode == 0
    refused = run("-m", "benchmarks.record", unfinished, f"--out={tmp_path}/results")
    assert refused.returncode == 1
    assert "is not finished" in refused.stderr
