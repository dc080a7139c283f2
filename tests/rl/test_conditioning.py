import jax
import numpy as np

from qdcjax.data.examples import encode_prompts, prompt_text
from qdcjax.decoding import Prompts, SamplingSettings, sample
from qdcjax.reasoning.steps import segment, separator_tokens
from qdcjax.rl.conditioning import BAD, GOOD, line_labels, marked_example


def test_a_line_is_as_good_as_the_value_at_its_end():
    """Two steps and an answer line; the threshold itself is good enough."""
    values = [0.9, 0.2, 0.9, 0.5, 0.1, 0.7]
    assert line_labels([1, 3], values, 6, 0.5) == [False, True, True]
    assert line_labels([1, 5], values, 6, 0.5) == [False, True], "nothing follows the last step"
    assert line_labels([], values, 6, 0.8) == [False]


def test_labels_stand_before_lines_and_carry_no_loss(tokenizer):
    text = "She gives 2*6 = <<2*6=11>>11 apples.\nShe keeps <<20-11=5>>5.\n#### 5"
    tokens = [*tokenizer.encode(text), tokenizer.eos_id]
    ends = segment(tokens, tokenizer, separator_tokens(tokenizer)).ends
    sampled = [True] * len(tokens)
    sampled[2] = False
    example = marked_example(tokenizer, [1, 7], tokens, sampled, ends, [True, False, True])
    lines = text.split("\n")
    marked = f"{GOOD}{lines[0]}\n{BAD}{lines[1]}\n{GOOD}{lines[2]}"
    ids, mask = example["tokens"].tolist(), example["mask"]
    assert ids[:2] == [1, 7] and tokenizer.decode(ids[2:-1]) == marked
    kept = [token for token, counts in zip(ids, mask, strict=True) if counts]
    assert kept == [token for token, chosen in zip(tokens, sampled, strict=True) if chosen]
    assert len(ids) - 2 - len(tokens) == sum(len(tokenizer.encode(m)) for m in (GOOD, BAD, GOOD))


def test_the_sampler_forces_the_tokens_that_were_trained_on(policy):
    """Whatever the policy says, each of its lines begins as a training line does."""
    tokenizer = policy.tokenizer
    asked = encode_prompts(tokenizer, [prompt_text(policy.questions[3])])
    settings = SamplingSettings(samples=8, max_new_tokens=80, marker=GOOD)
    made = sample(policy.model, policy.params, Prompts(asked, np.zeros(1, np.uint32)), settings,
                  jax.random.key(0), tokenizer)  # fmt: skip
    separators, forced = separator_tokens(tokenizer), 0
    for k in range(8):
        tokens = made.tokens[0, k, : made.lengths[0, k]].tolist()
        steps = segment(tokens, tokenizer, separators, GOOD)
        assert not any(step.startswith("[") for step in steps.texts)
        own = [t for t, chosen in zip(tokens, made.sampled[0, k], strict=False) if chosen]
        ends = [at for at, token in enumerate(own) if token in separators and at < len(own) - 1]
        again = marked_example(
            tokenizer, [], own, [True] * len(own), ends, [True] * (len(ends) + 1)
        )
        if not made.truncated[0, k] and own[-1] not in separators:
            assert again["tokens"].tolist() == tokens
            forced += len(ends)
    assert forced > 0


def test_a_marker_is_no_part_of_a_step_and_hides_no_answer_line(tokenizer):
    tokens = tokenizer.encode(f"{GOOD}5+4 = <<5+4=7>>7\n{GOOD}#### 7\n{GOOD}more\n")
    steps = segment(tokens, tokenizer, separator_tokens(tokenizer), GOOD)
    assert steps.texts == ("5+4 = <<5+4=7>>7",)
