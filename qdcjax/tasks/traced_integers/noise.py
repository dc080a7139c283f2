"""Noise in traces: after the computation (static), or in it (dynamic).

Havrilla and Iyer (2024, arXiv 2402.04004), section 3.
"""

import dataclasses
import random
import re

KINDS = ("none", "character", "line", "dynamic")
# The digits of a word that is a number and nothing else; beside a comma or a bracket it is not.
NUMBER = re.compile(r"(?<![^ \n])\d(?: \d)*+(?= [^,)\]]|\n|$)")


@dataclasses.dataclass(frozen=True)
class Noise:
    """How documents are noised.

    Attributes:
      kind: `none`; `character`, each digit of a purely numeric word is replaced with probability p
        by a uniform digit; `line`, each line but the answer is left out with probability p;
        `dynamic`, each newly built integer has each digit, from the first that is not zero on,
        replaced with probability p by a uniform digit, and the computation goes on from there.
      level: p.
      contamination: probability of a document to be noised at all.
      answer: whether the answer line is noised too: character noise falls on it, dynamic noise
        builds it once more.
      drawn: digits are drawn from 0 to `drawn` − 1; the paper's code draws dynamic ones from 0–8.
    """

    kind: str = "none"
    level: float = 0.0
    contamination: float = 1.0
    answer: bool = False
    drawn: int = 10

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"noise kind={self.kind!r} must be one of {', '.join(KINDS)}")
        for field in ("level", "contamination"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"noise {field}={getattr(self, field)} must be between 0 and 1")
        if not 1 <= self.drawn <= 10:
            raise ValueError(f"noise drawn={self.drawn} must be from 1 to 10")


def corrupt_digits(digits: str, noise: Noise, rng: random.Random) -> str:
    """Dynamic noise on an integer: from its first digit that is not zero on."""
    kept = len(digits) - len(digits.lstrip("0"))
    return digits[:kept] + "".join(_replaced(d, noise, rng) for d in digits[kept:])


def corrupt_response(response: str, noise: Noise, rng: random.Random) -> str:
    """Static noise, `line` or else `character`, on a trace that ends in its answer line."""
    trace, newline, answer = response.rpartition("\n")
    if noise.kind == "line":
        kept = [line for line in trace.split("\n") if rng.random() >= noise.level]
        return "\n".join([*kept, answer])
    noised, clean = (response, "") if noise.answer else (trace + newline, answer)
    replace = lambda word: " ".join(_replaced(d, noise, rng) for d in word[0].split(" "))  # noqa: E731
    return NUMBER.sub(replace, noised) + clean


def _replaced(digit: str, noise: Noise, rng: random.Random) -> str:
    return str(rng.randrange(noise.drawn)) if rng.random() < noise.level else digit
