import dataclasses

import jax
import numpy as np
import pytest

from qdcjax.decoding import (
    Prompts,
    Samples,
    SamplingSettings,
    generate,
    programs,
    sample,
    shared_shapes,
    stream,
)
from qdcjax.models.transformer import Transformer
from qdcjax.training import sharding
from qdcjax.training.losses import token_log_probs

KEY = jax.random.key(11)
ROOM = 22
SETTINGS = SamplingSettings(samples=3, max_new_tokens=ROOM, buckets=1)
FIELDS = [field.name for field in dataclasses.fields(Samples)]


@pytest.fixture(scope="module")
def run(policy):
    """`run(prompts, **settings)`; the streams are the prompts' own numbers unless given."""

    def run(prompts=None, streams=None, **changes):
        prompts = policy.prompts() if prompts is None else prompts
        streams = np.arange(len(prompts), dtype=np.uint32) if streams is None else streams
        settings = dataclasses.replace(SETTINGS, **changes)
        return sample(
            policy.model, policy.params, Prompts(prompts, streams), settings, KEY, policy.tokenizer
        )

    return run


@pytest.fixture(scope="module")
def drawn(run):
    return run()


@pytest.fixture(scope="module")
def texts(policy):
    """All completions as texts [N, K]."""

    def texts(samples):
        return [
            [policy.tokenizer.decode(samples.tokens[n, k, : samples.lengths[n, k]])
             for k in range(samples.lengths.shape[1])]
            for n in range(samples.lengths.shape[0])
        ]  # fmt: skip

    return texts


@pytest.fixture(scope="module")
def trainer_log_probs(policy):
    """The trainer's log-probabilities [N, K, T] of the samples' own tokens, zero past the ends."""
    width = 96
    score = jax.jit(
        lambda tokens, temperature: token_log_probs(
            policy.model, policy.params, tokens, temperature
        )
    )

    def log_probs(prompts, samples, temperature):
        result = np.zeros(samples.log_probs.shape, np.float32)
        rows = np.zeros((12, width), np.int32)
        assert samples.lengths.size == len(rows)
        for row, (n, k) in enumerate(np.ndindex(samples.lengths.shape)):
            ids = [*prompts[n], *samples.tokens[n, k, : samples.lengths[n, k]]]
            rows[row, : len(ids)] = ids
        scored = np.asarray(score(rows, temperature))
        for row, (n, k) in enumerate(np.ndindex(samples.lengths.shape)):
            first, length = len(prompts[n]) - 1, samples.lengths[n, k]
            result[n, k, :length] = scored[row, first : first + length]
        return result

    return log_probs


def assert_equal_rows(actual, expected, rows=slice(None)):
    """The tokens bit for bit, the rest that hangs on them; log-probabilities up to rounding."""
    for name in ("tokens", "lengths", "sampled", "truncated"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name)[rows])
    np.testing.assert_allclose(actual.log_probs, expected.log_probs[rows], atol=1e-4)


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.3])
def test_log_probs_are_the_trainers(run, policy, trainer_log_probs, temperature):
    samples = run(temperature=temperature)
    expected = trainer_log_probs(policy.prompts(), samples, temperature)
    ratios = np.exp(expected - samples.log_probs)
    assert np.abs(ratios - 1).max() < 1e-4
    np.testing.assert_allclose(samples.log_probs, expected, atol=1e-5)
    assert samples.log_probs[samples.sampled].min() < -0.5, "no token was a surprise"
    assert not samples.kept_log_mass.any()
    at_one = trainer_log_probs(policy.prompts(), samples, 1.0)
    assert temperature == 1.0 or np.abs(at_one - expected).max() > 0.01


