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


def reply_tokens(tokenizer: Tokenizer, text: str, calculates: bool, marker: str) -> list[int]:
    """Ids of what the host writes after `text`; none when it has nothing to say.

    Args:
      tokenizer: the policy's.
      text: of a sample so far.
      calculates: whether `<<…=` is answered.
      marker: what follows every line end, or nothing.
    """
    if marker and text.endswith("\n"):
        return going_on(tokenizer, marker)
    answer = calculator.calculate(text) if calculates else None
    return [] if answer is None else going_on(tokenizer, answer)


def going_on(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text that goes on after another one.

    LLaMA's tokeniser puts a space before every text, which would stand between the two. A newline,
    which no tokeniser joins with a number, takes it.
    """
    return tokenizer.encode(f"\n{text}")[len(tokenizer.encode("\n")) :]
