"""We-Math's four-dimensional metrics (arXiv 2407.01284, section 3): what a model knows, generalises or merely recalls.

A group is one composite problem (`multi`) and the 2 or 3 steps it is made of:

    IK  insufficient knowledge        not all steps right, composite wrong
    IG  inadequate generalisation     all steps right, composite wrong
    CM  complete mastery              composite right; strict: and all steps; loose: and at least one step
    RM  rote memorisation             composite right; strict: but not all steps; loose: but no step

Score = (CM + IG / 2) / groups. The rates of IK, IG and CM are shares of the groups; the rate of RM is its share of CM
and RM together. Papers mix strict and loose numbers, so both are here. The authors' code divides by zero when no
composite is right; here such a rate is None.
"""

import re
from collections.abc import Mapping
from typing import Literal

from srpo.core.records import Record

Kind = Literal["IK", "IG", "CM_strict", "CM_loose", "RM_strict", "RM_loose"]
_KEY = re.compile(r"([23])steps_([123]|multi)")


class WeMathScores(Record):
    """The official table. A number whose denominator is 0 is None."""

    groups: int
    """Groups with all their members: 525 in testmini. The group metrics are over these."""
    incomplete: int
    """Groups of which a member was not answered; they are in S1, S2, S3 and accuracy only."""
    counts: dict[Kind, int]
    rates: dict[Kind, float | None]
    """As the authors define them: RM over CM + RM, all others over the groups."""
    strict_score: float | None
    loose_score: float | None
    accuracy: float | None
    """Mean over all questions, steps and composites alike."""
    S1: float | None
    """Accuracy on the steps, of which each is a one-step problem."""
    S2: float | None
    """Accuracy on the composites of two steps."""
    S3: float | None
    """Accuracy on the composites of three steps."""

    @property
    def metrics(self) -> dict[str, float]:
        """All that has a value, under the names of a report: `strict_score`, `loose_score`, `IK`, ..., `S3`."""
        named = {"strict_score": self.strict_score, "loose_score": self.loose_score}
        named |= {str(kind): rate for kind, rate in self.rates.items()}
        named |= {"S1": self.S1, "S2": self.S2, "S3": self.S3}
        return {name: value for name, value in named.items() if value is not None}


def wemath_scores(right: Mapping[tuple[str, str], bool]) -> WeMathScores:
    """The scores of answers keyed (ID, key), e.g. ("2steps_17", "2steps_multi").

    Raises:
        ValueError: a key is none of We-Math's.
    """
    groups: dict[str, dict[str, bool]] = {}
    parts: dict[str, list[bool]] = {"1": [], "2": [], "3": []}
    for (identity, key), is_right in right.items():
        found = _KEY.fullmatch(key)
        if found is None or (found[1], found[2]) == ("2", "3"):
            raise ValueError(
                f"{key!r} of {identity!r} is no key of We-Math; expected 2steps_1, 2steps_2, 2steps_multi, 3steps_1, "
                "3steps_2, 3steps_3 or 3steps_multi"
            )
        groups.setdefault(identity, {})[key] = is_right
        parts[found[1] if found[2] == "multi" else "1"].append(is_right)
    complete = [members for members in groups.values() if _is_complete(members)]
    counts = _counts(complete)
    n = len(complete)
    return WeMathScores(
        groups=n,
        incomplete=len(groups) - n,
        counts=counts,
        rates=_rates(counts, n),
        strict_score=_score(n, counts["IG"], counts["RM_strict"], counts["IK"]),
        loose_score=_score(n, counts["IG"], counts["RM_loose"], counts["IK"]),
        accuracy=_ratio(sum(right.values()), len(right)),
        S1=_ratio(sum(parts["1"]), len(parts["1"])),
        S2=_ratio(sum(parts["2"]), len(parts["2"])),
        S3=_ratio(sum(parts["3"]), len(parts["3"])),
    )


def _is_complete(members: Mapping[str, bool]) -> bool:
    num_steps = next(iter(members))[0]
    return set(members) == {f"{num_steps}steps_{part}" for part in ("multi", *map(str, range(1, int(num_steps) + 1)))}


def _counts(groups: list[dict[str, bool]]) -> dict[Kind, int]:
    counts: dict[Kind, int] = dict.fromkeys(("IK", "IG", "CM_strict", "CM_loose", "RM_strict", "RM_loose"), 0)
    for members in groups:
        steps = [is_right for key, is_right in members.items() if not key.endswith("multi")]
        if not next(is_right for key, is_right in members.items() if key.endswith("multi")):
            counts["IG" if all(steps) else "IK"] += 1
            continue
        counts["CM_strict" if all(steps) else "RM_strict"] += 1
        counts["CM_loose" if any(steps) else "RM_loose"] += 1
    return counts


def _rates(counts: Mapping[Kind, int], n: int) -> dict[Kind, float | None]:
    return {
        "IK": _ratio(counts["IK"], n),
        "IG": _ratio(counts["IG"], n),
        "CM_strict": _ratio(counts["CM_strict"], n),
        "CM_loose": _ratio(counts["CM_loose"], n),
        "RM_strict": _ratio(counts["RM_strict"], counts["CM_strict"] + counts["RM_strict"]),
        "RM_loose": _ratio(counts["RM_loose"], counts["CM_loose"] + counts["RM_loose"]),
    }


def _score(n: int, generalisation: int, memorisation: int, knowledge: int) -> float | None:
    return (n - 0.5 * generalisation - memorisation - knowledge) / n if n else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
