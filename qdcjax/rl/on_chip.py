"""A whole run of reinforcement learning as one pure function: sampling, reward and updates.

For tasks whose answers can be compared on the device. `make_train` gives
`(key, hyperparameters) -> (parameters, history)`, which jits, vmaps over seeds and hyperparameters,
and shards over devices. The losses, advantages and the update are those of runs at model scale.

N questions of P tokens at most; an iteration samples Q of them K times, T tokens at most.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding import generate
from qdcjax.decoding.programs import sample_keys
from qdcjax.models.transformer import Transformer
from qdcjax.reasoning.reward_models import reward_model
from qdcjax.reasoning.steps import separator_tokens
from qdcjax.rl.advantages import dead_groups, on_last_action
from qdcjax.rl.losses import explained_variance, k1
from qdcjax.rl.policy_gradient import (
    PolicyGradient,
    ValueLoss,
    advantages_and_returns,
    policy_loss,
    token_weights,
    values_before,
)
from qdcjax.tasks.problem import Problem
from qdcjax.training.losses import token_log_probs
from qdcjax.training.members import map_members, pad_members
from qdcjax.training.optimizer import OptimizerConfig, make_optimizer
from qdcjax.training.processes import to_host
from qdcjax.training.step import TrainState, init_state, make_update
from qdcjax.training.store import StoredModel


@flax.struct.dataclass
class Questions:
    """Questions whose answers are compared on the device.

    Attributes:
      prompts: [N, P] ids, right-padded.
      lengths: [N].
      answers: [N, A] ids of each answer line with its end token, pushed to the right.
      answer_lengths: [N].
      separators: [S] ids of the tokens that end a line.
    """

    prompts: jax.Array
    lengths: jax.Array
    answers: jax.Array
    answer_lengths: jax.Array
    separators: jax.Array


@flax.struct.dataclass
class Hyperparameters:
    """What members of a sweep may differ in.

    Attributes:
      learning_rate: of the policy.
      kl: beta, the weight of the divergence from the start.
      critic_learning_rate: of the critic, where there is one.
    """

    learning_rate: jax.Array
    kl: jax.Array
    critic_learning_rate: jax.Array | None = None


def questions_of(tokenizer: Tokenizer, problems: Sequence[Problem]) -> Questions:
    """Problems with reference solutions; an answer's tokens stand after the last line end."""
    separators = separator_tokens(tokenizer)
    prompts = encode_prompts(tokenizer, [prompt_text(p.question) for p in problems])
    answers = []
    for ids in tokenizer.encode_many([problem.solution for problem in problems]):
        begin = max((at + 1 for at, token in enumerate(ids) if token in separators), default=0)
        answers.append([*ids[begin:], tokenizer.eos_id])
    P, A = max(map(len, prompts)), max(map(len, answers))
    return Questions(
        prompts=jnp.asarray([[*p, *[0] * (P - len(p))] for p in prompts], jnp.int32),
        lengths=jnp.asarray([len(p) for p in prompts], jnp.int32),
        answers=jnp.asarray([[*[0] * (A - len(a)), *a] for a in answers], jnp.int32),
        answer_lengths=jnp.asarray([len(a) for a in answers], jnp.int32),
        separators=jnp.asarray(sorted(separators), jnp.int32),
    )


def is_right(questions: Questions, rows, tokens, lengths):
    """[Q, K] whether completions end in their question's answer line, and have no other one.

    As strict as the grader on the host: what is right here is right there. A number that is spelt
    with other tokens than the tokeniser's own counts as wrong.

    Args:
      questions: all.
      rows: [Q] which ones were asked.
      tokens: [Q, K, T]; lengths: [Q, K].
    """
    A, T = questions.answers.shape[1], tokens.shape[-1]
    answers, sizes = questions.answers[rows], questions.answer_lengths[rows]
    at = lengths[..., None] - A + jnp.arange(A)
    last = jnp.take_along_axis(tokens, jnp.clip(at, 0, T - 1), axis=-1)
    counts = jnp.arange(A) >= A - sizes[:, None]
    same = jnp.all((last == answers[:, None]) | ~counts[:, None], axis=-1)
    first = jnp.take_along_axis(answers, (A - sizes)[:, None], axis=1)
    begins = jnp.isin(tokens, questions.separators)[..., :-1]
    begins = jnp.pad(begins, ((0, 0), (0, 0), (1, 0)), constant_values=True)
    begins &= jnp.arange(T) < lengths[..., None]
    lines = jnp.sum(begins & (tokens == first[..., None]), axis=-1)
    where = jnp.clip(lengths - sizes[:, None], 0, T - 1)
    alone = jnp.take_along_axis(begins, where[..., None], axis=-1)[..., 0]
    return same & alone & (lines == 1) & (lengths >= sizes[:, None])


