"""Noise in traces: what it may touch, how often, and what follows from it."""

import random
import re

import pytest

from qdcjax.tasks.traced_integers import MixedOperations, Noise, TracedIntegers, noisy_trace, trace
from qdcjax.tasks.traced_integers.noise import NUMBER, corrupt_digits, corrupt_response
from qdcjax.tasks.traced_integers.traces import ask

HIDDEN = ("+", "-")


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("x = 7 8 , y = 5 3", ["5 3"]),  # 78, is no number and nothing else
        ("ds = 1 3", ["1 3"]),
        ("5 3 8", ["5 3 8"]),
        ("dm = call( 8 1 + 0 )", ["8 1"]),
        ("l = [ 4 5 , 3 4 6 ]", []),
        ("l = [ 4 5 ]", []),
        ("x = 5 , y = 0 , t = 1 2", ["1 2"]),
    ],
)
def test_which_words_are_numbers(line, numbers):
    assert NUMBER.findall(line) == numbers
    assert NUMBER.findall(f"a = 1\n{line}\n2") == ["1", *numbers, "2"]


def test_digits_before_the_first_that_is_not_zero_stay():
    rng = random.Random(0)
    found = {corrupt_digits("0050", Noise("dynamic", 1.0), rng) for _ in range(4_000)}
    assert found == {f"00{n:02}" for n in range(100)}
    found = {corrupt_digits("5", Noise("dynamic", 1.0, drawn=9), rng) for _ in range(1_000)}
    assert found == set("012345678"), "the paper's code never draws 9"
    assert corrupt_digits("0050", Noise("dynamic", 0.0), rng) == "0050"
    same = sum(corrupt_digits("5", Noise("dynamic", 0.5), rng) == "5" for _ in range(4_000))
    assert 0.5 < same / 4_000 < 0.6, "half stay, and a tenth of the drawn ones are the same"


def test_characters_are_noised_where_they_may_be():
    response, rng = trace("add", [57, 8])[1], random.Random(0)
    noised = [corrupt_response(response, Noise("character", 1.0), rng) for _ in range(300)]
    for text in noised:
        assert re.sub(r"\d", "0", text) == re.sub(r"\d", "0", response)
        assert text.startswith("x = 5 7 , y = ") and text.endswith("\n6 5")
    tens = {text.split("\n")[7] for text in noised}
    assert tens == {f"ds = {a} {b}" for a in range(10) for b in range(10)} & tens and len(tens) > 80
    noised = Noise("character", 1.0, answer=True)
    answers = {corrupt_response(response, noised, rng).rpartition("\n")[2] for _ in range(300)}
    assert len(answers) > 80


def test_lines_are_left_out_but_the_answer():
    response, rng = trace("add", [57, 8])[1], random.Random(0)
    assert corrupt_response(response, Noise("line", 1.0), rng) == "6 5"
    assert corrupt_response(response, Noise("line", 0.0), rng) == response
    lines = response.split("\n")
    left = [corrupt_response(response, Noise("line", 0.3), rng).split("\n") for _ in range(400)]
    for kept in left:
        rest = iter(lines)
        assert all(line in rest for line in kept), "in their order"
    share = sum(len(kept) - 1 for kept in left) / (400 * (len(lines) - 1))
    assert share == pytest.approx(0.7, abs=0.02)


def test_a_computation_goes_on_from_what_noise_made_of_an_integer():
    """Built are the length of 12 and its last digit; with 9 in place of that 12 + 34 is 53."""
    built = []

    def corrupt(digits: str) -> str:
        built.append(digits)
        return {2: "9"}.get(len(built), digits)

    lines = ask("add", [12, 34]).respond({}, corrupt).split("\n")
    assert "digx = 9" in lines and "ds = 1 3" in lines and "res = 5 3" in lines
    assert lines[0] == "x = 1 2 , y = 3 4" and lines[-1] == "5 3"


def test_only_the_computation_of_an_even_median_builds_integers():
    odd, rng = [12, 7, 30], random.Random(0)
    for answer, least, most in ((False, 1.0, 1.0), (True, 0.0, 0.4)):
        noise = Noise("dynamic", 1.0, answer=answer)
        found = [noisy_trace("median", odd, noise, rng).survived for _ in range(50)]
        assert least <= sum(found) / 50 <= most
    task = TracedIntegers("median", 1, 3, fewest=4, most=4)
    rows = [task.noised(p, Noise("dynamic", 0.5)) for p in task.problems("train", 50)]
    assert sum(row["survived"] for row in rows) < 25


