"""The calculator of GSM8K's marks: `<<12*3=` is answered with `36>>`."""

from qdcjax.data.tokenizers import Tokenizer
from qdcjax.tasks.arithmetic import evaluate, format_number


def pause_tokens(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of all tokens whose text ends in `=`: after one of them a sample waits for the host."""
    return tuple(
        token for token in range(tokenizer.vocab_size) if tokenizer.decode([token]).endswith("=")
    )


def answer_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of what the calculator writes after `text`; none when it has nothing to say."""
    answer = calculate(text)
    return [] if answer is None else _after_a_line(tokenizer, answer)


def _after_a_line(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text that goes on after another one.

    LLaMA's tokeniser puts a space before every text, which would stand between the two. A newline,
    which no tokeniser joins with a number, takes it.
    """
    return tokenizer.encode(f"\n{text}")[len(tokenizer.encode("\n")) :]


def calculate(text: str) -> str | None:
    """What the calculator writes after `text`, or None when it has nothing to say.

    It speaks when the text ends in `=` inside an open `<<` whose body is arithmetic (charset
    `0-9*+-/.()`, no `**`).
    """
    opened = text.rfind("<<")
    if opened < 0 or not text.endswith("="):
        return None
    value = evaluate(text[opened + 2 : -1])
    return None if value is None else f"{format_number(value)}>>"
