"""How the tests, and the processes they start, have XLA compile."""

from importlib.metadata import version

JAX = tuple(int(part) for part in version("jax").split(".")[:2])  # not imported: it reads the environment when it is

# Of jax.jit, for a large program that runs once: it compiles in less than half the time, and runs many times slower.
ONCE = {"xla_backend_optimization_level": 0}


def flags(devices: int) -> str:
    """XLA_FLAGS for so many virtual CPU devices. The suite mostly compiles: less optimised is sooner."""
    options = [
        f"--xla_force_host_platform_device_count={devices}",
        "--xla_backend_optimization_level=1",
        "--xla_llvm_disable_expensive_passes=true",
    ]
    if JAX < (0, 11):  # later ones have no other way to compile a fusion; this is a quarter sooner
        options.append("--xla_cpu_use_fusion_emitters=false")
    return " ".join(options)
