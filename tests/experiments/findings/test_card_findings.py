"""Figures of the QDC card from sets that are made up."""

import dataclasses
import math

import numpy as np
import pytest

from qdcjax.experiments.findings.qdc_card import clustered, find, mean_of, nearest_pairs, principal
from qdcjax.experiments.stages.text_samples import described
from qdcjax.experiments.stages.text_sets import CardSettings, Read
from qdcjax.measures import diversity

SETTINGS = CardSettings(sampled=40, size=10, width=4, clusters=3, examples=3)
RNG = np.random.default_rng(0)
ASKED = "{} has 12 buttons and gives half of them to Ella. How many buttons does Ella get?"
SOLVED = "Ella gets <<12/2=6>>6 buttons.\n#### 6"
WRONG = "Ella gets <<12+2=14>>14 buttons.\n#### 14"


class Tables:
    """A workdir whose tables are made anew at each call."""

    def table(self, name, reads, after, parts, make):
        (part,) = parts()
        return make(part)


def read(prompts, responses, contaminated=()):
    return Read({"samples": len(prompts)}, prompts, responses, np.array(contaminated))


SETS = {
    "right": read([ASKED.format("Sara")] * 30, [SOLVED] * 30, [0.0, 0.5]),
    "mixed": read(
        [ASKED.format("Tom"), "What is it?"] * 20, [WRONG, "3 + 4 = 7\nSo 7 * 2 = 15."] * 20
    ),
}
SAMPLES = {name: described(Tables(), name, of, None) for name, of in SETS.items()}
EMBEDDINGS = {"right": np.eye(4)[RNG.integers(2, size=30)], "mixed": RNG.normal(size=(40, 4))}


def test_figures_of_every_family():
    found = find(SETS, SAMPLES, EMBEDDINGS, SETTINGS).results
    assert found["right_answer"].value == 1 and found["right_process"].value == 1
    assert found["mixed_answer"].value == 0, "of those that can be checked"
    assert found["mixed_arithmetic"].value == pytest.approx((1 + 0.5) / 2)
    assert found["mixed_likelihood"].method == "no sample has it"
    assert found["mixed_steps"].value == 1.5 and found["mixed_depth"].value == 1.5
    assert found["right_cells"].value == pytest.approx(1)
    assert found["right_coverage"].value == pytest.approx(1 / 3)
    assert found["mixed_coverage"].value == pytest.approx(2 / 3)
    assert found["right_vendi_inf"].method == "95 % t over 3 blocks of 10"
    assert found["right_vendi_1"].value < 2 < found["mixed_vendi_1"].value
    assert found["right_contaminated"].value == 0
    assert found["right_contaminated_share"].value == 0.25
    assert "mixed_contaminated" not in found
    assert found["right_samples"] == 30


def test_measures_are_of_blocks_of_one_size():
    found = find(SETS, SAMPLES, EMBEDDINGS, SETTINGS).results["mixed_vendi_1"]
    rows = np.random.default_rng(0).permutation(40).reshape(4, 10)
    each = [diversity.vendi_score(EMBEDDINGS["mixed"][block]) for block in rows]
    assert found.value == pytest.approx(np.mean(each))
    whole = find(SETS, SAMPLES, EMBEDDINGS, dataclasses.replace(SETTINGS, size=30)).results
    assert whole["mixed_vendi_1"].method == "one block of 30"


def test_means_are_of_what_is_known():
    assert mean_of([1.0, math.nan, 0.0], list("abc")).value == 0.5
    assert math.isnan(mean_of([math.nan], ["a"]).value)
    assert mean_of([1.0, 1.0, 0.0, 0.0], list("aabb")).method.startswith(
        "95 % bootstrap over 2 clusters"
    )


def test_nearest_pairs_come_first_and_once():
    embeddings = np.array([[1, 0], [1, 0.01], [0, 1], [0.1, 1], [-1, 0.5], [1, 0.05]])
    texts = ["a b", "a c", "d", "d e", "f", "g"]
    found = nearest_pairs(texts, embeddings, SETTINGS)
    assert [pair[2:] for pair in found] == [("a b", "a c"), ("d", "d e"), ("f", "g")]
    assert found[0][0] > found[1][0] and found[0][1] == pytest.approx(0.5)


def test_clusters_are_what_lies_together():
    middles = {"right": [[9, 0, 0, 0]], "mixed": [[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0]]}
    lie = {
        name: np.repeat(of, len(SETS[name].prompts) // len(of) + 1, axis=0)[
            : len(SETS[name].prompts)
        ]
        + 0.1 * RNG.normal(size=(len(SETS[name].prompts), 4))
        for name, of in middles.items()
    }
    labels, clusters = clustered(SETS, lie, SETTINGS)
    assert set(labels["right"]) == {0}, "the largest is the first"
    assert set(labels["mixed"]) == {0, 1, 2}
    assert clusters[0].shares == {"right": 1, "mixed": pytest.approx(14 / 40)}
    assert sum(of.shares["mixed"] for of in clusters) == pytest.approx(1)
    assert len(set(clusters[0].examples)) == len(clusters[0].examples) <= 3


def test_the_plane_is_the_same_for_all_sets():
    found = principal(EMBEDDINGS)
    both = np.concatenate(list(found.values()))
    assert both.shape == (70, 2)
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=1e-9)
    whole = np.concatenate(list(EMBEDDINGS.values()))
    values = np.linalg.svd(whole - whole.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(both, axis=0), values[:2])
