"""GPUs to compile for with none at hand: what XLA asks of them, from NVIDIA's data sheets and programming guide."""

from __future__ import annotations

from typing import NamedTuple


class Gpu(NamedTuple):
    """A GPU.

    Attributes:
      device: its name.
      memory_bytes: of its memory.
      bandwidth: bytes per second of it.
      convolution_flops: that convolutions in bfloat16 may reach: assumed, half of the data sheet's.
      kernel_s: seconds from one kernel to the next that a short one takes: assumed.
    """

    device: str
    memory_bytes: int
    bandwidth: float
    convolution_flops: float = 450e12
    kernel_s: float = 2.5e-6

    @property
    def target_config(self) -> str:
        """The description that XLA's compiler takes, as text of its GpuTargetConfigProto. Hopper's limits."""
        return f"""
            gpu_device_info {{
              name: "{self.device}" device_vendor: "NVIDIA Corporation" platform_version: "Compute Capability 9.0a"
              cuda_compute_capability {{ major: 9 feature_extension: ACCELERATED_FEATURES }}
              core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98 threads_per_warp: 32 device_address_bits: 64
              threads_per_block_limit: 1024 threads_per_core_limit: 2048
              thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
              block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
              shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
              registers_per_core_limit: 65536 registers_per_block_limit: 65536
              device_memory_size: {self.memory_bytes} memory_bandwidth: {self.bandwidth:.0f} l2_cache_size: 52428800
              driver_version: "13.0.0" runtime_version: "13.0.0" compile_time_toolkit_version: "13.0.0"
              dnn_version: "9.10.0"
            }}
            platform_name: "CUDA"
            dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
            device_description_str: "{self.device}"
        """


GPUS = {
    "h100": Gpu("NVIDIA H100 80GB HBM3", 84_942_979_072, 3.35e12),
    "h200": Gpu("NVIDIA H200", 150_000_000_000, 4.8e12),
}
