"""Final answers: reading them from completions, exactly, and grading them.

The strict answer stands on the line of the last marker `####`:

    #### [sign] [currency] number [/ number] [unit words and punctuation]

Numbers are decimals or fractions, never floats; commas group three digits. So `#### $1,800.00 a
week.` is 1800 and `#### 1/2` is not 1. The line has no answer when it is empty or punctuation
only, when a second number stands in it (`#### 18 19`, `#### 3 1/2`), or when a word changes the
number's size (`#### 18 million`).

Time is linear in the text, without signals: a regular expression without backtracking finds a
number, and one of more than `MAX_NUMBER_LENGTH` characters is never converted. It is no answer,
and `grade` reports it as an error.
"""

import dataclasses
import re
from fractions import Fraction

MARKER = "####"
MAX_NUMBER_LENGTH = 64

_CURRENCY = "$€£¥"
_NUMBER = r"(?>(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?|\.[0-9]++)"
_SIGN = rf"[-−+]?+ ?+[{_CURRENCY}]?+ ?+[-−+]?+"
_VALUE = rf"(?P<sign>{_SIGN})(?P<top>{_NUMBER})(?: ?/ ?(?P<bottom>{_NUMBER}))?+"
_STRICT = re.compile(rf"\s*+{_VALUE}(?P<rest>.*+)")
_ANYWHERE = re.compile(rf"(?P<sign>(?<![\w)][-−+])(?<![-−+])[-−+]?+[{_CURRENCY}]?+)"
                       rf"(?P<top>{_NUMBER})(?: ?/ ?(?P<bottom>{_NUMBER}))?+")