def make_train(
    model: Transformer,
    params,
    questions: Questions,
    settings: PolicyGradient,
    decoding: generate.Decoding,
    optimizer: OptimizerConfig,
    batch_size: int,
) -> Callable[[jax.Array, Hyperparameters], tuple[Any, dict[str, jax.Array]]]:
    """Makes `train(key, hyperparameters) -> (parameters, {metric: [iterations]})`.

    Args:
      model, params: the starting point of all members; also the reference.
      questions: to learn from.
      settings: the algorithm; its `kl` is the hyperparameter's.
      decoding: K, T, temperature and stop tokens of sampling.
      optimizer: of policy and critic; the learning rates are the hyperparameters'.
      batch_size: rollouts of a step.

    Raises:
      ValueError: a batch that does not divide an iteration's rollouts, or a setting that is for
        runs at model scale.
    """
    N, P = questions.prompts.shape
    Q, K, T = settings.questions, decoding.samples, decoding.max_new_tokens
    if (Q * K) % batch_size:
        raise ValueError(
            f"batch_size={batch_size} must divide the {Q * K} rollouts of an iteration"
        )
    only = {"reward": ("sparse",), "truncated": ("zero", "masked"), "critic": ("policy",)}
    only |= {"critic_warmup": (0,), "kl_target": (0,)}
    for field, values in only.items():
        if getattr(settings, field) not in values:
            raise ValueError(
                f"{field}={getattr(settings, field)}: on the chip it must be "
                f"{' or '.join(map(str, values))}"
            )
    batches = Q * K // batch_size
    steps = settings.iterations * settings.epochs * batches
    by_critic = settings.algorithm == "ppo"
    if by_critic:
        critic = reward_model(StoredModel(model, params, None), jax.random.key(0))
        of_critic = to_host(critic.params)
    params = to_host(params)  # on no device yet, so that the program decides where they go
    unit = make_optimizer(dataclasses.replace(optimizer, learning_rate=1.0), steps)

    def learners(hyper: Hyperparameters) -> dict[str, tuple[TrainState, Callable]]:
        """State before the first step and update, of the policy and of its critic."""
        scaled = lambda rate: optax.chain(unit, optax.scale(rate))  # noqa: E731
        of_policy = scaled(hyper.learning_rate)
        loss = policy_loss(settings, decoding.temperature, hyper.kl)
        found = {"policy": (init_state(params, of_policy), make_update(loss(model), of_policy))}
        if by_critic:
            by_gradient = scaled(hyper.critic_learning_rate)
            loss = ValueLoss(settings.value_clip)(critic.model)
            found["critic"] = init_state(of_critic, by_gradient), make_update(loss, by_gradient)
        return found

    def rollouts(policy, key, number):
        """Rollouts of an iteration: rows of the questions, and what was generated."""
        order_key, sample_key = jax.random.split(jax.random.fold_in(key, 0))
        epoch, place = number // (N // Q), number % (N // Q)
        order = jax.random.permutation(jax.random.fold_in(order_key, epoch), N)
        rows = jax.lax.dynamic_slice(order, (place * Q,), (Q,))
        keys = sample_keys(jax.random.fold_in(sample_key, number), rows, K, 0)
        prompts, lengths = questions.prompts[rows], questions.lengths[rows]
        begun = generate.start(model, policy, prompts, lengths, keys, decoding)
        return rows, generate.run(model, policy, begun, keys, decoding, T, early_exit=False)

    def experience(states, hyper: Hyperparameters, key, number):
        """All rollouts of an iteration as one batch, and what to watch."""
        rows, made = rollouts(states["policy"].params, key, number)
        right = is_right(questions, rows, made.tokens, made.lengths).astype(jnp.float32)
        tokens, lengths, old, sampled = (
            x.reshape(Q * K, *x.shape[2:])
            for x in (made.tokens, made.lengths, made.log_probs, made.sampled.astype(jnp.float32))
        )
        prompts = jnp.repeat(questions.prompts[rows], K, axis=0)
        begin = jnp.repeat(questions.lengths[rows], K)
        whole = _join(prompts, begin, tokens)
        reference = token_log_probs(model, params, whole, decoding.temperature)
        reference = _cut(jnp.pad(reference, ((0, 0), (1, 0))), begin, T)
        values = jnp.zeros_like(sampled)
        if by_critic:
            values = values_before(critic.model, states["critic"].params, whole)
            values = _cut(values, begin, T) * sampled
        last = jnp.take_along_axis(tokens, jnp.maximum(lengths - 1, 0)[:, None], axis=1)[:, 0]
        ended = jnp.isin(last, jnp.asarray(decoding.stop_tokens, jnp.int32))
        mask = sampled * ended[:, None] if settings.truncated == "masked" else sampled
        advantages, returns = advantages_and_returns(
            settings, K, on_last_action(right.reshape(-1), mask), mask, old, reference, values,
            hyper.kl,
        )  # fmt: skip
        of_token = {
            "mask": mask,
            "weighted": token_weights(settings, mask),
            "advantages": advantages,
            "old_log_probs": old,
            "reference": reference,
            "old_values": values,
            "returns": returns,
        }
        watched = {
            "accuracy": right.mean(),
            "kl": (k1(old, reference) * sampled).sum(axis=1).mean(),
            "entropy": -(old * sampled).sum() / jnp.maximum(sampled.sum(), 1),
            "tokens": lengths.mean(),
            "truncated": 1 - ended.mean(),
            "dead_groups": dead_groups(right).mean(),
        }
        if by_critic:
            watched["explained_variance"] = explained_variance(values, returns, mask)
        placed = {name: _place(x, begin, P) for name, x in of_token.items()}
        return {"tokens": whole, **placed}, watched

    def train(key, hyper: Hyperparameters):
        found = learners(hyper)
        updates = {name: update for name, (_, update) in found.items()}

        def iteration(states, number):
            data, watched = experience(states, hyper, key, number)
            shuffle_key = jax.random.fold_in(jax.random.fold_in(key, 1), number)
            shuffles = jax.random.split(shuffle_key, settings.epochs)
            order = jax.vmap(lambda k: jax.random.permutation(k, Q * K))(shuffles)

            def step(states, members):
                batch = jax.tree.map(lambda x: x[members], data)
                of = {"policy": batch | {"mask": batch["weighted"]}, "critic": batch}
                made = {name: updates[name](states[name], of[name], key) for name in updates}
                metrics = {name: made["policy"][1][name] for name in WATCHED_UPDATES}
                return {name: state for name, (state, _) in made.items()}, metrics

            order = order.reshape(settings.epochs * batches, batch_size)
            states, of_steps = jax.lax.scan(step, states, order)
            return states, watched | jax.tree.map(jnp.mean, of_steps)

        states = {name: state for name, (state, _) in found.items()}
        states, history = jax.lax.scan(iteration, states, jnp.arange(settings.iterations))
        return states["policy"].params, history

    return train


