"""The JobSets, as far as they can be looked at without a cluster: what the API demands, and what must fit together."""

import re
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")  # Orbax brings it

ROOT = Path(__file__).parents[2]
FILES = {"gke_tpu.yaml": "google.com/tpu", "gke_gpu.yaml": "nvidia.com/gpu"}


def jobset(name):
    (document,) = yaml.safe_load_all((ROOT / "launch" / name).read_text())
    return document


@pytest.fixture(params=FILES)
def parts(request):
    """JobSet, its one replicated job, the job's spec, the pod's spec, the container, the resource it is limited by."""
    whole = jobset(request.param)
    (job,) = whole["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    return whole, job, spec, spec["template"]["spec"], container, FILES[request.param]


@pytest.mark.parametrize("name", FILES)
def test_it_opens_with_what_it_needs_and_the_line_that_uses_it(name):
    head = [line for line in (ROOT / "launch" / name).read_text().splitlines() if line.startswith("#")]
    assert any("Needs:" in line for line in head)
    assert any(name in line and "kubectl apply" in line for line in head)


@pytest.mark.parametrize("name", FILES)
def test_that_line_takes_an_image_by_its_whole_name(name):
    (program,) = re.findall(r"sed '(.+)' launch/", (ROOT / "launch" / name).read_text())
    values = iter(["us-docker.pkg.dev/project/images/softaug:1", "my-runs", "my-account"])
    program = re.sub(r"\.\.\.", lambda _: next(values), program)
    done = subprocess.run(["sed", program, ROOT / "launch" / name], capture_output=True, text=True, check=True)
    pod = yaml.safe_load(done.stdout)["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "us-docker.pkg.dev/project/images/softaug:1"
    assert pod["serviceAccountName"] == "my-account" and "--workdir=gs://my-runs/sa" in container["args"]
    assert "MY_" not in str(pod)


def test_what_the_api_demands_is_there(parts):
    whole, job, spec, pod, container, resource = parts
    assert (whole["apiVersion"], whole["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert whole["metadata"]["name"] and job["name"] and container["name"] and container["image"]
    assert job["replicas"] == 1
    assert spec["parallelism"] == spec["completions"] >= 2
    assert spec["completionMode"] == "Indexed"
    assert pod["restartPolicy"] in ("Never", "OnFailure")  # a Job takes no other
    assert container["resources"]["limits"][resource] > 0


def test_one_failure_starts_all_again_and_there_is_time_to_save(parts):
    whole, _, spec, pod, _, _ = parts
    assert whole["spec"]["failurePolicy"]["maxRestarts"] > 0
    assert spec["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"  # else one pod alone would start again
    assert pod["terminationGracePeriodSeconds"] > 30


def test_every_volume_that_is_mounted_exists(parts):
    _, _, _, pod, container, _ = parts
    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
    assert mounted == {volume["name"] for volume in pod.get("volumes", [])}


def test_the_command_is_there_and_its_config_can_be_built(parts):
    from softaug_jax.cli import config_of

    _, _, _, _, container, _ = parts
    (script,) = container["command"]
    assert (ROOT / script).exists()
    chosen = config_of([arg for arg in container["args"] if arg.startswith("--config")])
    assert chosen.data.dir == "gs://MY_BUCKET/data"  # as the workdir: what one pod writes the others see
    assert "--workdir=gs://MY_BUCKET/sa" in container["args"]


def test_gpu_pods_are_told_who_they_are():
    whole = jobset("gke_gpu.yaml")
    (job,) = whole["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry for entry in container["env"]}
    address, port = env["JAX_COORDINATOR_ADDRESS"]["value"].split(":")
    assert address == f"{whole['metadata']['name']}-{job['name']}-0-0.{whole['metadata']['name']}"
    assert {"containerPort": int(port)} in container["ports"]
    assert env["JAX_NUM_PROCESSES"]["value"] == str(job["template"]["spec"]["completions"])
    assert "job-completion-index" in env["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
