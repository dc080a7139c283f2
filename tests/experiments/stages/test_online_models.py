"""Models of on-line learning: where they lie, what a critic begins as, which numbers are old."""

import dataclasses
import itertools

import datasets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import ppo
from qdcjax.experiments.running import from_config
from qdcjax.experiments.stages.online_learning import ROLLOUTS, OnlineLearning
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.reward_models import Solution, reward_model, score
from qdcjax.reporting.metrics import read_metrics
from qdcjax.rl import policy_gradient
from qdcjax.rl.losses import adapted_kl_coefficient
from qdcjax.tasks.answers import is_correct
from qdcjax.tasks.problem import Problem
from qdcjax.training.loop import Preempted
from qdcjax.training.sharding import mesh_of, param_shardings
from qdcjax.training.store import StoredModel, save_model
from qdcjax.workdir import Workdir

ANSWERS = ("99", "8", "5", "5")  # what the policy says now and then
ONE = {"devices": "0:1", "data": -1, "fsdp": 1, "tensor": 1}
APART = {
    role: ONE | {"devices": where}
    for role, where in {"policy": "0:4", "reference": "4:6", "critic": "6:8"}.items()
}


class Dialogues:
    """The questions that the tests' policy knows."""

    def is_correct(self, problem: Problem, completion: str) -> bool:
        return is_correct(completion, problem.answer)


@pytest.fixture(scope="module")
def learning(policy, tmp_path_factory):
    """`learning(**{section: changes})`: PPO of the policy on one device, two steps an iteration.

    In a new folder, or in `folder` of another one.
    """
    base = ppo.get_config("smoke")
    base.policy_gradient.update(iterations=3, questions=4, epochs=2)
    base.meshes = {role: dict(ONE) for role in base.meshes}
    base.rollouts.update(samples=4, max_new_tokens=24, batch_size=16, temperature=0.7)
    for section in (base.learn, base.critic):
        section.update(batch_size=16, checkpoint_every=100)
        section.optimizer.update(learning_rate=1e-2, warmup=0.0)
    problems = [
        Problem(f"dialogues/{n}", question, answer)
        for n, (question, answer) in enumerate(zip(policy.questions, ANSWERS, strict=True))
    ]
    start = StoredModel(policy.model, policy.params, policy.tokenizer)

    def learning(start=start, folder=None, **changes):
        config = ConfigDict(base.to_dict())
        for name, change in changes.items():
            if isinstance(change, dict):
                config[name].update(change)
            else:
                config[name] = change
        workdir = Workdir(folder or tmp_path_factory.mktemp("run"), config.to_dict())
        folder = workdir.path / "stages" / "learned.partial"
        folder.mkdir(exist_ok=True)
        on = from_config.role_mesh(workdir.config, "policy")
        placed = dataclasses.replace(
            start, params=jax.device_put(start.params, param_shardings(start.model, on))
        )
        return OnlineLearning(workdir.config, workdir, Dialogues(), problems, placed, folder)

    return learning


@dataclasses.dataclass
class Learned:
    """What an on-line learning left: tables of its rollouts, policies before and after each.

    And the last state of each training.
    """

    tables: list[dict]
    policies: list
    records: list[dict]
    states: tuple


def learn(made: OnlineLearning, iterations: int = 3) -> Learned:
    with made.opened() as learning:
        policies = [jax.device_get(learning.policy_now().params)]
        for number in range(iterations):
            learning.iterate(number)
            policies.append(jax.device_get(learning.policy_now().params))
        trainings = (learning.policy, learning.critic)
        states = tuple(jax.device_get(of.state) for of in trainings if of is not None)
    run = made._workdir.path
    parts = sorted((run / "stages" / "learned.partial" / "rollouts").iterdir())
    tables = [datasets.load_from_disk(str(part))[:] for part in parts]
    return Learned(tables, policies, read_metrics(run / "metrics.jsonl", ROLLOUTS), states)


def moved(before, after) -> float:
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.fixture(scope="module")
def together(learning) -> Learned:
    """PPO with all models on one device."""
    return learn(learning())


def test_models_on_meshes_apart_learn_as_on_one_device(learning, devices, together):
    """The policy on four devices, its reference on two, its critic on the other two."""
    made = learning(meshes=APART)
    apart = learn(made)
    where = {
        "policy": mesh_of(made.policy.state.params),
        "reference": mesh_of(made._reference.params),
        "critic": mesh_of(made.critic.state.params),
    }
    assert [[d.id for d in mesh.devices.flat] for mesh in where.values()] == [
        [0, 1, 2, 3], [4, 5], [6, 7],
    ]  # fmt: skip
    for ours, theirs in zip(apart.tables, together.tables, strict=True):
        assert ours["tokens"] == theirs["tokens"]
        for name in ("reference", "values", "log_probs"):
            both = (np.concatenate(table[name]) for table in (ours, theirs))
            np.testing.assert_allclose(*both, atol=1e-3)
    assert moved(*(run.policies[-1] for run in (apart, together))) < 1e-3
    assert moved(*apart.policies[::3]) > 1e-2


def test_a_critic_begins_as_the_policy_with_an_even_guess(together):
    assert all(value == 0 for values in together.tables[0]["values"] for value in values)
    assert np.any(np.concatenate(together.tables[1]["values"]))


