import numpy as np
import pytest

from qdcjax.data.examples import completion_examples, encode_prompts, prompt_text


def test_prompt_ends_its_line():
    assert prompt_text("Why?") == "Why?\n"


def test_prompts_begin_with_the_begin_token(tokenizer):
    texts = ["What is 5 and 4?\n", "Say a word.\n"]
    for ids, text in zip(encode_prompts(tokenizer, texts), texts, strict=True):
        assert ids[0] == tokenizer.bos_id and ids.count(tokenizer.bos_id) == 1
        assert tokenizer.decode(ids) == text


def test_the_mask_covers_completion_and_end_token_alone(tokenizer):
    (example,) = completion_examples(tokenizer, ["Say a word.\n"], ["apples"], max_length=64)
    tokens, mask = example["tokens"], example["mask"]
    assert tokens.dtype == np.int32 and mask.dtype == np.float32
    assert tokens.tolist() == [
        tokenizer.bos_id, *tokenizer.encode("Say a word.\n"),
        *tokenizer.encode("apples"), tokenizer.eos_id,
    ]  # fmt: skip
    carried = tokens[mask == 1]
    assert carried.tolist() == [*tokenizer.encode("apples"), tokenizer.eos_id]
    assert (np.diff(mask) >= 0).all() and mask[0] == 0


def test_an_example_that_is_too_long_is_named(tokenizer):
    length = 1 + len(tokenizer.encode("Say a word.\n")) + len(tokenizer.encode("apples")) + 1
    completion_examples(tokenizer, ["Say a word.\n"], ["apples"], max_length=length)
    with pytest.raises(ValueError, match=f"has {length} tokens and max_length={length - 1}: 'Say"):
        completion_examples(tokenizer, ["Say a word.\n"], ["apples"], max_length=length - 1)


def test_prompts_and_completions_of_unequal_number_are_refused(tokenizer):
    with pytest.raises(ValueError):
        completion_examples(tokenizer, ["a", "b"], ["c"], max_length=64)
