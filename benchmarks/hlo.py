"""Reads what a benchmark needs from the text of a compiled program: its operations, collectives and cycles."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
PARTS = ("input", "augmentation", "forward", "backward", "update", "other")
OPERATION = re.compile(r"^\s+(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<type>\(.*?\)|\S+) (?P<opcode>[a-z][\w\-]*)\(")
_BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "f64": 64}
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$")
_ARRAY = re.compile(r"(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,]*)\]")


class Operation(NamedTuple):
    """One operation, and how often the program runs it."""

    name: str
    opcode: str
    arrays: tuple[tuple[str, int], ...]  # of its result: dtype and bytes
    path: str  # its op_name: jit(step)/augment/...; empty if the compiler made it
    cycles: int  # estimated, once
    times: int
    read: int  # bytes of its operands, though it may need a part of them only
    gathered: int = 0  # slices that its gathers read one after another

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.arrays)

    @property
    def is_kernel(self) -> bool:
        """Whether it is a kernel by Pallas."""
        return self.opcode == "custom-call" and self.path.split("/")[-1] == "pallas_call"


def operations(text: str) -> list[Operation]:
    """All operations that the entry reaches, those of loops as often as they run; none of inside a fusion.

    Of a conditional every branch is counted. A loop of unknown length counts once.
    """
    computations = computations_of(text)
    found: list[Operation] = []

    def visit(name: str, times: int) -> None:
        sizes: dict[str, int] = {}
        for line in computations[name]:
            match = OPERATION.match(line)
            if match is None:
                continue
            gathered = sum(_slices(each) for each in [line, *_fused(computations, line)])
            operation = _operation(match, line, times, sizes)._replace(gathered=gathered)
            sizes[operation.name] = operation.bytes
            found.append(operation)
            if match["opcode"] == "while":
                visit(_called("body", line)[0], times * _trips(computations, line))
            elif match["opcode"] == "call":
                visit(_called("to_apply", line)[0], times)
            elif match["opcode"] == "conditional":
                for branch in _called("branch_computations", line):
                    visit(branch, times)

    visit(next(name for name in computations if name.startswith("ENTRY ")), 1)
    return found


def computations_of(text: str) -> dict[str, list[str]]:
    """The lines of each computation; the entry's name begins with "ENTRY "."""
    computations: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        match = _COMPUTATION.match(line)
        if match:
            lines = computations[(match["entry"] or "") + match["name"]] = []
        else:
            lines.append(line)
    return computations


def collectives(found: Iterable[Operation]) -> Iterator[Operation]:
    """Those that wait for other devices; an asynchronous one is counted at its start."""
    for operation in found:
        if operation.opcode.removesuffix("-start") in COLLECTIVES:
            yield operation


def cycles_by_part(found: Iterable[Operation], outside: str = "update") -> Counter[str]:
    """Estimated cycles of each of PARTS. What is under no named part, as targets and optimiser, goes to `outside`.

    A fusion is where its root is.
    """
    cycles: Counter[str] = Counter()
    for operation in found:
        cycles[part_of(operation.path, outside)] += operation.cycles * operation.times
    return cycles


def cycles_by_scope(found: Iterable[Operation], scope: str) -> Counter[str]:
    """Estimated cycles by the name that follows `scope` in an operation's path."""
    cycles: Counter[str] = Counter()
    for operation in found:
        _, inside, rest = operation.path.partition(f"/{scope}/")
        if inside:
            cycles[rest.split("/")[0]] += operation.cycles * operation.times
    return cycles


def part_of(path: str, outside: str = "update") -> str:
    """The part of the step that an op_name is in: by the named scopes, and by JAX's names of differentiation."""
    if "/" not in path:
        return "other"
    scopes = path.split("/")
    for scope, part in (("augment", "augmentation"), ("input", "input")):
        if scope in scopes:
            return part
    if "transpose(jvp(" in path:
        return "backward"
    return "forward" if "jvp(" in path else outside


def with_gathers(found: Iterable[Operation], cycles: float) -> list[Operation]:
    """The same; gathers, to which the TPU compiler gives no estimate, with so many cycles a slice."""
    cost = lambda operation: operation.cycles or round(cycles * operation.gathered)
    return [operation._replace(cycles=cost(operation)) for operation in found]


def _fused(computations: dict[str, list[str]], line: str) -> Iterator[str]:
    """What is in a fusion, and in the fusions in it."""
    for name in _called("calls", line) if " fusion(" in line else ():
        for inside in computations.get(name, ()):
            yield inside
            yield from _fused(computations, inside)


def _trips(computations: dict[str, list[str]], line: str) -> int:
    """How often a loop runs: what the compiler says, or the one number in its condition, as JAX counts from 0."""
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
    if known:
        return int(known[1])
    condition = "\n".join(computations.get(_called("condition", line)[0], ()))
    limits = re.findall(r" s32\[\]\S* constant\((\d+)\)", condition)
    return int(limits[0]) if len(limits) == 1 and "direction=LT" in condition else 1


def _slices(line: str) -> int:
    """How many slices a gather reads; 0 if the line is none."""
    match = OPERATION.match(line)
    if match is None or match["opcode"] != "gather":
        return 0
    sizes = re.search(r"slice_sizes=\{([\d,]*)\}", line)
    shape = _ARRAY.search(match["type"])
    assert sizes is not None and shape is not None
    return _product(shape["shape"]) // max(1, _product(sizes[1]))


def _product(sides: str) -> int:
    return math.prod(int(side) for side in sides.split(",") if side)


def _called(kind: str, line: str) -> list[str]:
    match = re.search(rf"{kind}=(\{{[^}}]*\}}|%?[\w.\-]+)", line)
    assert match is not None
    return re.findall(r"[\w.\-]+", match[1])


def _operation(match: re.Match[str], line: str, times: int, sizes: dict[str, int]) -> Operation:
    """`sizes` has the bytes of what comes before it in its computation, by name."""
    operands = line[match.end() :].partition(")")[0]
    read = sum(sizes.get(name, 0) for name in re.findall(r"%([\w.\-]+)", operands))
    path = re.search(r'op_name="([^"]*)"', line)
    cycles = re.search(r'"estimated_cycles":"(\d+)"', line)
    arrays = tuple(_array(array) for array in _ARRAY.finditer(match["type"]))
    cost = int(cycles[1]) if cycles else 0
    return Operation(match["name"], match["opcode"], arrays, path[1] if path else "", cost, times, read)


def _array(match: re.Match[str]) -> tuple[str, int]:
    dtype = match["dtype"]
    bits = _BITS.get(dtype) or int(re.sub(r"\D", "", dtype) or 32)
    return dtype, _product(match["shape"]) * bits // 8
