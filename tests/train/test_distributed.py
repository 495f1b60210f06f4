"""How a process learns of the others: flags, environment, clusters."""

from types import SimpleNamespace

import pytest

from softaug_jax.checks import UsageError
from softaug_jax.train import distributed
from softaug_jax.train.distributed import Given, given


def flags(coordinator=None, num_processes=None, process_id=None, initialization_timeout=300, heartbeat_timeout=100):
    return SimpleNamespace(**locals())


def test_flags_come_before_the_environment():
    environment = {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
    assert given(flags(), environment) == Given("a:1", 4, 3)
    assert given(flags(process_id=0), environment) == Given("a:1", 4, 0)
    assert given(flags("[::1]:80", 2, 1), {}) == Given("[::1]:80", 2, 1)
    assert given(flags(), {}) is None


def test_an_address_in_the_environment_alone_is_left_to_jax():
    assert given(flags(), {"JAX_COORDINATOR_ADDRESS": "a:1"}) is None


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (flags("a:1"), ["--coordinator is not enough", "--num_processes=N", "$JAX_PROCESS_ID"]),
        (flags("a:1", 2), ["--coordinator and --num_processes", "--process_id=I"]),
        (flags(process_id=1), ["--process_id", "--coordinator=HOST:PORT", "--num_processes=N"]),
        (flags("a:1", 2, 2), ["--process_id=2", "from 0 to 1", "--num_processes=2"]),
        (flags("a:1", 2, -1), ["--process_id=-1"]),
        (flags("a:1", 0, 0), ["--num_processes=0", "at least 1"]),
        (flags("a", 2, 0), ["--coordinator=a", "HOST:PORT"]),
        (flags("a:http", 2, 0), ["--coordinator=a:http", "HOST:PORT"]),
        (flags("a:70000", 2, 0), ["--coordinator=a:70000", "HOST:PORT"]),
    ],
)
def test_what_is_missing_or_wrong_is_named(chosen, words):
    with pytest.raises(UsageError) as caught:
        given(chosen, {})
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_number_in_the_environment_that_is_none_is_named():
    with pytest.raises(UsageError, match=r"\$JAX_NUM_PROCESSES = 'two'"):
        given(flags("a:1", process_id=0), {"JAX_NUM_PROCESSES": "two"})


SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "2",
}
OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        (SLURM, True),
        ({**SLURM, "SLURM_NTASKS": "1"}, False),
        ({name: value for name, value in SLURM.items() if name != "SLURM_STEP_NODELIST"}, False),
        (OPEN_MPI, True),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_SIZE": "1"}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
    ],
    ids=["nothing", "srun", "srun of one task", "sbatch without srun", "mpirun", "mpirun of one", "a pod"],
)
def test_only_several_processes_of_a_cluster_are_joined(monkeypatch, environment, several):
    for name in (*SLURM, *OPEN_MPI, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert distributed.detected() is several


def test_one_machine_joins_nobody(monkeypatch):
    monkeypatch.setattr(distributed, "detected", lambda: False)
    with distributed.joined(flags()) as peers:
        assert peers.is_first
        peers.agree(anything=1)
        assert peers.first_says("here") == "here"
    with distributed.joined(flags("localhost:1", 1, 0)) as peers:
        assert peers is distributed.peers()


@pytest.mark.parametrize("name", ["initialization_timeout", "heartbeat_timeout"])
def test_timeouts_are_positive(name):
    with pytest.raises(UsageError, match=f"--{name}=0 must be at least 1"), distributed.joined(flags(**{name: 0})):
        pass
