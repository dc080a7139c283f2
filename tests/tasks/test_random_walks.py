import itertools

import pytest

from qdcjax.tasks.random_walks import RandomWalks

TASK = RandomWalks()


def shortest(graph, start) -> int:
    """Steps to the goal by levels, beginning at the start."""
    level, steps = {start}, 0
    while "a" not in level:
        level, steps = {b for a in level for b in graph[a]}, steps + 1
    return steps


def test_distances_are_those_of_shortest_paths():
    assert len(TASK.graph) == 21 and TASK.distances["a"] == 0
    assert {n: shortest(TASK.graph, n) for n in TASK.graph} == TASK.distances
    assert max(TASK.distances.values()) > 2, "not all are neighbours of the goal"


def test_test_questions_are_all_nodes_with_shortest_paths():
    problems = TASK.problems("test")
    assert [p.meta["start"] for p in problems] == list("bcdefghijklmnopqrstu")
    for problem in problems:
        assert TASK.reward(problem, problem.solution) == 1 and TASK.is_correct(
            problem, problem.solution
        )
        assert problem.answer == str(len(problem.solution.split()))
    assert len({p.id for p in problems}) == 20 and TASK.problems("test", 3) == problems[:3]


def test_there_are_no_other_splits():
    assert TASK.problems("validation", 5) == []
    with pytest.raises(ValueError, match="split 'held_out': random walks have train and test"):
        TASK.problems("held_out", 5)


def test_walks_take_edges_and_are_cut():
    walks = TASK.problems("train", 300)
    assert walks == RandomWalks().problems("train", 400)[:300]
    optimal = 0
    for problem in walks:
        walk = [problem.meta["start"], *problem.solution.split()]
        assert all(b in TASK.graph[a] for a, b in itertools.pairwise(walk))
        assert 2 <= len(walk) <= 11 and "a" not in walk[:-1]
        assert (TASK.reward(problem, problem.solution) > 0) == (walk[-1] == "a")
        optimal += TASK.is_correct(problem, problem.solution)
    assert 0 < optimal < 150, "who imitates walks is far from optimal"


def test_a_detour_costs_and_a_false_edge_or_end_earns_nothing():
    problem = next(p for p in TASK.problems("test") if TASK.distances[p.meta["start"]] == 2)
    start, middle = problem.meta["start"], problem.solution.split()[0]
    assert TASK.reward(problem, f"{middle} a") == 1
    loop = next(n for n in TASK.graph[start] if n != "a" and TASK.distances[n] > 1)
    way = [loop]
    while way[-1] != "a":
        way.append(min(TASK.graph[way[-1]], key=TASK.distances.get))
    assert TASK.reward(problem, " ".join(way)) == 2 / len(way) < 1
    assert not TASK.is_correct(problem, " ".join(way))
    for walk in (
        "",
        middle,
        "a",
        f"{middle} a a",
        f"{middle} a {middle} a",
        "zz a",
        "1 a",
        f"{start} a",
    ):
        assert TASK.reward(problem, walk) == 0, walk


def test_other_graphs_have_a_way_from_every_node():
    for seed in range(20):
        task = RandomWalks(nodes=12, seed=seed)
        assert task.distances.keys() == task.graph.keys()
    with pytest.raises(ValueError, match=r"nodes=30 must be between 3 and 26"):
        RandomWalks(nodes=30)
