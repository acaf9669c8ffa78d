"""The reward path against the authors' function as described: responses graded and paid per second of all processes.

    python -m benchmarks.reward_path [--num N] [--turns 3] [--out FILE] [--short]

Responses in the five blocks, two answers each, 8% with a broken format. Groups of 8 share a gold, and their answers
are drawn from four, as a policy's are. Of the mix `sums`, one answer in six is a short sum that the rules write out;
of the mix `integrals` it is an integral, which they leave to math-verify. `srpo` is the grader of `srpo rl` as it is by
default (math-verify in worker processes, here one) with the paper's preset; `rules` the same without math-verify. The
peer gets the final answer out of the text, asks math-verify in this process, falls back to letters, and looks for the
tags; nothing of it is copied. It is given whole groups of every kind in equal numbers, fewer of them, as it takes many
times as long for each. CPU seconds of children count, starting them does not.
"""

import argparse
import os
import random
import re
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers import keep_row, out_of, versions
from srpo.core.records import Problem, TokenCounts
from srpo.core.rewards import pay
from srpo.grading import Grader
from srpo.grading.grader import RULES_ONLY, case_of

OUT = Path("benchmarks/results/reward_path.json")
GROUP, BROKEN = 8, 0.08
KINDS = 6
PEER_ROUNDS = 4
"""Groups of each kind that the peer gets in a turn."""
LETTERS = 3
"""Kind of the golds that are options."""
WRITERS: tuple[Callable[[int], str], ...] = (
    str,
    lambda n: rf"\frac{{{n}}}{{7}}",
    lambda n: f"{n} cm",
    lambda n: f"({'ABCD'[n % 4]})",
    lambda n: f"{n / 4}",
    lambda n: rf"\sum_{{k=1}}^{{3}} k^2+{n}x",
)
"""Kinds of answers; `LETTERS` is the place of those that name an option."""
MIXES: dict[str, Callable[[int], str]] = {
    "sums": WRITERS[-1],
    "integrals": lambda n: rf"\int_{{0}}^{{1}} 2t dt+{n}x",
}
"""The last kind of a mix."""
USUAL = {"sums": 12288, "integrals": 3072}
"""Responses of a turn: so many that the worker's start, which is taken off, is no large part of it."""
Case = tuple[Problem, str]


def cases(mix: str, num: int, seed: int) -> list[Case]:
    """`num` responses, whose golds are new for every seed."""
    rng, found = random.Random(seed), []
    for group in range(num // GROUP):
        kind, base = group % KINDS, rng.randrange(10, 10**6)
        write = (*WRITERS[:-1], MIXES[mix])[kind]
        choices = ("one", "two", "three", "four") if kind == LETTERS else ()
        gold = "ABCD"[base % 4] if choices else write(base)
        problem = Problem(id=str(group), question="?", answer=gold, choices=choices)
        for _ in range(GROUP):
            first, final = (write(base + rng.randrange(4)) for _ in range(2))
            text = (
                f"<think>a</think><answer>{first}</answer><reflection>b</reflection>"
                f"<think>c</think><answer>{final}</answer>"
            )
            found.append((problem, text.replace("</think>", "", 1) if rng.random() < BROKEN else text))
    return found


def ours(grader: Grader) -> Callable[[list[Case]], object]:
    """Parse, grade both answers, pay."""
    tokens = TokenCounts(prompt=9, total=40, first=20)

    def run(given: list[Case]) -> object:
        return [
            pay(case_of(problem, text, tokens, "reflective", grader.grade_response), "paper") for problem, text in given
        ]

    return run


def theirs(given: list[Case]) -> object:
    """Both answers by math-verify, then by letter; tags by regular expression."""
    from math_verify import parse, verify

    def right(gold: str, answer: str) -> bool:
        read = parse(f"${gold}$")
        if not read or verify(read, parse(f"${answer}$")):
            return True
        letter = re.search(r"[A-H]", answer.upper())
        return bool(letter and len(gold) == 1 and letter.group() == gold)

    shape = re.compile(
        r"^<think>.*?</think>\s*<answer>.*?</answer>\s*<reflection>.*?</reflection>\s*<think>.*?</think>\s*"
        r"<answer>.*?</answer>$",
        re.DOTALL,
    )
    rewards = []
    for problem, text in given:
        answers = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
        rewards.append(0.5 * bool(shape.match(text)) + 0.5 * any(right(problem.answer, one) for one in answers))
    return rewards


def spent(work: Callable[[], object]) -> float:
    """CPU seconds of this process and of children that ended meanwhile."""
    before = os.times()
    work()
    after = os.times()
    return sum(b - a for a, b in zip(before[:4], after[:4], strict=True))


def with_worker(load: list[Case]) -> None:
    """Start math-verify, grade by it and end it."""
    with Grader() as grader:
        grader.verify("x", "x")
        ours(grader)(load)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, help="responses of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--short", action="store_true", help="one turn of few responses, printed and not kept")
    parser.add_argument("--only", choices=tuple(MIXES), nargs="*", default=tuple(MIXES))
    given = parser.parse_args()
    turns = 1 if given.short else given.turns
    for mix in given.only:
        num = given.num or (480 if given.short else USUAL[mix])
        row = {"responses": num, "kinds": KINDS, "turns": turns, **measure(mix, num, turns), "versions": versions()}
        keep_row(out_of(given), mix, row)


def measure(mix: str, num: int, turns: int) -> dict[str, Any]:
    """Medians over turns that all sides take one after the other, each with golds of its own."""
    theirs(cases(mix, KINDS * GROUP, seed=-1))
    rates: dict[str, list[float]] = {"srpo": [], "rules": [], "peer": []}
    for turn in range(turns):
        load = cases(mix, num, seed=turn)
        few = load[: PEER_ROUNDS * KINDS * GROUP]
        start = spent(partial(with_worker, []))
        rates["srpo"].append(len(load) / (spent(partial(with_worker, load)) - start))
        rates["rules"].append(len(load) / spent(partial(ours(RULES_ONLY), load)))
        rates["peer"].append(len(few) / spent(partial(theirs, few)))
    found = {name: round(statistics.median(values)) for name, values in rates.items()}
    return {
        "responses_per_s": found,
        "srpo_over_peer": round(found["srpo"] / found["peer"], 1),
        "rules_over_peer": round(found["rules"] / found["peer"], 1),
        "range_per_s": {name: [round(min(values)), round(max(values))] for name, values in rates.items()},
    }


if __name__ == "__main__":
    main()
