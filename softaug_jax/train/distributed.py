"""Joins the processes of one run, with `jax.distributed`. On one machine nothing of it is needed.

Cloud TPU, GKE with TPUs, Slurm and Open MPI are recognised by JAX. Elsewhere each process is told, by flags of main.py
or by the environment: where process 0 listens, how many there are, and which one it is. Told so, a process takes all
devices of its machine, or those in $JAX_LOCAL_DEVICE_IDS.

JAX is imported late: the flags are defined here, and a wrong command line is to be answered at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from absl import flags

from softaug_jax.checks import UsageError
from softaug_jax.train.peers import Peers
from softaug_jax.train.store import Store

MARGIN_SECONDS = 30  # after which JAX itself ends a process that ours should have ended

# Flag, environment variable and what to write, of the three that belong together.
GIVEN = {
    "coordinator": ("JAX_COORDINATOR_ADDRESS", "--coordinator=HOST:PORT"),
    "num_processes": ("JAX_NUM_PROCESSES", "--num_processes=N"),
    "process_id": ("JAX_PROCESS_ID", "--process_id=I"),
}
flags.disclaim_key_flags()  # they are main.py's
_peers = Peers()


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags that `joined` is given."""
    string, whole = (partial(define, flag_values=values) for define in (flags.DEFINE_string, flags.DEFINE_integer))
    string(
        "coordinator", None, "Several processes: HOST:PORT where process 0 listens. Clusters are recognised without it."
    )
    whole("num_processes", None, "Several processes: how many there are.")
    whole("process_id", None, "Several processes: which one this is, from 0.")
    whole(
        "initialization_timeout", 300, "Several processes: seconds to wait until all have started and read their data."
    )
    whole("heartbeat_timeout", 100, "Several processes: seconds of silence after which one is taken for dead.")


class Given(NamedTuple):
    """What a process must know to join."""

    coordinator_address: str
    num_processes: int
    process_id: int


def peers() -> Peers:
    """The other processes of this run; alone, if none were joined."""
    return _peers


def given(options: Any, environment: Mapping[str, str]) -> Given | None:
    """What flags, or else the environment, say of the three; None if they say nothing.

    Raises:
      UsageError: if only some are given, or one can't be used.
    """
    found = {name: getattr(options, name) for name in GIVEN}
    found = {name: environment.get(GIVEN[name][0]) if value is None else value for name, value in found.items()}
    missing = [name for name, value in found.items() if value is None]
    # Launchers may set the address alone, for JAX to find the rest.
    if missing == list(GIVEN) or (missing == ["num_processes", "process_id"] and options.coordinator is None):
        return None
    if missing:
        there = [GIVEN[name][1].partition("=")[0] for name in GIVEN if name not in missing]
        ways = " and ".join(f"{GIVEN[name][1]} (or ${GIVEN[name][0]})" for name in missing)
        raise UsageError(f"{' and '.join(there)} is not enough for several processes: add {ways}.")
    address = str(found["coordinator"])
    count, index = (_number(name, found[name]) for name in ("num_processes", "process_id"))
    if not re.fullmatch(r".*[^:]:\d{1,5}", address) or not 0 < int(address.rpartition(":")[2]) < 65536:
        raise UsageError(f"--coordinator={address} must be HOST:PORT, as in --coordinator=10.0.0.2:12345.")
    if count < 1:
        raise UsageError(f"--num_processes={count} must be at least 1.")
    if not 0 <= index < count:
        raise UsageError(f"--process_id={index} must be from 0 to {count - 1}: --num_processes={count}.")
    return Given(address, count, index)


def _number(name: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"${GIVEN[name][0]} = {value!r} must be a whole number.") from None


def detected() -> bool:
    """Whether this is one of several processes that a cluster's launcher has started, as JAX recognises them."""
    from jax._src import clusters

    for kind in clusters.ClusterEnv._cluster_types:
        if kind.opt_in_only_method or kind.__name__ == "K8sCluster":
            continue  # Kubernetes without TPUs: launch/gke_gpu.yaml sets the three variables
        if kind.is_env_present():
            return bool(kind.get_process_count() > 1)
    return False


@contextlib.contextmanager
def joined(options: Any) -> Iterator[Peers]:
    """Joins the other processes, if there are any; to be entered before JAX is asked for anything else.

    An error in the block ends this process and the others; leaving it otherwise waits for them.

    Raises:
      UsageError: if the flags can't be used.
    """
    global _peers
    for name in ("initialization_timeout", "heartbeat_timeout"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name}={getattr(options, name)} must be at least 1, in seconds.")
    told = given(options, os.environ)
    if (told.num_processes < 2) if told else not detected():
        yield _peers
        return
    _initialize(told, options.initialization_timeout, options.heartbeat_timeout)
    import jax
    from jax._src.distributed import global_state as state  # where Orbax looks for the store, too

    store = Store(state.client, state.process_id, state.num_processes, options.initialization_timeout)
    _peers = Peers(store, options.heartbeat_timeout)
    try:
        yield _peers
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        leave(error)
    _peers.close()
    jax.distributed.shutdown()
    _peers = Peers()


def leave(error: BaseException) -> None:
    """Ends this process and the others with one line that says why; if there are no others, does nothing."""
    from softaug_jax.train.training import NonFiniteLoss

    if _peers.is_alone:
        return
    if isinstance(error, UsageError):
        _peers.fail(str(error), 2)
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        _peers.fail(f"{_peers.name} ended with code {code}.", code)
    if isinstance(error, KeyboardInterrupt):
        _peers.fail(f"{_peers.name} was interrupted.", 130)
    if isinstance(error, NonFiniteLoss):
        _peers.fail(str(error), 1)
    _peers.crash(error)


def _initialize(told: Given | None, patience_seconds: int, timeout_seconds: int) -> None:
    import jax

    # The loop listens to SIGTERM itself; JAX's handler would swallow one that comes before.
    jax.config.update("jax_enable_preemption_service", False)
    logging.getLogger("jax._src.distributed").setLevel(logging.ERROR)  # proxy variables, which do not matter here
    address = told.coordinator_address if told else "process 0"
    everyone = f"all {told.num_processes}" if told else "all"
    message = (
        f"after {patience_seconds} s not {everyone} processes had met at {address}. Look whether each was started and "
        "can reach that host and port (--coordinator=HOST:PORT where the cluster is not recognised), or give them "
        "more time with --initialization_timeout=SECONDS."
    )
    timer = threading.Timer(patience_seconds, _give_up, [message])  # JAX would abort with a trace from C++
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            **(told._asdict() if told else {}),
            cluster_detection_method="deactivate" if told else None,
            initialization_timeout=patience_seconds + MARGIN_SECONDS,
            heartbeat_timeout_seconds=timeout_seconds + MARGIN_SECONDS,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise UsageError(f"The processes can't be joined at {address}: {' '.join(str(error).split())}.") from None
    finally:
        timer.cancel()


def _give_up(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(2)
