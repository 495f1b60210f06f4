"""README's example runs and prints what README says; README's numbers are those of the records."""

import contextlib
import io
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_example_prints_what_readme_says():
    code, printed = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README, re.S).groups()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    assert out.getvalue() == printed


def test_quoted_runs_are_recorded():
    rows = re.findall(r"^\| CIFAR-10 \| resnet8.*?\| ([\d.]+) \(n = 1\) \|.*`([\w.-]+\.json)`", README, re.M)
    assert rows
    for error, name in rows:
        record = json.loads((ROOT / "benchmarks" / "results" / name).read_text())
        assert f"{100 * record['top1_error']:.2f}" == error
