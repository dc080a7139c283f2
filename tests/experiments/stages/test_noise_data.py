"""Training sets of the noise study: what a cell takes, drops and leaves room for."""

import jax
import numpy as np
import pytest

from configs import noise as config_of
from qdcjax.data.packing import pack
from qdcjax.experiments.noise import check
from qdcjax.experiments.stages.noise_data import (
    CLEAN,
    Cell,
    Copies,
    documents,
    examples_of,
    fields_of,
    noised_copy,
    noises_of,
    right_steps,
    train_tokenizer,
)
from qdcjax.experiments.stages.noise_students import settings_of
from qdcjax.tasks.traced_integers import MixedOperations, TracedIntegers
from qdcjax.training.sharding import MeshConfig, make_mesh

N = 40
DYNAMIC, CHARACTER = Cell(kind="dynamic", level=0.2), Cell(kind="character", level=0.5)
MESH = make_mesh(MeshConfig(1), jax.devices()[:1])
CELLS = {"dynamic": DYNAMIC, "character": CHARACTER}


@pytest.fixture(scope="module")
def copies() -> Copies:
    """Traces that say what they are of: `clean 3`, `dynamic 3`, …"""
    noises = {"clean": CLEAN, "dynamic": DYNAMIC.noise, "character": CHARACTER.noise}
    responses = {
        noise: [f"{name}\n{number}" for number in range(N)] for name, noise in noises.items()
    }
    return Copies([f"q{n}" for n in range(N)], responses, dict.fromkeys(noises.values(), 1.0))


def taken(copies: Copies, cell: Cell, seed: int = 0) -> dict[str, list[str]]:
    """What responses say → the questions of those."""
    found: dict[str, list[str]] = {}
    for document in documents(cell, CELLS, copies, seed):
        assert document.clean == f"clean\n{document.question[1:]}"
        found.setdefault(document.response.split("\n")[0], []).append(document.question)
    return found


def test_problems_do_not_depend_on_how_others_are_made_or_learned():
    """So that a longer training, or another operation, leaves finished stages as they are."""
    add = {"longest": 2, "cells": ("clean",), "students": {"steps": 3}}
    operations = {"add": add, "mul": {"hidden": ("+",)}, "both": {"mix": ("add", "mul")}}
    assert fields_of(operations, "add") == ["operations.add.longest"]
    assert fields_of(operations, "add", "cells")[1:] == ["operations.add.cells"]
    assert fields_of(operations, "mul", "cells", "students") == ["operations.mul.hidden"]
    assert fields_of(operations, "both") == [
        "operations.both.mix",
        "operations.add.longest",
        "operations.mul.hidden",
    ]


def test_all_documents_are_noised_once_where_nothing_else_is_said(copies):
    assert {k: len(v) for k, v in taken(copies, Cell()).items()} == {"clean": N}
    assert {k: len(v) for k, v in taken(copies, DYNAMIC).items()} == {"dynamic": N}
    answers = documents(Cell(form="answer"), CELLS, copies, 0)
    assert all(d.response == d.question[1:] for d in answers) and len(answers) == N


def test_more_contamination_noises_the_same_documents_and_more(copies):
    some, more = (
        taken(copies, Cell(kind="dynamic", level=0.2, contamination=c)) for c in (0.2, 0.5)
    )
    assert (len(some["dynamic"]), len(more["dynamic"])) == (8, 20)
    assert set(some["dynamic"]) < set(more["dynamic"])
    assert len(some["clean"]) == 32
    other = taken(copies, Cell(kind="dynamic", level=0.2, contamination=0.5), seed=1)
    assert set(other["dynamic"]) != set(more["dynamic"]), "the order is the seed's"


def test_a_mixed_cell_drops_as_many_of_either_kind_or_of_all(copies):
    mixed = {"mixes": ("dynamic", "character"), "contamination": 0.6}
    whole = taken(copies, Cell(**mixed))
    assert {k: len(v) for k, v in whole.items()} == {"dynamic": 12, "character": 12, "clean": 16}
    for name in ("dynamic", "character"):
        left = taken(copies, Cell(**mixed, drop=name))
        assert left == {k: v for k, v in whole.items() if k != name}
    left = taken(copies, Cell(**mixed, drop="random"))
    assert sum(map(len, left.values())) == N - 12 and len(left) == 3
    assert all(set(left[k]) <= set(whole[k]) for k in left)


def test_a_share_of_the_documents(copies):
    small = taken(copies, Cell(kind="dynamic", level=0.2, share=0.25))
    assert len(small["dynamic"]) == 10
    assert set(small["dynamic"]) <= set(taken(copies, Cell())["clean"])


@pytest.fixture(scope="module")
def task():
    return TracedIntegers("mul", longest=2, hidden=("+", "-"))


