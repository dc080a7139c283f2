"""What a compiled program asks of each device: memory, collectives, and a floor of its time."""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import jax

ITEM_BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s64": 8,
              "u64": 8, "f64": 8}  # fmt: skip
OTHER_BYTES = 4
KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")


@dataclasses.dataclass(frozen=True)
class Chip:
    """A device's speeds, from its maker's data sheet.

    Attributes:
      memory: bytes a second from its own memory.
      interconnect: bytes a second that it receives from others, over all links.
    """

    memory: float
    interconnect: float


# Part of a device's name → its speeds; the rates of products are in `utilisation.PEAKS`.
CHIPS = {
    "TPU v6 lite": Chip(1_640e9, 448e9),
    "TPU v5 lite": Chip(819e9, 200e9),
    "TPU v5": Chip(2_765e9, 600e9),
    "TPU v4": Chip(1_200e9, 300e9),
}


@dataclasses.dataclass(frozen=True)
class Collectives:
    """All collectives of one kind, in one call of the program.

    Attributes:
      count: how many.
      bytes: that each device receives, with rings.
    """

    count: int
    bytes: float


NONE = Collectives(0, 0.0)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program, for each device.

    Attributes:
      arguments, temporaries, outputs, code: bytes; outputs without those that take an argument's
        memory.
      collectives: kind → number and bytes.
    """

    arguments: int
    temporaries: int
    outputs: int
    code: int
    collectives: Mapping[str, Collectives]

    @property
    def memory(self) -> int:
        """Bytes in all."""
        return self.arguments + self.temporaries + self.outputs + self.code


def chip(device_kind: str) -> Chip | None:
    """The speeds of a device, by its name, or None for one that is not in the table."""
    return next((found for name, found in CHIPS.items() if name in device_kind), None)


def describe(compiled: jax.stages.Compiled, devices: int) -> Program:
    """Reads off a compiled program what it asks of each of its devices."""
    memory = compiled.memory_analysis()
    return Program(
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        outputs=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        collectives=collectives(compiled.as_text(), devices),
    )


def collectives(hlo: str, devices: int) -> dict[str, Collectives]:
    """Kind → number and bytes of the collectives of a program, loops counted as often as they run.

    Bytes that a device receives, of a result of R bytes in a group of n devices: R (n − 1) / n of
    an all-gather or all-to-all, twice that of an all-reduce, R (n − 1) of a reduce-scatter, R of a
    permutation.

    Args:
      hlo: text of the compiled program.
      devices: that it runs on.
    """
    computations = _computations(hlo)
    counts, sizes, seen = defaultdict(int), defaultdict(float), set()
    for name, times in _calls(computations).items():
        for kind, result, n, channel in _collectives_in(computations[name], name, devices):
            if channel and (kind, channel) in seen:
                continue  # an asynchronous one shows in each of its parts
            seen.add((kind, channel))
            share = (n - 1) / n
            received = {"all-reduce": 2 * share, "reduce-scatter": n - 1, "collective-permute": 1}
            counts[kind] += times
            sizes[kind] += times * result * received.get(kind, share)
    return {kind: Collectives(counts[kind], sizes[kind]) for kind in KINDS if counts[kind]}


def _computations(hlo: str) -> dict[str, list[str]]:
    """Name → instructions; the one that the program begins with is called ENTRY."""
    found, name = {}, None
    for line in hlo.splitlines():
        if head := re.match(r"(ENTRY )?%(\S+) \(.*\{$", line):
            name = "ENTRY" if head[1] else head[2]
            found[name] = []
        elif line.startswith("}"):
            name = None
        elif name is not None:
            found[name].append(line)
    return found


def _calls(computations: Mapping[str, list[str]]) -> dict[str, int]:
    """Computation → how often it runs."""
    times: dict[str, int] = defaultdict(int)

    def visit(name: str, count: int) -> None:
        times[name] += count
        for line in computations[name]:
            inside = count
            if loop := re.search(r" while\(.*condition=%([^,\s]+)", line):
                inside *= _trips(line, computations[loop[1]])
            for callee in re.findall(r"(?:calls|body|to_apply)=%([^,\s}]+)", line):
                visit(callee, inside)
            for branches in re.findall(r"branch_computations=\{([^}]*)\}", line):
                for callee in re.findall(r"%([^,\s]+)", branches):
                    visit(callee, count)

    visit("ENTRY", 1)
    return times


def _trips(loop: str, condition: list[str]) -> int:
    """How often a loop with a counter runs at most; 1 when it has none."""
    if known := re.search(r'known_trip_count":\{"n":"(\d+)"', loop):
        return int(known[1])
    bounds = re.findall(r"s32\[\]\S* constant\((\d+)\)", "\n".join(condition))
    return int(bounds[0]) if len(bounds) == 1 else 1


def _collectives_in(
    lines: list[str], name: str, devices: int
) -> Iterator[tuple[str, float, int, str]]:
    """Kind, bytes of the result, size of a group, and channel of each collective."""
    pattern = rf" = (.*?) ({'|'.join(KINDS)})(?:-start)?\("
    for line in lines:
        if not (found := re.search(pattern, line)):
            continue
        parts = [_bytes(shape) for shape in re.findall(r"[a-z]+\d*\[[\d,]*\]", found[1])]
        # The start of an asynchronous one gives its operand as well as its result.
        result = max(parts) if "-start(" in line else sum(parts)
        kind, n = found[2], _group(line, devices)
        if kind == "all-reduce" and name.startswith("all-reduce-scatter"):
            kind, result = "reduce-scatter", result / n  # TPUs keep a part of the sum each
        channel = re.search(r"channel_id=(\d+)", line)
        yield kind, result, n, channel[1] if channel else ""


def _bytes(shape: str) -> float:
    kind, _, dims = shape.rstrip("]").partition("[")
    items = math.prod(int(size) for size in dims.split(",") if size)
    return items * ITEM_BYTES.get(kind, OTHER_BYTES)


def _group(line: str, devices: int) -> int:
    """How many devices take part together."""
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", line):
        return listed[1].count(",") + 1
    if counted := re.search(r"replica_groups=\[(\d+),(\d+)\]", line):
        return int(counted[2])
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", line):
        sizes = dict(re.findall(r"('[^']+')=(\d+)", named[1]))
        return math.prod(int(sizes[axis]) for axis in named[2].split(","))
    return devices


def floors(
    flops: float, memory: float, received: float, peak: float, chip: Chip
) -> dict[str, float]:
    """Least seconds that a device's products, memory and interconnect take (roofline).

    Args:
      flops: of its products.
      memory: bytes that it must read or write at least.
      received: bytes from other devices.
      peak: its FLOP/s.
      chip: its other speeds.
    """
    return {
        "products": flops / peak,
        "memory": memory / chip.memory,
        "interconnect": received / chip.interconnect,
    }
