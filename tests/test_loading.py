"""A finished run's models in memory: the same answers and values as the run's own stages."""

import jax
import numpy as np
import pytest
import runs

import qdcjax
from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.experiments.running import from_config
from qdcjax.files import read_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workdir():
    return runs.finished("sorm")


@pytest.fixture(scope="module")
def student(workdir):
    return qdcjax.load(workdir)


@pytest.fixture(scope="module")
def questions(workdir) -> dict[str, str]:
    """Problem id → question, of the test split that the run was evaluated on."""
    config = read_json(workdir / "config.json")["config"]
    task = from_config.task(config["task"], config["seed"])
    problems = task.problems("test", config["evaluation"]["questions"])
    return {problem.id: problem.question for problem in problems}


def test_greedy_solutions_are_those_of_the_run(workdir, student, questions):
    greedy = runs.table(workdir, "greedy-test")
    found = student.sample([questions[name] for name in greedy["problem_id"]])
    ended = [row for row, truncated in enumerate(greedy["truncated"]) if not truncated]
    assert len(ended) > 5
    for row in ended:
        assert found[row] == [greedy["text"][row]]
    # The run gave truncated ones less room; they begin alike.
    for row in set(range(len(greedy))) - set(ended):
        assert found[row][0].startswith(greedy["text"][row])


def test_a_question_alone_gets_the_same_answer(student, questions):
    several = list(questions.values())[:5]
    together = student.sample(several)
    assert [student.sample([question])[0] for question in several] == together


def test_samples_are_a_function_of_the_key(student, questions):
    several = list(questions.values())[:3]

    def draw(key, samples=4):
        return student.sample(several, samples=samples, temperature=1.0, key=jax.random.key(key))

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
    assert [texts[:2] for texts in draw(3)] == draw(3, samples=2)
    assert student.sample(several, temperature=1.0) == draw(0, samples=1)
    assert all(len(texts) == 4 for texts in draw(3))
    assert len({text for texts in draw(3) for text in texts}) > 3


@pytest.mark.parametrize("model", ["orm-0", "sorm-1"])
def test_step_values_are_those_of_the_run(workdir, questions, model):
    samples, scores = runs.table(workdir, "samples-test"), runs.table(workdir, "scores")
    rows = [row for row, name in enumerate(scores["of"]) if name == model]
    assert len(rows) == len(samples)
    # Text in: solutions whose tokens are not those that their text is encoded to are left out.
    loaded = qdcjax.load(workdir, model=model)
    encoded = loaded.tokenizer.encode_many(samples["text"])
    same = [
        n
        for n, tokens in enumerate(samples["tokens"])
        if tokens == [*encoded[n], loaded.tokenizer.eos_id]
    ]
    assert len(same) > len(samples) // 3
    found = loaded.score_steps(
        [questions[samples["problem_id"][n]] for n in same], [samples["text"][n] for n in same]
    )
    for n, steps in zip(same, found, strict=True):
        values, ends = np.asarray(scores["values"][rows[n]]), samples["ends"][n]
        assert [text for text, _ in steps[:-1]] == samples["steps"][n]
        ours = [value for _, value in steps]
        assert all(0 <= value <= 1 for value in ours)
        np.testing.assert_allclose(ours, values[[*ends, -1]], atol=1e-5)
    assert max(len(steps) for steps in found) > 1


def test_one_stage_s_own_folder_can_be_loaded(workdir, student):
    alone = qdcjax.load(workdir / "stages" / "student")
    assert jax.tree.all(jax.tree.map(np.array_equal, alone.params, student.params))
    assert alone.config == student.config


def test_a_forward_pass_in_a_notebook(student):
    tokens = np.asarray([[student.tokenizer.bos_id, *student.tokenizer.encode("How many?")]])
    logits = student.model.apply({"params": student.params}, tokens)
    assert logits.shape == (*tokens.shape, student.config.vocab_size)
    assert np.all(np.isfinite(logits))


def test_a_reward_model_is_not_exported(workdir, tmp_path):
    with pytest.raises(ValueError, match="output"):
        qdcjax.load(workdir, model="sorm-0").export(tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


@pytest.mark.parity
def test_transformers_solves_as_we_do(student, questions, tmp_path):
    """What `export` writes, loaded by transformers alone: the same greedy tokens to the end."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    student.export(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    several = list(questions.values())[:4]
    ours = student.tokenizer.encode_many([texts[0] for texts in student.sample(several)])
    prompts = encode_prompts(student.tokenizer, [prompt_text(text) for text in several])
    ended = 0
    for prompt, solution in zip(prompts, ours, strict=True):
        found = theirs.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=60)
        found = found[0, len(prompt) :].tolist()
        ended += found[-1] == student.tokenizer.eos_id
        text = student.tokenizer.decode(found)
        assert text == student.tokenizer.decode(solution)[: len(text)] and text
    assert ended


def test_wrong_uses_are_told_in_one_line(workdir, student):
    rewards = qdcjax.load(workdir, model="sorm-0")
    with pytest.raises(ValueError, match="reward model"):
        rewards.sample(["How many?"])
    with pytest.raises(ValueError, match=r"policy.*sorm-0"):
        student.score_steps(["How many?"], ["#### 1"])
    with pytest.raises(ValueError, match="list of texts"):
        student.sample("How many?")
    with pytest.raises(ValueError, match="lists of texts"):
        rewards.score_steps("How many?", "#### 1")
    with pytest.raises(ValueError, match=r"2 questions.* 1 solution"):
        rewards.score_steps(["How many?", "Why?"], ["#### 1"])
    with pytest.raises(ValueError, match=f"max_length={student.config.max_length}"):
        student.sample(["How many? " * 400])
    with pytest.raises(ValueError, match=f"max_length={student.config.max_length}"):
        rewards.score_steps(["How many? " * 400], ["#### 1"])


def test_nothing_asked_nothing_given(workdir, student):
    assert student.sample([]) == []
    assert qdcjax.load(workdir, model="sorm-0").score_steps([], []) == []