@pytest.mark.parametrize("tied", [True, False])
def test_in_bfloat16_log_probs_are_near_the_trainers(policy, tied):
    """Old log-probabilities are computed again there; a mean difference of .01 is the most."""
    config = dataclasses.replace(policy.model.config, dtype="bfloat16", tied=tied)
    model, params = Transformer(config), dict(policy.params)
    if not tied:
        params["head"] = {"kernel": params["embed"]["embedding"].T}
    prompts = policy.prompts()
    samples = sample(model, params, Prompts(prompts, np.arange(4)), SETTINGS, KEY, policy.tokenizer)
    difference = []
    for n, k in np.ndindex(samples.lengths.shape):
        first, length = len(prompts[n]), samples.lengths[n, k]
        row = np.zeros((1, 96), np.int32)
        row[0, : first + length] = [*prompts[n], *samples.tokens[n, k, :length]]
        scored = token_log_probs(model, params, row)[0, first - 1 : first - 1 + length]
        difference += list(np.asarray(scored) - samples.log_probs[n, k, :length])
    assert len(difference) > 50 and 0 < np.abs(difference).mean() < 0.01


def test_with_a_cut_the_full_log_probs_and_the_kept_mass_are_told_apart(
    run, policy, trainer_log_probs
):
    samples = run(temperature=1.3, top_k=20, top_p=0.8)
    expected = trainer_log_probs(policy.prompts(), samples, 1.3)
    np.testing.assert_allclose(samples.log_probs, expected, atol=1e-4)
    kept = samples.kept_log_mass
    assert not kept[~samples.sampled].any() and kept.max() <= 1e-6 and kept.min() < -0.01
    assert kept.min() > np.log(0.2), "twenty tokens and 80 % of theirs hold more"


def test_shapes_ends_and_padding(drawn, policy):
    N, K, end = 4, 3, policy.tokenizer.eos_id
    for name in ("tokens", "log_probs", "kept_log_mass", "sampled"):
        assert getattr(drawn, name).shape == (N, K, ROOM)
    past = np.arange(ROOM) >= drawn.lengths[..., None]
    for name in ("tokens", "log_probs", "kept_log_mass", "sampled"):
        assert not getattr(drawn, name)[past].any()
    assert drawn.sampled[~past].all()
    for n, k in np.ndindex(N, K):
        ids = drawn.tokens[n, k, : drawn.lengths[n, k]].tolist()
        assert end not in ids[:-1]
        assert drawn.truncated[n, k] == (ids[-1] != end)
        assert not drawn.truncated[n, k] or len(ids) == ROOM
    assert {False, True} == set(drawn.truncated.ravel().tolist())


@pytest.mark.parametrize("batch_size", [1, 7])
def test_samples_do_not_depend_on_the_batch_size(run, drawn, batch_size):
    assert_equal_rows(run(batch_size=batch_size), drawn)


def test_samples_do_not_depend_on_order_or_neighbours(run, drawn, policy):
    order = [2, 0, 3, 1]
    shuffled = [policy.prompts()[i] for i in order]
    assert_equal_rows(run(shuffled, np.asarray(order, np.uint32)), drawn, order)
    # The same question four times: only the stream tells the samples apart.
    repeated = run([policy.prompts()[1]] * 4, np.asarray([1, 7, 1, 8], np.uint32))
    for row in (0, 2):
        np.testing.assert_array_equal(repeated.tokens[row], drawn.tokens[1])
    assert (repeated.tokens[1] != repeated.tokens[0]).any()
    assert (repeated.tokens[1] != repeated.tokens[3]).any()


@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("calculator", [False, True])
def test_samples_do_not_depend_on_the_mesh(policy, drawn, computed, devices, shape, calculator):
    mesh = sharding.make_mesh(sharding.MeshConfig(*shape), devices)
    params = jax.device_put(policy.params, sharding.param_shardings(policy.model, mesh))
    prompts = Prompts(policy.prompts(), np.arange(4, dtype=np.uint32))
    like_computed = {"temperature": 0.6, "calculator": True}
    settings = dataclasses.replace(SETTINGS, **(like_computed if calculator else {}))
    samples = sample(policy.model, params, prompts, settings, KEY, policy.tokenizer)
    assert_equal_rows(samples, computed if calculator else drawn)


