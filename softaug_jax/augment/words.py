"""Images with a pixel's channels in one integer, as a policy's passes hand them to each other.

Moving a pixel is then one look-up instead of one a channel. And the sum that packs the channels is where XLA stops
fusing on a CPU: without it each pass is worked out again for every pixel that the next one reads, which made
RandAugment four times slower (`optimization_barrier` does not help there).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def pack(images: jax.Array) -> jax.Array:
    """Images of up to three channels, whole numbers 0 to 255 [..., C], as int32 [...]."""
    channels = images.shape[-1]
    place = (8 * jnp.arange(channels, dtype=jnp.int32)).reshape((1,) * (images.ndim - 1) + (channels,))
    return jnp.sum(images.astype(jnp.int32) << place, axis=-1, dtype=jnp.int32)


def unpack(words: jax.Array, channels: int) -> jax.Array:
    """The images again, int32 [..., C]."""
    return jnp.stack([(words >> (8 * channel)) & 255 for channel in range(channels)], axis=-1)
