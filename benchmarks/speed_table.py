"""The table of docs/speed.md: every row of the speed bars with its bar, what was measured and where the limit is.

    python -m benchmarks.speed_table          # writes it between its marks in docs/speed.md

Figures come from benchmarks/results; a row that was not measured says so.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path("docs/speed.md")
RESULTS = Path("benchmarks/results")
BEGIN, END = "<!-- rows: python -m benchmarks.speed_table -->", "<!-- end of rows -->"
CALM = 3.0
"""Load average below which nobody else had much of two cores, one or two of which the benchmarks use themselves."""


class Row(NamedTuple):
    """A row of the table."""

    what: str
    file: str
    key: str
    value: str
    """Names of fields, from the outside in, with points between them."""
    bar: float
    limit: str = ""


def update(size: str, image: int, tokens: int, bar: float, limit: str = "") -> Row:
    """A row of `trl_update`."""
    name = {"tiny": "tiny", "mid": "50 million parameters", "wide": "vocabulary 151,936, width 896"}[size]
    what = f"update, {name}, ({image:,}, {tokens:,})"
    return Row(what, "trl_update", f"{size}/{image}/{tokens}", "trl_over_srpo", bar, limit)


def memory(size: str, image: int, tokens: int, bar: float, limit: str = "") -> Row:
    """A row of its memory, with `micro_responses`."""
    name = {"tiny": "tiny", "mid": "50 million parameters", "wide": "vocabulary 151,936, width 896"}[size]
    key = f"{size}/{image}/{tokens}/memory"
    return Row(
        f"peak memory, {name}, ({image:,}, {tokens:,}), few responses at a time", "trl_update", key,
        "times_less_than_trl.srpo_micro", bar, limit,
    )  # fmt: skip


_PRODUCTS = "products run at the machine's rate on both sides, so the token ratio is nearly all"
_MOMENTS = "weights' gradients and AdamW's moments, 12 bytes a weight, are on both sides"
ROWS = (
    update("tiny", 64, 128, 2.5, "1.54x fewer tokens; attention at a head size of 32 has a third of products' rate"),
    update("tiny", 256, 128, 4.5, "2.49x fewer tokens; tower and prompt are a fifth of our step"),
    update("tiny", 1024, 256, 6, "3.37x fewer tokens"),
    update("tiny", 1024, 1024, 2.2, "1.79x fewer tokens; attention within responses is the same on both sides"),
    update("mid", 64, 128, 3, f"1.54x fewer tokens; {_PRODUCTS}: 284 GFLOP, 2.7 s of a core, bound it at 2.8x"),
    update("mid", 256, 128, 5, f"2.49x fewer tokens; {_PRODUCTS}: bound at 5.1x"),
    update("mid", 1024, 256, 8, "3.37x fewer tokens, and TRL's head projects every prompt position on a CPU"),
    update("mid", 1024, 1024, 2.5, "1.79x fewer tokens"),
    update("wide", 256, 128, 5,
        "2.49x fewer tokens; most of it is the head, which both sides pay for each response token"),
    memory("tiny", 1024, 256, 6, "what tower and prompt keep for the one backward pass through them"),
    memory("mid", 1024, 256, 6, _MOMENTS),
    memory("wide", 256, 128, 4, f"{_MOMENTS}: 2.7 GB of TRL's 8.3"),
    Row("sampling, tiny, 8 x 8 rows, 128 tokens", "trl_sampling", "tiny/8/64/128", "trl_over_srpo", 3.5,
        "the products of 64 rows, and many small operations"),
    Row("sampling, tiny, 8 x 8 rows, 512 tokens", "trl_sampling", "tiny/8/64/512", "trl_over_srpo", 3.5,
        "reading the rows' own keys and values"),
    Row("sampling, tiny, 32 x 8 rows, 128 tokens", "trl_sampling", "tiny/32/64/128", "trl_over_srpo", 3.5,
        "the products of 256 rows"),
    Row("sampling, tiny, 256 image tokens, 128 tokens", "trl_sampling", "tiny/8/256/128", "trl_over_srpo", 3.5),
    Row("sampling, 50 million parameters, 128 tokens", "trl_sampling", "mid/8/64/128", "trl_over_srpo", 3.5,
        "products of 64 rows and the head"),
    Row("sampling, 50 million parameters, vLLM's CPU build", "vllm_sampling", "mid/8/64/128", "vllm_over_srpo", 1,
        "products of 64 rows; vLLM's are packed for the processor beforehand"),
    Row("sampling, tiny, vLLM's CPU build", "vllm_sampling", "tiny/8/64/128", "vllm_over_srpo", 1),
    Row("whole step of the demo", "trl_step", "demo", "trl_over_srpo", 4,
        "1.35x fewer tokens to learn from; many small operations"),
    Row("whole step, the paper's prompt", "trl_step", "reflective prompt", "trl_over_srpo", 4),
    Row("whole step, 256 image tokens", "trl_step", "256 image tokens", "trl_over_srpo", 6,
        "sampling is half of our step, with the same products on both sides"),
    Row("reward path, one answer in six a short sum", "reward_path", "sums",
        "srpo_over_peer", 20, "reading and comparing texts in Python"),
    Row("reward path, one answer in six an integral", "reward_path", "integrals",
        "srpo_over_peer", 20, "math-verify, the same on both sides, decides these"),
)  # fmt: skip
GROWTH = ("group size", "prompts", "response tokens", "vocabulary")


def found(kept: Mapping[str, Any], row: Row) -> tuple[float, float] | None:
    """The figure of a row, and the load average when it was taken."""
    value: Any = kept.get(row.file, {}).get(row.key)
    if value is None:
        return None
    load = value["load_average"]
    for name in row.value.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else (float(value), float(load))


def table(kept: Mapping[str, Any]) -> str:
    """All rows as Markdown."""
    lines = ["| row | the other over srpo | bar | reached | the limit |", "|---|---|---|---|---|"]
    for row in ROWS:
        figure = found(kept, row)
        if figure is None:
            lines.append(f"| {row.what} | not measured | {row.bar:g}x | | {row.limit} |")
            continue
        value, load = figure
        calm = "" if load < CALM else f", load {load:.0f}"
        reached = "yes" if value >= row.bar else f"{100 * value / row.bar:.0f}% of it"
        lines.append(f"| {row.what}{calm} | {value:.2f}x | {row.bar:g}x | {reached} | {row.limit} |")
    exponents = [
        f"{what} {kept['growth'][what]['exponent']} (at the end {kept['growth'][what]['exponent_at_the_end']})"
        for what in GROWTH
        if what in kept.get("growth", {})
    ]
    return "\n".join([*lines, "", f"Growth of the update, exponents of time (1 is linear): {'; '.join(exponents)}."])


def main() -> None:
    files = {row.file for row in ROWS} | {"growth"}
    kept = {
        name: json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        for name in files
        if (RESULTS / f"{name}.json").exists()
    }
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    assert rest, f"{PAGE} lacks its marks"
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(kept)}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
