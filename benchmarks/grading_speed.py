"""Grading speed: srpo against math-verify and MathRuler, in one process on one core, on the same pairs.

    python benchmarks/grading_speed.py [--num 2000] [--out benchmarks/results/grading_speed.json]

2,000 pairs, 250 of each of 8 kinds; half of the predictions are right. Golds and predictions (letters apart) are all
different, so that no cache helps anybody. Peers get what they want: gold and prediction in a box. CPU time is counted,
not wall time, so that other load on the machine does not matter. The ratios are what travels.
"""

import argparse
import json
import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

PEER_SHARE = 10
"""math-verify gets every tenth pair: it needs 13 ms each."""


def _pairs(num: int, first: int = 1000) -> list[tuple[str, str, str]]:
    rng = random.Random(0)
    makers: dict[str, Callable[[int, int], tuple[str, str]]] = {
        "letter": lambda a, b: ("ABCDE"[a % 5], f"The answer is ({'ABCDE'[b % 5]})."),
        "integer": lambda a, b: (str(a), f"{b}"),
        "fraction": lambda a, b: (rf"\frac{{{a}}}{{7}}", f"{b}/7"),
        "unit": lambda a, b: (f"{a} cm", f"{b / 100:.2f} m"),
        "latex": lambda a, b: (rf"{a}\sqrt{{3}}+\frac{{1}}{{2}}\pi", rf"\frac{{\pi}}{{2}}+{b}\sqrt3"),
        "interval": lambda a, b: (rf"(-\infty, {a}]", f"x ≤ {b}"),
        "expression": lambda a, b: (f"x^2+{a}x", f"x(x+{b})"),
        "text": lambda a, b: (f"figure number {a}", f"It is figure number {b}."),
    }
    pairs = []
    for kind, make in makers.items():
        for index in range(num // len(makers)):
            a = first + 7 * index
            right = index % 2 == 0
            gold, prediction = make(a, a if right else a + rng.randint(1, 6))
            pairs.append((kind, gold, f"<think>Attempt {index}.</think> <answer>{prediction}</answer>"))
    rng.shuffle(pairs)
    return pairs


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _srpo(pairs: list[tuple[str, str, str]]) -> float:
    from srpo.core.records import Problem
    from srpo.grading import grade

    problems = [Problem(id=str(i), question="", answer=gold) for i, (_, gold, _) in enumerate(pairs)]
    return _seconds(lambda: [grade(problem, pair[2]).verdict for problem, pair in zip(problems, pairs, strict=True)])


def _answer(text: str) -> str:
    return text.partition("<answer>")[2].removesuffix("</answer>")


def _math_verify(pairs: list[tuple[str, str, str]]) -> float:
    from math_verify import parse, verify

    def one(gold: str, prediction: str) -> bool:
        return bool(verify(parse(f"${gold}$"), parse(rf"\boxed{{{_answer(prediction)}}}")))

    one("1", "<answer>1</answer>")
    return _seconds(lambda: [one(gold, prediction) for _, gold, prediction in pairs])


def _mathruler(pairs: list[tuple[str, str, str]]) -> float:
    from mathruler.grader import extract_boxed_content, grade_answer

    return _seconds(
        lambda: [grade_answer(extract_boxed_content(rf"\boxed{{{_answer(p)}}}"), gold) for _, gold, p in pairs]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pairs = _pairs(options.num)
    rates = {"srpo": len(pairs) / _srpo(pairs)}
    some = pairs[::PEER_SHARE]
    rates["math-verify"] = len(some) / _math_verify(some)
    try:
        rates["mathruler"] = len(pairs) / _mathruler(pairs)
    except ImportError:
        print("mathruler is not installed: left out")
    ratios = {name: rates["srpo"] / rate for name, rate in rates.items() if name != "srpo"}
    by_kind = {kind: 0.0 for kind, _, _ in pairs}
    for number, kind in enumerate(by_kind, start=1):
        own = [pair for pair in _pairs(options.num, first=10_000 * number) if pair[0] == kind]
        by_kind[kind] = len(own) / _srpo(own)
    for name, rate in rates.items():
        print(
            f"{name:<12} {rate:>9.0f} gradings/s"
            + (f"   srpo is {ratios[name]:.1f}x as fast" if name in ratios else "")
        )
    print("by kind:     " + ", ".join(f"{kind} {rate:.0f}/s" for kind, rate in sorted(by_kind.items())))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        result = {
            "command": "python " + " ".join(["benchmarks/grading_speed.py", *sys.argv[1:]]),
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, one core, CPU time",
            "num": len(pairs),
            "per_second": {name: round(rate, 1) for name, rate in rates.items()},
            "ratio": {name: round(ratio, 2) for name, ratio in ratios.items()},
            "per_second_by_kind": {kind: round(rate, 1) for kind, rate in by_kind.items()},
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