def test_a_critic_from_a_reward_model_begins_with_its_chances(policy, learning, tmp_path):
    start = StoredModel(policy.model, policy.params, policy.tokenizer)
    orm = reward_model(start, jax.random.key(0))
    head = {"kernel": 0.5 * jnp.ones((32, 1)), "bias": jnp.asarray([0.3])}
    orm = dataclasses.replace(orm, params=orm.params | {"score": head})
    save_model(tmp_path / "a-reward-model", orm)
    settings = {"critic": "reward_model"}
    made = learning(policy_gradient=settings, reward_model=str(tmp_path / "a-reward-model"))
    with made.opened():
        table = made.rollouts(0)
    columns = (table[name] for name in ("problem_id", "tokens", "ends", "correct"))
    rows = [
        Solution(policy.prompts()[int(name[-1])], *of) for name, *of in zip(*columns, strict=True)
    ]
    for values, scores in zip(table["values"], score(orm, rows), strict=True):
        np.testing.assert_allclose(values[1:], scores[:-1], atol=1e-5)
    assert np.abs(np.concatenate(table["values"]) - 0.5).max() > 0.01


@pytest.mark.parametrize("critic", ["policy", "shared"])
def test_while_the_critic_warms_up_the_policy_stays_as_it_is(learning, critic):
    settings = {"critic": critic, "critic_warmup": 2}
    found = learn(learning(policy_gradient=settings))
    start, *after = found.policies
    assert [moved(start, policy) > 0 for policy in after] == [False, False, True]
    values = [np.abs(np.concatenate(table["values"])).max() for table in found.tables]
    assert values[0] == 0 < values[1]
    assert start.keys() == after[-1].keys(), "the policy has no head of the critic's"


def test_in_bfloat16_old_log_probs_are_the_trainer_s(policy, learning):
    """And so the ratio is one before the first step."""
    model = Transformer(dataclasses.replace(policy.model.config, dtype="bfloat16"))
    start = StoredModel(model, policy.params, policy.tokenizer)
    with learning(start=start).opened() as made:
        table = made.rollouts(0)
    np.testing.assert_array_equal(
        np.concatenate(table["log_probs"]), np.concatenate(table["reference"])
    )


def test_the_divergence_is_measured_at_the_sampling_temperature(together):
    """At .7, where the policy is its start yet, it is nothing."""
    assert abs(together.records[0]["kl"]) < 1e-4 < abs(together.records[2]["kl"])


def test_an_adaptive_weight_follows_the_divergence(learning):
    settings = {"kl_target": 1e-3, "kl_horizon": 16}
    found = learn(learning(policy_gradient=settings))
    weights = [record["kl_coefficient"] for record in found.records]
    expected = 0.05
    for record, weight in zip(found.records, weights, strict=True):
        assert weight == pytest.approx(expected)
        expected = adapted_kl_coefficient(weight, record["kl"], 1e-3, 16, 16)
    assert len(set(weights)) == 3


def test_memory_and_compiled_programs_stay_as_they_are_over_iterations(
    learning, monkeypatch, count_calls
):
    of_policy = count_calls(monkeypatch, policy_gradient, "clipped_policy_loss")
    of_critic = count_calls(monkeypatch, policy_gradient, "clipped_value_loss")
    counts = []
    with learning(policy_gradient={"iterations": 8}).opened() as made:
        for number in range(8):
            made.iterate(number)
            counts.append(len(jax.live_arrays()))
        padded = len(made._widths)
    assert counts[2] == counts[-1], counts
    assert 1 <= of_policy["clipped_policy_loss"] <= padded, "once a padded length"
    assert 1 <= of_critic["clipped_value_loss"] <= padded


# Steps after which a run is stopped, since its last stop: each iteration has eight of the policy,
# then eight of the critic, and an epoch is four.
EDGES = {
    "within an epoch": 1,
    "between epochs": 3,
    "between policy and critic": 4,
    "within the critic": 6,
    "between iterations": 2,
    "within the next iteration": 5,
}


def test_stopped_at_any_edge_both_trainings_end_with_the_bits_of_an_unbroken_one(
    learning, tmp_path
):
    """Its weight of the divergence adapts, which is found again from the stored rollouts."""
    small = {section: {"batch_size": 4} for section in ("learn", "critic")}
    small["policy_gradient"] = {"kl_target": 1e-3, "kl_horizon": 16}
    whole = learn(learning(**small))
    for steps in EDGES.values():
        asked = itertools.count(1)
        with learning(folder=tmp_path, **small).opened() as made, pytest.raises(Preempted):
            made.policy._stop.requested = lambda asked=asked, steps=steps: next(asked) == steps
            for number in range(3):
                made.iterate(number)
    found = learn(learning(folder=tmp_path, **small))
    for ours, theirs in zip(found.states, whole.states, strict=True):
        assert int(ours.step) == 24
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert found.tables == whole.tables
    for name in ("step", "kl_coefficient"):
        assert [r[name] for r in found.records] == [r[name] for r in whole.records]
    assert len({r["kl_coefficient"] for r in found.records}) == 3