def test_first_sample_goes_on_where_an_earlier_call_ended(run, drawn):
    later = run(first_sample=2)
    for name in ("tokens", "lengths", "sampled", "truncated"):
        np.testing.assert_array_equal(getattr(later, name)[:, 0], getattr(drawn, name)[:, 2])
    pairs = [(later.tokens[:, k], drawn.tokens[:, j]) for k in (1, 2) for j in range(3)]
    assert all((a != b).any() for a, b in pairs)


def test_another_key_gives_other_samples(run, drawn, policy):
    prompts = Prompts(policy.prompts(), np.arange(4, dtype=np.uint32))
    other = sample(
        policy.model, policy.params, prompts, SETTINGS, jax.random.key(12), policy.tokenizer
    )
    assert (other.tokens != drawn.tokens).any()


@pytest.fixture(scope="module")
def greedy(run):
    return run(samples=1, temperature=0.0)  # all four at once


@pytest.mark.parametrize(("batch_size", "times"), [(1, 2), (7, 2), (64, 16), (64, 19)])
def test_greedy_answers_are_the_same_at_any_batch_size(run, policy, greedy, batch_size, times):
    """A batch is no larger than its prompts are many: 64 and 76 of them really fill 64 places."""
    prompts = policy.prompts() * times
    assert len(prompts) >= batch_size
    repeated = run(prompts, samples=1, temperature=0.0, batch_size=batch_size)
    assert_equal_rows(repeated, greedy, [0, 1, 2, 3] * times)


def test_greedy_follows_the_largest_logit(greedy, policy, texts):
    assert texts(greedy)[0] == ["<<12*3=99>>99 eggs\n#### 99"]
    apply = jax.jit(policy.model.apply)
    rows = np.zeros((4, 96), np.int32)
    for n, prompt in enumerate(policy.prompts()):
        ids = [*prompt, *greedy.tokens[n, 0, : greedy.lengths[n, 0]]]
        rows[n, : len(ids)] = ids
    best = np.asarray(apply({"params": policy.params}, rows)).argmax(axis=-1)
    for n, prompt in enumerate(policy.prompts()):
        first, length = len(prompt) - 1, greedy.lengths[n, 0]
        assert best[n, first : first + length].tolist() == greedy.tokens[n, 0, :length].tolist()


def test_an_end_token_inside_the_prompt_does_not_count(run, policy, trainer_log_probs):
    end = policy.tokenizer.eos_id
    prompts = policy.prompts()
    prompts = [[*ids[:3], end, *ids[3:]] for ids in prompts[:3]] + [[*prompts[3], end]]
    samples = run(prompts)
    assert samples.lengths.max() > 3
    assert (samples.lengths > 0).all()
    expected = trainer_log_probs(prompts, samples, 1.0)
    np.testing.assert_allclose(samples.log_probs, expected, atol=1e-4)


def test_stop_strings_end_a_completion_with_their_last_token(run, drawn, texts, policy):
    stops = (">>", "of")
    stopped = run(stop_strings=stops)
    cut = 0
    for n, k in np.ndindex(4, 3):
        whole, length = texts(drawn)[n][k], stopped.lengths[n, k]
        np.testing.assert_array_equal(stopped.tokens[n, k, :length], drawn.tokens[n, k, :length])
        if not any(stop in whole for stop in stops):
            assert length == drawn.lengths[n, k]
            assert stopped.truncated[n, k] == drawn.truncated[n, k]
            continue
        cut += 1
        text = texts(stopped)[n][k]
        assert sum(text.count(stop) for stop in stops) == 1
        shorter = policy.tokenizer.decode(stopped.tokens[n, k, : length - 1])
        assert not any(stop in shorter for stop in stops)
        assert not stopped.truncated[n, k]
        for name in ("tokens", "log_probs", "kept_log_mass", "sampled"):
            assert not getattr(stopped, name)[n, k, length:].any()
    assert 2 <= cut < 12


@pytest.fixture(scope="module")
def computed(run):
    """The policy has learnt 12*3=99; the calculator knows better."""
    return run(temperature=0.6, calculator=True)