@pytest.mark.parametrize(
    ("operation", "longest", "level", "low", "high"),
    # The public generator: .05, .03 and .00; .07. Measured there on samples of unknown size.
    [("add", 10, 0.05, 0.03, 0.09), ("add", 10, 0.2, 0.0, 0.02), ("mul", 5, 0.05, 0.03, 0.1)],
)
def test_answers_survive_as_often_as_in_the_public_generator(operation, longest, level, low, high):
    task = TracedIntegers(operation, longest=longest, hidden=HIDDEN if operation == "mul" else ())
    noise = Noise("dynamic", level, answer=True, drawn=9)
    rows = [task.noised(problem, noise) for problem in task.problems("train", 400)]
    assert low <= sum(row["survived"] for row in rows) / len(rows) <= high


def test_so_many_documents_are_contaminated():
    task = TracedIntegers("add")
    problems = task.problems("train", 1_000)
    rows = [task.noised(p, Noise("character", 0.5, 0.3, answer=True)) for p in problems]
    assert sum(row["noised"] for row in rows) / 1_000 == pytest.approx(0.3, abs=0.05)
    for problem, row in zip(problems, rows, strict=True):
        assert (row["prompt"], row["answer"]) == (problem.question, problem.answer)
        assert (row["response"] == problem.solution) or row["noised"]
        assert row["survived"] == task.is_correct(problem, row["response"])
    assert rows == [task.noised(p, Noise("character", 0.5, 0.3, answer=True)) for p in problems]
    assert not all(row["survived"] for row in rows)


def test_noise_that_leads_nowhere_is_drawn_again_and_counted():
    task = TracedIntegers("div", longest=3, hidden=HIDDEN)
    rows = [task.noised(p, Noise("dynamic", 0.1)) for p in task.problems("train", 30)]
    assert sum(row["redrawn"] for row in rows) > 30


def test_no_problem_is_in_two_splits():
    task = TracedIntegers("mul", hidden=HIDDEN)
    count = {"train": 3_000, "validation": 200, "test": 200}
    splits = {split: task.problems(split, n) for split, n in count.items()}
    operands = {
        split: {tuple(sorted(p.meta["operands"])) for p in problems}
        for split, problems in splits.items()
    }
    assert not operands["train"] & operands["test"]
    assert not operands["validation"] & (operands["train"] | operands["test"])
    assert len(operands["test"]) == 200, "each once"
    ids = {problem.id for problems in splits.values() for problem in problems}
    assert len(ids) == 3_400
    assert task.problems("test", 50) == splits["test"][:50]


def test_a_mix_has_its_operations_in_turn():
    add, mul = TracedIntegers("add"), TracedIntegers("mul", longest=1)
    mixed = MixedOperations((add, mul))
    found = mixed.problems("test", 5)
    apart = (add.problems("test", 3), mul.problems("test", 2))
    assert found == [apart[n % 2][n // 2] for n in range(5)]
    for problem in found:
        assert mixed.is_correct(problem, problem.solution)
        assert not mixed.is_correct(problem, "1 2 3 4 5")
        row = mixed.noised(problem, Noise())
        assert (row["operation"], row["response"]) == (problem.id.split("/")[1], problem.solution)


def test_operands_by_length_and_by_magnitude():
    by_length = TracedIntegers("add", 1, 3).problems("train", 900)
    sizes = [len(str(x)) for problem in by_length for x in problem.meta["operands"]]
    assert all(sizes.count(n) / len(sizes) == pytest.approx(1 / 3, abs=0.05) for n in (1, 2, 3))
    assert all(min(p.meta["operands"]) > 0 for p in by_length), "the first digit is 1 to 9"
    by_size = TracedIntegers("sort", 0, 199, 2, 3, "magnitude").problems("train", 300)
    values = [x for problem in by_size for x in problem.meta["operands"]]
    assert {len(problem.meta["operands"]) for problem in by_size} == {2, 3}
    assert 0 <= min(values) < 10 and 190 < max(values) <= 199
    assert sum(x < 100 for x in values) / len(values) == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Noise("word"), "kind='word' must be one of none, character, line, dynamic"),
        (lambda: Noise("line", 1.5), r"level=1.5 must be between 0 and 1"),
        (lambda: Noise("line", 0.5, -1), "contamination=-1 must be between 0 and 1"),
        (lambda: Noise("dynamic", 0.5, drawn=11), "drawn=11 must be from 1 to 10"),
        (lambda: TracedIntegers("power"), "operation 'power': there are"),
        (lambda: TracedIntegers("add", 3, 2), "shortest=3 and longest=2"),
        (lambda: TracedIntegers("add", 0, 2), "must be at least 1"),
        (lambda: TracedIntegers("sort", fewest=5, most=4), "fewest=5 must be from 1 to most=4"),
        (lambda: TracedIntegers("add", sampling="size"), "must be length or magnitude"),
        (lambda: TracedIntegers("add", hidden=("plus",)), "visibility of 'plus'"),
        (lambda: TracedIntegers("add").problems("held_out"), "split 'held_out'"),
        (lambda: TracedIntegers("add", 1, 1).problems("test", 99), "no 99 different problems"),
    ],
)
def test_bad_input_is_one_line(make, said):
    with pytest.raises(ValueError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)