def test_an_answer_takes_the_room_of_its_trace(task):
    problems = task.problems("train", 30)
    copy = noised_copy(task, problems, CLEAN)
    assert copy["response"] == [problem.solution for problem in problems]
    copies = Copies(copy["prompt"], {CLEAN: copy["response"]}, {CLEAN: 1.0})
    texts = [f"{q}\n{r}" for q, r in zip(copies.questions, copies.responses[CLEAN], strict=True)]
    tokenizer = train_tokenizer(texts, 512)
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)
    ids = tokenizer.encode("\nout_res = 4 2\ncarry = 0")
    assert len(ids) == 5, "beginnings of lines, and digits with their spaces"
    rows = {
        form: pack(examples_of(tokenizer, documents(Cell(form=form), {}, copies, 0), 512), 512)
        for form in ("trace", "answer")
    }
    assert len(rows["trace"]) == len(rows["answer"])
    for trace, answer in zip(rows["trace"], rows["answer"], strict=True):
        np.testing.assert_array_equal(trace["segment_ids"], answer["segment_ids"])
        np.testing.assert_array_equal(trace["positions"], answer["positions"])
    learned = {form: sum(row["mask"].sum() for row in of) for form, of in rows.items()}
    ends = [len(tokenizer.encode(p.solution.rpartition("\n")[2])) + 1 for p in problems]
    assert learned["answer"] == sum(ends) < learned["trace"] / 5


def test_what_noise_leaves_of_steps():
    clean = ["a = 1\nb = 2\nc = 3\nd = 4\n9"]
    assert right_steps(clean, clean) == 1
    assert right_steps(clean, ["9"]) == 0
    assert right_steps(clean, ["a = 1\nx = 0\nc = 3\nd = 4\n0"]) == 0.75
    assert right_steps(clean, ["d = 4\na = 1\n9"]) == 0.25, "in their order"


def test_every_noise_makes_one_copy():
    again = Cell(kind="dynamic", level=0.2, contamination=0.3)
    cells = CELLS | {"clean": Cell(), "again": again}
    assert noises_of(cells) == [CHARACTER.noise, DYNAMIC.noise]
    assert noises_of(dict(reversed(cells.items()))) == noises_of(cells), "as a config has them"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"form": "steps"}, "cells.own.form='steps' must be trace or answer"),
        ({"kind": "word"}, "cells.own.noise kind='word'"),
        ({"kind": "line", "level": 2.0}, "cells.own.noise level=2.0"),
        ({"contamination": -0.1}, "contamination=-0.1 must be between 0 and 1"),
        ({"drop": "random"}, "cells.own.drop='random' must be random, or one of mixes"),
        ({"share": 0.0}, "cells.own.share=0.0 must be above 0"),
        ({"mixes": ("clean",)}, "cells.own.mixes: 'clean' is no cell with a noise of its own"),
        ({"mixes": ("mine",)}, "cells.own.mixes: 'mine' is no cell with a noise"),
        ({"lvl": 1.0}, "cells.own.lvl is no field of this section"),
    ],
)
def test_a_wrong_cell_is_told_in_one_line(cell, said):
    config = config_of.get_config("smoke").to_dict()
    with pytest.raises(ValueError, match=said) as caught:
        check(config | {"cells": config["cells"] | {"own": cell}}, MESH)
    assert "\n" not in str(caught.value)


def test_an_operation_has_its_own_cells_and_training():
    config = config_of.get_config("smoke").to_dict()
    own = {"longest": 1, "cells": ("clean", "answer"), "students": {"steps": 7}}
    mixed = {"mix": ("add", "sub"), "cells": ("clean",)}
    operations = config["operations"] | {"sub": own, "mixed": mixed}
    config |= {"operations": operations, "evaluation": config["evaluation"] | {"questions": 4}}
    tasks, cells = check(config, MESH)
    assert list(cells["sub"]) == ["clean", "answer"] and list(cells["mixed"]) == ["clean"]
    assert cells["add"].keys() == config["cells"].keys()
    assert settings_of(config, "sub", MESH).steps == 7
    assert settings_of(config, "add", MESH).steps == config["students"]["steps"]
    assert tasks["mixed"][0] == MixedOperations((tasks["add"][0], tasks["sub"][0]))


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"cells": ("clean", "dirty")}, "operations.own.cells: 'dirty' is no cell"),
        ({"cells": ("clean", "without_dynamic")}, "cells.without_dynamic.mixes: 'character50'"),
        ({"students": {"steps": 0}}, "students.steps=0 must be at least 1"),
        ({"mix": ("add",)}, r"mix=\('add',\) must name two operations or more, each once"),
        ({"mix": ("add", "own")}, "operations.own: mix=.* must name operations alone"),
        ({"mix": ("add", "tan")}, "operations.own: mix=.* must name operations alone"),
        ({"mix": ("add", "sub"), "longest": 2}, "operations.own: mix=.* must name operations"),
    ],
)
def test_a_wrong_operation_is_told_in_one_line(operation, said):
    config = config_of.get_config("smoke").to_dict()
    operation = {"operation": "sub"} | operation if "mix" not in operation else operation
    operations = config["operations"] | {"sub": {"longest": 1}, "own": operation}
    with pytest.raises(ValueError, match=said):
        check(config | {"operations": operations}, MESH)