def test_the_calculator_writes_the_result(computed, policy, texts):
    question = 0
    for k, text in enumerate(texts(computed)[question]):
        if not text.startswith("<<12*3="):
            continue
        assert text.startswith("<<12*3=36>>")
        forced = ~computed.sampled[question, k, : computed.lengths[question, k]]
        ids = computed.tokens[question, k, : computed.lengths[question, k]]
        assert policy.tokenizer.decode(ids[forced][:3]) == "36>>"
        assert np.flatnonzero(forced)[0] == len(policy.tokenizer.encode("<<12*3="))
    assert sum(text.startswith("<<12*3=36>>") for text in texts(computed)[question]) >= 2


def test_samples_do_not_depend_on_how_often_the_host_looks(run, computed, monkeypatch):
    monkeypatch.setattr(programs, "CHUNK_WITH_PAUSES", 7)
    monkeypatch.setattr(programs, "compiled_for", programs.compiled_for.__wrapped__)
    assert_equal_rows(run(temperature=0.6, calculator=True), computed)


def test_what_follows_the_calculator_is_scored_with_it_in_place(
    computed, policy, trainer_log_probs
):
    expected = trainer_log_probs(policy.prompts(), computed, 0.6)
    real = np.arange(ROOM) < computed.lengths[..., None]
    forced = real & ~computed.sampled
    assert forced.sum() >= 6 and not computed.log_probs[forced].any()
    after = np.cumsum(forced, axis=-1).astype(bool) & computed.sampled
    assert after.sum() >= 6, "nothing was sampled after a forced token"
    np.testing.assert_allclose(
        computed.log_probs[computed.sampled], expected[computed.sampled], atol=1e-4
    )


def test_a_marker_is_forced_before_every_step(run, policy, texts, trainer_log_probs):
    samples = run(temperature=0.6, marker="[GOOD]", max_new_tokens=40)
    assert {text[:6] for row in texts(samples) for text in row} == {"[GOOD]"}
    steps = 0
    for (n, k), text in np.ndenumerate(np.array(texts(samples), object)):
        lines = text.split("\n")
        steps += len(lines) - 1
        for line in lines[1:]:
            assert line.startswith("[GOOD]"[: len(line)])
        ids = samples.tokens[n, k, : samples.lengths[n, k]]
        forced = ~samples.sampled[n, k, : samples.lengths[n, k]]
        assert policy.tokenizer.decode(ids[forced]).count("[GOOD]") >= len(lines) - 1
        assert "GOOD" not in policy.tokenizer.decode(ids[~forced])
    assert steps > 1, "no sample came to a second step"
    assert not samples.log_probs[~samples.sampled].any()
    expected = trainer_log_probs(policy.prompts(), samples, 0.6)
    np.testing.assert_allclose(
        samples.log_probs[samples.sampled], expected[samples.sampled], atol=1e-4
    )


def test_without_a_tokenizer_samples_are_as_long_as_they_may_be(policy):
    prompts = Prompts(policy.prompts(), np.arange(4))
    settings = dataclasses.replace(SETTINGS, max_new_tokens=6)
    found = sample(policy.model, policy.params, prompts, settings, KEY)
    assert (found.lengths == 6).all() and found.truncated.all()
    with pytest.raises(ValueError, match="need a tokenizer"):
        changed = dataclasses.replace(settings, calculator=True)
        sample(policy.model, policy.params, prompts, changed, KEY)


def test_a_key_of_the_old_kind_is_the_same_key(run, policy):
    prompts, settings = Prompts(policy.prompts(), np.arange(4)), SETTINGS
    old, new = (
        sample(policy.model, policy.params, prompts, settings, key, policy.tokenizer)
        for key in (jax.random.PRNGKey(3), jax.random.key(3))
    )
    np.testing.assert_array_equal(old.tokens, new.tokens)


