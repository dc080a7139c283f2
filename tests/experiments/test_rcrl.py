"""Return-conditioned RL: room for its labels, and what it says of them."""

import math

import numpy as np
import pytest

from configs import rcrl as config_of
from qdcjax.data.examples import prompt_text
from qdcjax.data.sentencepiece_tokenizer import train_sentencepiece
from qdcjax.decoding.forced import going_on
from qdcjax.experiments.rcrl import good_lines, labels_of
from qdcjax.experiments.running import from_config
from qdcjax.rl.conditioning import GOOD


def test_answers_have_room_for_their_labels():
    """A label stands before each line; they took a third of the answers past 120 tokens."""
    config = config_of.get_config().to_dict()
    problems = from_config.task(config["task"], 0).problems("train", 1_000)
    texts = [f"{prompt_text(problem.question)}{problem.solution}" for problem in problems]
    tokenizer = train_sentencepiece(texts, config["tokenizer"]["vocab_size"])
    label = len(going_on(tokenizer, GOOD))
    labelled = [
        len(tokenizer.encode(problem.solution)) + label * len(problem.solution.splitlines()) + 1
        for problem in problems
    ]
    room = config["evaluation"]["max_new_tokens"]
    assert np.mean(np.asarray(labelled) > room - config_of.LABELS) > 0.1, "they need it"
    assert max(labelled) <= room


ROLLOUTS = {
    "ends": [[1, 3], [], [2]],
    "tokens": [[7] * 5, [7] * 2, [7] * 3],
    "problem_id": ["a", "a", "b"],
}
VALUES = [[0, 0.9, 0, 0.4, 0.6], [0.9, 0.1], [0.9, 0.9, 0.5]]


def test_lines_are_good_by_the_value_at_their_end():
    labels = labels_of(ROLLOUTS, VALUES, 0.5)
    assert labels == [[True, False, True], [False], [True]]
    right = np.asarray([True, False, True])
    assert good_lines(labels, right, ROLLOUTS["problem_id"]).value == pytest.approx(3 / 4)
    assert good_lines(labels, ~right, ROLLOUTS["problem_id"]).value == 0
    assert math.isnan(good_lines(labels, right & ~right, ROLLOUTS["problem_id"]).value)
