"""Where the steps of a completion end: hand cases with one character a token, and round trips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdcjax.reasoning.steps import segment, separator_tokens


class Characters:
    """A tokeniser whose tokens are characters; `eos_id` decodes to nothing."""

    vocab_size = 128
    bos_id, eos_id, pad_id = 1, 2, 3

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, ids) -> str:
        return "".join(chr(i) for i in ids if i > 3)


class Words(Characters):
    """Tokens of several characters, some with a line end inside or before more text."""

    pieces = ("a", "b", ".\n", "\n", "\n\n", "####", " 5", "c\nd")
    vocab_size = 4 + len(pieces)

    def decode(self, ids) -> str:
        return "".join(self.pieces[i - 4] for i in ids if i > 3)


def steps(text: str, tokenizer=None):
    tokenizer = tokenizer or Characters()
    return segment(tokenizer.encode(text), tokenizer, separator_tokens(tokenizer))


def test_a_step_is_a_line_and_ends_at_its_separator():
    text = "2+3=5\nso 5\n#### 5"
    found = steps(text)
    assert found.texts == ("2+3=5", "so 5")
    assert found.ends == (5, 10)
    assert [text[end] for end in found.ends] == ["\n", "\n"]


@pytest.mark.parametrize(
    ("text", "texts", "ends"),
    [
        ("", (), ()),
        ("\n", (), ()),
        ("one", (), ()),  # nothing can follow from a line that has not ended
        ("one\n", ("one",), (3,)),
        ("one\ntwo", ("one",), (3,)),
        ("\n\none\n", ("one",), (5,)),
        ("one\n\n \n\ntwo\n", ("one", "two"), (3, 11)),
        ("  one  \n", ("one",), (7,)),
        ("#### 5", (), ()),
        ("#### 5\n", (), ()),
        ("one\n#### 5\nafter\n", ("one",), (3,)),  # what follows the answer is no step
        ("one\n  #### 5\nafter\n", ("one",), (3,)),
        ("one #### 5\ntwo\n", ("one #### 5", "two"), (10, 14)),
    ],
)
def test_hand_cases(text, texts, ends):
    found = steps(text)
    assert (found.texts, found.ends) == (texts, ends)


def test_separators_are_all_tokens_that_hold_a_line_end():
    assert separator_tokens(Characters()) == {10}
    assert separator_tokens(Words()) == {6, 7, 8, 11}


def test_tokens_of_several_characters():
    """a.⏎ | ⏎⏎ | bc⏎d…: the end is the token's place, whatever else the token holds."""
    tokenizer = Words()
    found = segment([4, 6, 8, 5, 11, 7, 9, 10, 7], tokenizer, separator_tokens(tokenizer))
    assert found.ends == (1, 4)
    assert found.texts == ("a.", "bc\nd")


def test_the_end_token_is_no_part_of_a_step():
    tokenizer = Characters()
    ids = [*tokenizer.encode("one\n#### 5"), tokenizer.eos_id]
    found = segment(ids, tokenizer, separator_tokens(tokenizer))
    assert (found.texts, found.ends) == (("one",), (3,))


LINES = st.lists(st.text("ab #\n", max_size=8), max_size=6).map("\n".join)


@given(LINES)
def test_steps_of_any_text(text):
    found = steps(text)
    assert len(found.texts) == len(found.ends)
    assert list(found.ends) == sorted(set(found.ends))
    assert all(text[end] == "\n" for end in found.ends)
    begin = 0
    for line, end in zip(found.texts, found.ends, strict=True):
        assert line and not line.startswith("####") and "\n" not in line
        assert text[begin:end].strip() == line
        begin = end + 1


@given(LINES, LINES)
def test_steps_of_a_prefix_are_the_first_steps(text, more):
    """A completion that goes on keeps the steps that it has: verified prefixes stay prefixes."""
    shorter, longer = steps(text), steps(text + more)
    assert longer.texts[: len(shorter.texts)] == shorter.texts
    assert longer.ends[: len(shorter.ends)] == shorter.ends


def test_a_trained_tokenizer(tokenizer):
    """Sentencepiece: positions are those of the newline token, and the texts join up again."""
    text = "She gives 2*6 = <<2*6=11>>11 apples.\n\nShe keeps <<20-11=5>>5.\n#### 5"
    ids = tokenizer.encode(text)
    found = segment(ids, tokenizer, separator_tokens(tokenizer))
    assert found.texts == ("She gives 2*6 = <<2*6=11>>11 apples.", "She keeps <<20-11=5>>5.")
    assert all(tokenizer.decode([ids[end]]).endswith("\n") for end in found.ends)
    assert tokenizer.decode(ids[: found.ends[0] + 1]).strip() == found.texts[0]
    assert tokenizer.decode(ids[found.ends[0] + 1 : found.ends[1] + 1]).strip() == found.texts[1]