def train_members(train: Callable, at_once: int, mesh: Mesh | None = None) -> Callable:
    """Makes `(seeds [M], hyperparameters [M]) -> (parameters, history)` of M runs in one program.

    Args:
      train: from `make_train`.
      at_once, mesh: see `members.map_members`.
    """

    one = lambda seed, hyper: train(jax.random.key(seed), hyper)  # noqa: E731
    program = jax.jit(map_members(one, at_once, mesh))

    def members(seeds, hyper: Hyperparameters):
        M = len(seeds)
        found = program(*pad_members((np.asarray(seeds), jax.tree.map(np.asarray, hyper)), mesh))
        return jax.tree.map(lambda x: x[:M], to_host(found))

    return members


WATCHED_UPDATES = ("loss", "gradient_norm", "clip_fraction", "update_kl", "reference_kl", "finite")


def _join(prompts, lengths, tokens):
    """[B, P + T]: each prompt followed by its completion at once, then zeros."""
    width = prompts.shape[1] + tokens.shape[1]
    at = jnp.arange(width) - lengths[:, None]
    own = jnp.take_along_axis(
        jnp.pad(tokens, ((0, 0), (0, width - tokens.shape[1]))), jnp.maximum(at, 0), axis=1
    )
    asked = jnp.pad(prompts, ((0, 0), (0, width - prompts.shape[1])))
    return jnp.where(at < 0, asked, own)


def _cut(x, lengths, T: int):
    """[B, P + T] numbers of tokens → [B, T] of the completions."""
    return jnp.take_along_axis(x, lengths[:, None] + jnp.arange(T), axis=1)


def _place(x, lengths, P: int):
    """[B, T] numbers of completions → [B, P + T], zero on the prompts and after the end."""
    at = jnp.arange(P + x.shape[1]) - lengths[:, None]
    found = jnp.take_along_axis(x, jnp.clip(at, 0, x.shape[1] - 1), axis=1)
    return jnp.where((at >= 0) & (at < x.shape[1]), found, 0)
