"""Final answers: reading them from completions, exactly, and grading them.

The strict answer stands on the line of the last marker `####`:

    #### [sign, currency] number [/ number] [unit words and punctuation]

Numbers are decimals or fractions, never floats; commas group three digits. So `#### $1,800.00 a
week.` is 1800 and `#### 1/2` is not 1. The line has no answer when it is empty or punctuation
only, when a second number stands in it (`#### 18 19`, `#### 3 1/2`), or when a word changes the
number's size (`#### 18 million`).

The flexible answer is the strict one or, where there is none, the last number of the text. It
overstates skill (a list of guesses scores when it ends well): report it, never reward it.

Time is linear in the text, without signals: the patterns do not backtrack over more than one
group of digits, and a number of more than `MAX_NUMBER_LENGTH` characters is never converted. Such
a number is no answer, and `grade` reports it as an error.
"""

import collections
import dataclasses
import re
from fractions import Fraction

MARKER = "####"
MAX_NUMBER_LENGTH = 64

_NUMBER = r"(?>(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]++)(?:\.[0-9]++)?|\.[0-9]++)"
_QUOTIENT = rf"(?P<top>{_NUMBER})(?: ?/ ?(?P<bottom>{_NUMBER}))?+"
# At most one sign, before or after a currency: `-$5`, `$-5`, `- 5`.
_LINE = re.compile(rf"[\s$€£¥]*+(?P<sign>[-−+]?+)[\s$€£¥]*+{_QUOTIENT}(?P<rest>.*+)", re.DOTALL)
_REST = re.compile(r"(?:[^\W\d_]|[\s$€£¥%,.;:!°()\"'’]|[-/](?=[^\W\d_]))*+")
_SCALE = re.compile(r"\b(?:hundred|thousand|million|billion|trillion)s?\b", re.IGNORECASE)
# A minus is a sign unless it follows a word or a parenthesis (`10-5`); `m2` holds no number.
_ANYWHERE = re.compile(rf"(?P<sign>(?<![\w)])[-−])?+[$€£¥]?+(?<!\w){_QUOTIENT}")


@dataclasses.dataclass(frozen=True)
class Grade:
    """How a completion fares against a gold answer.

    Attributes:
      strict: the strict answer is right and every marker gives that same answer.
      flexible: the flexible answer is right.
      answer: the strict answer, None when there is none.
      markers: the number of `####`; more than one is worth a flag.
      error: the number at the answer's place is too long to read. It counts as neither right nor,
        in a report, as an ordinary wrong answer.
    """

    strict: bool
    flexible: bool
    answer: Fraction | None
    markers: int
    error: bool

    @property
    def flagged(self) -> bool:
        """Whether the completion holds more than one marker."""
        return self.markers > 1


def extract_answer(text: str) -> Fraction | None:
    """The strict answer: the number on the line of the last marker; None without one."""
    return _value(_marked(text))


def extract_flexible(text: str) -> Fraction | None:
    """The strict answer or, where the last marker gives no number, the last number of the text."""
    return _value(_marked(text) or _last_number(text))


def extract_vote(text: str) -> Fraction | None:
    """What a text votes for: its strict answer, or None where its markers give different ones.

    So a vote for the gold answer is a right text, and maj@1 is pass@1.
    """
    return extract_answer(text) if _markers_agree(text) else None


def is_correct(text: str, gold: str) -> bool:
    """Whether the strict answer of `text` is the gold one.

    A text with several markers is right only when all of them give the same answer, so that
    listing guesses never scores.

    Args:
      text: a completion.
      gold: a final answer, or a solution that ends in one.

    Raises:
      ValueError: the gold answer cannot be read.
    """
    return grade(text, gold).strict


def is_correct_flexible(text: str, gold: str) -> bool:
    """Whether the flexible answer of `text` is the gold one; raises as `is_correct` does."""
    return grade(text, gold).flexible


def count_markers(text: str) -> int:
    """The number of `####` in a text, a longer run of `#` counting once for every four."""
    return text.count(MARKER)


def grade(text: str, gold: str) -> Grade:
    """Grades a completion strictly and flexibly; raises as `is_correct` does."""
    right = gold_answer(gold)
    marked = _marked(text)
    found = marked or _last_number(text)
    answer = _value(marked)
    return Grade(
        strict=answer == right and _markers_agree(text),
        flexible=_value(found) == right,
        answer=answer,
        markers=count_markers(text),
        error=found is not None and _is_overlong(found),
    )


def gold_answer(gold: str) -> Fraction:
    """The number of a gold answer: at its last marker or, without one, alone on its last line.

    Raises:
      ValueError: there is no such number, or it has more than `MAX_NUMBER_LENGTH` characters.
    """
    answer = _value(_marked(gold) if MARKER in gold else _on_line(gold.strip().split("\n")[-1]))
    if answer is None:
        raise ValueError(
            f"gold answer {gold[-60:]!r} is not a number: give one of at most {MAX_NUMBER_LENGTH} "
            f"characters, such as '18', or a solution that ends in '{MARKER} 18'"
        )
    return answer


def is_number(gold: str) -> bool:
    """Whether a gold answer is one that `grade` can compare with; a list is none."""
    try:
        gold_answer(gold)
    except ValueError:
        return False
    return True


def normalise(answer: Fraction) -> str:
    """The one text form of an answer, for grouping votes: `18`, `-1/2`."""
    return str(answer)


def _marked(text: str) -> re.Match | None:
    _, marker, after = text.rpartition(MARKER)
    return _on_line(after.partition("\n")[0]) if marker else None


def _markers_agree(text: str) -> bool:
    lines = {part.partition("\n")[0] for part in text.split(MARKER)[1:]}
    return len({_value(_on_line(line)) for line in lines}) <= 1


def _on_line(line: str) -> re.Match | None:
    """The one number of an answer line, if nothing but unit words and punctuation follows it."""
    match = _LINE.match(line)
    if match is None:
        return None
    rest = match["rest"]
    # Letters in the pattern include `²` and `½`, which are numbers.
    is_unit = _REST.fullmatch(rest) and not any(map(str.isnumeric, rest))
    return match if is_unit and not _SCALE.search(rest) else None


def _last_number(text: str) -> re.Match | None:
    last = collections.deque(_ANYWHERE.finditer(text), maxlen=1)
    return last[0] if last else None


def _is_overlong(match: re.Match) -> bool:
    return max(len(match["top"]), len(match["bottom"] or "")) > MAX_NUMBER_LENGTH


def _value(match: re.Match | None) -> Fraction | None:
    if match is None or _is_overlong(match):
        return None
    top, bottom = (Fraction((match[name] or "1").replace(",", "")) for name in ("top", "bottom"))
    if bottom == 0:
        return None
    return -top / bottom if match["sign"] in ("-", "−") else top / bottom
