"""What kind of work each operation of a compiled program is, from the program's text."""

from __future__ import annotations

import re

from benchmarks import hlo

CONTAINER = "container"  # a loop or branch: its operations are in a trace themselves
OTHER = "other"

# A fusion is of the first kind of which it holds an operation.
KINDS: dict[str, tuple[str, ...]] = {
    "convolution": ("convolution",),
    "matrix": ("dot", "cholesky", "triangular-solve"),
    "sort": ("sort", "topk"),
    "gather": ("gather", "scatter"),
    "reduction": ("reduce", "reduce-window", "select-and-scatter"),  # BatchNorm's statistics and gradients, mostly
    "random": ("rng-bit-generator", "rng-get-and-update-state"),
    "elementwise": (
        "add", "subtract", "multiply", "divide", "maximum", "minimum", "select", "compare", "convert", "exponential",
        "log", "rsqrt", "sqrt", "negate", "tanh", "and", "or", "xor", "not", "clamp", "floor", "power", "abs", "sine",
        "shift-left", "shift-right-arithmetic", "shift-right-logical",
    ),
    "move": ("copy", "transpose", "pad", "slice", "dynamic-slice", "dynamic-update-slice", "concatenate", "reverse",
             "broadcast", "reshape", "bitcast", "iota", "copy-start", "copy-done"),
}  # fmt: skip
THREEFRY = {"shift-left", "shift-right-logical", "xor"}  # what a fusion of JAX's random numbers has, and a policy's not
_LIBRARY = (("conv", "convolution"), ("gemm", "matrix"), ("matmul", "matrix"), ("sort", "sort"), ("topk", "sort"))
_CONTAINERS = ("while", "conditional", "async-start", "async-done")
_KIND_OF = {opcode: kind for kind, opcodes in KINDS.items() for opcode in opcodes}


def kinds(text: str) -> dict[str, str]:
    """From the name of each operation outside fusions to a key of KINDS, "other" or CONTAINER."""
    computations = hlo.computations_of(text)
    return {
        match["name"]: _kind(match["opcode"], line, computations)
        for lines in computations.values()
        for line in lines
        if (match := hlo.OPERATION.match(line))
    }


def _kind(opcode: str, line: str, computations: dict[str, list[str]]) -> str:
    if opcode == "custom-call":
        target = re.search(r'custom_call_target="([^"]*)"', line)
        name = target[1].lower() if target else ""
        return next((kind for word, kind in _LIBRARY if word in name), OTHER)
    called = re.search(r"(?:calls|to_apply)=%?([\w.\-]+)", line)
    if opcode not in ("fusion", "call") or called is None:
        return CONTAINER if opcode in _CONTAINERS else _KIND_OF.get(opcode, OTHER)
    inside = {m["opcode"] for m in map(hlo.OPERATION.match, computations.get(called[1], ())) if m}
    held = {_KIND_OF[opcode] for opcode in inside if opcode in _KIND_OF} | ({"random"} if inside >= THREEFRY else set())
    return next((kind for kind in KINDS if kind in held), OTHER)
