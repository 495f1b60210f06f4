"""How the tests, and the processes they start, have XLA compile."""


def flags(devices: int) -> str:
    """XLA_FLAGS for so many virtual CPU devices. The suite mostly compiles: less optimised is sooner."""
    return f"--xla_backend_optimization_level=1 --xla_force_host_platform_device_count={devices}"