@pytest.mark.parametrize(
    ("field", "value"),
    [("samples", 0), ("max_new_tokens", 0), ("temperature", -0.5), ("top_k", -1), ("top_p", 0.0),
     ("top_p", 1.5), ("batch_size", 0), ("buckets", 0)],
)  # fmt: skip
def test_settings_out_of_range_are_named_in_one_line(field, value):
    with pytest.raises(ValueError, match=f"^{field}={value} must be .*$"):
        SamplingSettings(**{field: value})


@pytest.fixture(scope="module")
def small_room(run, policy, count_calls):
    """Greedy samples with the calculator, cut after its first digit, and what was compiled."""
    room = len(policy.tokenizer.encode("<<12*3=")) + 1
    options = {"samples": 1, "temperature": 0.0, "calculator": True, "max_new_tokens": room}
    with pytest.MonkeyPatch.context() as patch:
        runs, entries = (count_calls(patch, generate, name) for name in ("run", "insert"))
        samples = run(policy.prompts() * 3, batch_size=2, buckets=2, **options)
        run(policy.prompts() * 3, batch_size=2, buckets=2, first_sample=9, **options)
    return samples, runs + entries


def test_compilations_are_no_more_than_buckets(small_room):
    assert small_room[1] == {"run": 2, "insert": 2}


def test_parts_of_some_prompts_share_their_compilations(run, policy, count_calls):
    prompts = [[*ids, *[5] * n] for ids in policy.prompts() for n in (0, 40)]
    lengths = [len(ids) for ids in prompts]
    short = dataclasses.replace(SETTINGS, max_new_tokens=2, batch_size=9)
    settings = shared_shapes(dataclasses.replace(short, buckets=2), lengths)
    whole = run(prompts, max_new_tokens=2, batch_size=9, buckets=2)
    with pytest.MonkeyPatch.context() as patch:
        calls = count_calls(patch, generate, "run")
        for rows in ([0, 2, 4], [1, 3], [5], [6, 7]):  # of other numbers and lengths
            part = Prompts([prompts[row] for row in rows], np.asarray(rows, np.uint32))
            found = sample(policy.model, policy.params, part, settings, KEY, policy.tokenizer)
            assert_equal_rows(found, whole, rows)
    assert calls["run"] <= 2


def test_prompts_that_enter_one_after_another_are_read_by_one_program(policy, count_calls):
    few = dataclasses.replace(SETTINGS, samples=1, max_new_tokens=3, batch_size=4, buckets=1)
    prompts = Prompts(policy.prompts() * 3, np.arange(12, dtype=np.uint32))
    with pytest.MonkeyPatch.context() as patch:
        calls = count_calls(patch, generate, "insert")
        params = jax.device_put(policy.params, jax.devices()[0])  # where a loaded model's lie
        sample(policy.model, params, prompts, few, KEY, policy.tokenizer)
    assert calls["insert"] == 1


def test_the_calculator_cuts_off_at_the_end_of_the_room(small_room, policy):
    samples, room = small_room[0], small_room[0].tokens.shape[-1]
    for row in (0, 4, 8):
        assert samples.lengths[row, 0] == room and samples.truncated[row, 0]
        assert policy.tokenizer.decode(samples.tokens[row, 0]) == "<<12*3=3"
        assert samples.sampled[row, 0].tolist() == [True] * (room - 1) + [False]


def test_no_prompts_give_no_samples(run):
    samples = run([])
    assert samples.tokens.shape == (0, 3, ROOM)


def test_a_prompt_without_room_is_named_in_one_line(run, policy):
    longest = policy.model.config.max_length
    with pytest.raises(ValueError, match=f"a prompt of {longest} tokens .*={longest}") as caught:
        run([[1] * longest])
    assert "\n" not in str(caught.value)


def test_a_stream_is_a_name_of_its_parts():
    assert stream("gsm8k-1", 0) == stream("gsm8k-1", 0)
    names = {
        stream("a", 1),
        stream("a", 2),
        stream("b", 1),
        stream("a1"),
        stream("a", ""),
        stream("a"),
    }
    assert len(names) == 6
    assert all(0 <= name < 2**32 for name in names)
