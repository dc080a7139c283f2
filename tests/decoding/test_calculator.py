import pytest

from qdcjax.decoding.calculator import calculate, pause_tokens


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<<12*3=", "36>>"),
        ("so <<1+1=2>>2 and <<(5-2)/4=", "0.75>>"),
        ("<<10/4*2=", "5>>"),
        ("<<.5+.25=", "0.75>>"),
        ("12*3=", None),  # no mark
        ("<<12*3=36>>36 and 5+4=", None),  # the mark is closed
        ("<<12*3", None),  # no equals sign yet
        ("<<12*3= ", None),
        ("<<2**3=", None),
        ("<<x+1=", None),
        ("<<1/0=", None),
        ("<<=", None),
        ("<<12*3=36=", None),
        ("<<1,000+1=", None),
        ("", None),
    ],
)
def test_it_speaks_after_an_equals_sign_in_an_open_mark(text, answer):
    assert calculate(text) == answer


def test_a_sample_waits_after_every_token_that_ends_in_an_equals_sign(tokenizer):
    waits = pause_tokens(tokenizer)
    assert waits
    for token in range(tokenizer.vocab_size):
        assert tokenizer.decode([token]).endswith("=") == (token in waits)
    for text in ("<<12*3=", "<<(4+5)=", "5+4 ="):
        assert tokenizer.encode(text)[-1] in waits
