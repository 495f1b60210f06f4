"""launch/slurm.sbatch and sweep.sbatch: what a task runs, on which devices, and when it is requeued."""

import sys
from pathlib import Path

import pytest

from tests.launch.scripts import path_with, run


def test_a_job_is_requeued_when_it_ended_well_but_unfinished(tmp_path):
    path = path_with(tmp_path, srun='shift; exec "$@"', scontrol='echo scontrol "$@"')
    environment = {"PATH": path, "SLURM_JOB_ID": "12", "PYTHON": "true"}
    assert run("slurm.sbatch", f"--workdir={tmp_path}", **environment).stdout == "scontrol requeue 12\n"
    (tmp_path / "summary.json").write_text("{}")
    assert run("slurm.sbatch", f"--workdir={tmp_path}", **environment).stdout == ""
    failed = run("slurm.sbatch", f"--workdir={tmp_path}/other", **environment | {"PYTHON": "false"})
    assert (failed.returncode, failed.stdout) == (1, "")


@pytest.mark.parametrize(
    ("variables", "devices"),
    [
        ({"SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_TASKS_PER_NODE": "64(x2)"}, "0,1,2,3"),  # CPUs: nothing was said of tasks
        ({"SLURM_NTASKS_PER_NODE": "1", "SLURM_NTASKS": "2", "SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_NTASKS_PER_NODE": "1", "SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_NTASKS": "2", "SLURM_TASKS_PER_NODE": "1(x2)"}, "0,1,2,3"),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_NTASKS": "8", "SLURM_TASKS_PER_NODE": "4(x2)"}, "unset"),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_TASKS_PER_NODE": "4(x2)"}, "unset"),
        ({"SLURM_NTASKS": "8", "SLURM_TASKS_PER_NODE": "4(x2)"}, "unset"),
    ],
)
def test_one_task_a_node_takes_all_gpus_of_the_node(tmp_path, variables, devices):
    (tmp_path / "summary.json").write_text("{}")
    environment = variables | {"SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4", "PYTHON": "true"}
    path = path_with(tmp_path, srun="echo ${JAX_LOCAL_DEVICE_IDS:-unset}")
    assert run("slurm.sbatch", f"--workdir={tmp_path}", **environment, PATH=path).stdout == f"{devices}\n"


def test_a_task_of_the_array_trains_the_run_of_its_number(tmp_path):
    environment = {
        "PATH": path_with(tmp_path, srun="printf '%s\\n' \"$@\"", scontrol='echo scontrol "$@"'),
        "SLURM_ARRAY_JOB_ID": "12",
        "SLURM_ARRAY_TASK_ID": "1",
        "PYTHON": sys.executable,
    }
    table = ["table1", "--method=SA", "--seeds=2", "--model=resnet18", f"--out={tmp_path}/t a"]
    table += ["--dataset=cifar10", "--", "--config.data.dir=a b"]
    done = run("sweep.sbatch", *table, **environment)
    words = done.stdout.splitlines()
    workdir = f"{tmp_path}/t a/cifar10/resnet18/sa/seed1"
    assert words[-3:] == [f"--workdir={workdir}", "--config.data.dir=a b", "scontrol requeue 12_1"]
    assert "seed=1" in words[-4]
    Path(workdir).mkdir(parents=True)
    (Path(workdir) / "summary.json").write_text("{}")
    assert run("sweep.sbatch", *table, **environment).stdout == f"# finished: {workdir}\n"
    beyond = run("sweep.sbatch", *table, **environment | {"SLURM_ARRAY_TASK_ID": "2"})
    assert beyond.returncode == 2
    assert "there is no run 2" in beyond.stderr and "--array=0-1." in beyond.stderr
