import llama_tokenizers
import pytest

from qdcjax.data.tokenizers import load_tokenizer
from qdcjax.decoding.calculator import calculate, pause_tokens
from qdcjax.decoding.forced import reply_tokens


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


@pytest.mark.parametrize("kind", ["ours", "tokenizer.model", "tokenizer.json"])
@pytest.mark.parametrize("text", ["<<12*3=", "<<3/4=", "<<2-7=", "<<1/3="])
def test_an_answer_goes_on_right_after_the_equals_sign(tokenizer, tmp_path, kind, text):
    """LLaMA's tokenisers put a space before every text; none may stand before the answer."""
    texts = ["12 bags of 3 are <<12*3=36>>36 apples, 3/4 of 1 is 0.75 and 2-7 is -5"] * 9
    if kind == "tokenizer.model":
        (tmp_path / kind).write_bytes(llama_tokenizers.sentencepiece_model(texts, 300))
    elif kind == "tokenizer.json":
        llama_tokenizers.write_json(tmp_path, texts, 300)
    if kind != "ours":
        tokenizer = load_tokenizer(tmp_path)
    ids = [*tokenizer.encode(text), *reply_tokens(tokenizer, text, True, "")]
    assert tokenizer.decode(ids) == text + calculate(text)
    assert reply_tokens(tokenizer, "no sum", True, "") == []
    marked = reply_tokens(tokenizer, f"{text}\n", True, "[GOOD]")
    assert tokenizer.decode([*tokenizer.encode(f"{text}\n"), *marked]) == f"{text}\n[GOOD]"
