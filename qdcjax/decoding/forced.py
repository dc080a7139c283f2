"""What the host writes into samples under way: the calculator's results, markers before steps."""

from qdcjax.data.tokenizers import Tokenizer
from qdcjax.decoding import calculator


def pause_tokens(tokenizer: Tokenizer | None, calculates: bool, marker: str) -> tuple[int, ...]:
    """Ids of the tokens after which a sample waits for the host."""
    found: set[int] = set()
    if calculates:
        found |= set(calculator.pause_tokens(tokenizer))
    if marker:
        ids = range(tokenizer.vocab_size)
        found |= {token for token in ids if tokenizer.decode([token]).endswith("\n")}
    return tuple(sorted(found))


def reply(text: str, calculates: bool, marker: str) -> str | None:
    """What the host writes after `text`, or None when it has nothing to say.

    Args:
      text: of a sample so far.
      calculates: whether `<<…=` is answered.
      marker: what follows every line end, or nothing.
    """
    if marker and text.endswith("\n"):
        return marker
    return calculator.calculate(text) if calculates else None
