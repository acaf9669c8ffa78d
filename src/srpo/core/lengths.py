"""Lengths of a response where no tokenizer is: a tag, a run of letters or digits, a CJK sign and any other visible
character is one token each. The length term of a reward needs the ratio of two such lengths alone.
"""

import re
from typing import Final

from srpo.core.records import TokenCounts
from srpo.core.response import first_attempt_end

_CJK: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN: Final = re.compile(rf"</?(?:think|answer|reflection)>|[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")


def rough_length(text: str) -> int:
    """Tokens by the rule of the module docstring.

    >>> rough_length("<answer>3+4=7 bars</answer>"), rough_length("答案是7")
    (8, 4)
    """
    return sum(1 for _ in _TOKEN.finditer(text))


def rough_counts(text: str) -> TokenCounts:
    """Of a whole response and of its first think and answer; nothing is known of the prompt, which counts 0."""
    end = first_attempt_end(text)
    return TokenCounts(prompt=0, total=rough_length(text), first=0 if end is None else rough_length(text[:end]))
