"""The command: what it prints, writes and returns."""

import subprocess
import sys

import pytest

from softaug_jax.report.__main__ import main
from tests.report.synthetic import SOFT, make_run


@pytest.fixture
def runs(tmp_path):
    make_run(tmp_path / "runs" / "hard")
    make_run(tmp_path / "runs" / "soft", changes=SOFT)
    make_run(tmp_path / "runs" / "under_way", changes=SOFT, seed=1, finished=False)
    return tmp_path / "runs"


def test_it_prints_the_table_and_names_unfinished_runs(runs, capsys):
    assert main([str(runs)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Config")
    assert printed.err == f"{runs / 'under_way'} is not finished: left out.\n"
    assert main([str(runs), "--format=markdown"]) == 0
    assert capsys.readouterr().out.startswith("| Config")
    assert main([str(runs), "--format=csv"]) == 0
    assert capsys.readouterr().out.startswith("config,method,")


def test_it_writes_tables_and_figures(runs, tmp_path, capsys):
    assert main([str(runs), f"--out={tmp_path / 'out'}"]) == 0
    written = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert sorted(written) == ["learning_curves.png", "occlusion.png", "reliability.png", "table.csv", "table.md"]
    assert min(written.values()) > 200
    assert "Wrote table.md" in capsys.readouterr().out


def test_bad_input_is_one_line_and_exit_code_2(runs, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for argv in (
        [str(tmp_path / "none")],
        [str(runs / "under_way")],
        [str(runs / "hard"), f"--out={tmp_path / 'file'}"],
    ):
        assert main(argv) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len([line for line in lines if "left out" not in line]) == 1
    for argv in ([], [str(runs), "--format=xml"]):
        with pytest.raises(SystemExit) as exit_info:
            main(argv)
        assert exit_info.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_importing_report_loads_neither_tensorflow_nor_matplotlib():
    code = "import sys, softaug_jax.report; print(sorted({'tensorflow', 'matplotlib', 'flax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
