"""An evaluation on the terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from srpo.core.records import OUTCOMES
from srpo.runs.tables import count_lines, text_of

if TYPE_CHECKING:
    from srpo.core.statistics import Estimate
    from srpo.eval.benchmarks.benchmark import Cell
    from srpo.eval.metrics.correction import CorrectionMetrics
    from srpo.eval.result import BenchmarkResult, EvalResult, ProbeResult


def render_eval(result: "EvalResult", path: str) -> str:
    """The numbers of one evaluation, as text."""
    row = result.summary
    table = Table(title=f"{row.name}: {row.n} problems, {row.num_samples} samples each", title_justify="left")
    for column in ("", "accuracy", "95% interval"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("first answer", f"{row.first_accuracy:.3f}", _interval(row.first_interval))
    table.add_row("final answer", f"{row.final_accuracy:.3f}", _interval(row.final_interval))
    if result.majority_accuracy is not None and result.majority_interval is not None:
        table.add_row("majority vote", f"{result.majority_accuracy:.3f}", _interval(result.majority_interval))
    if row.chance is not None:
        table.add_row("blind guess", f"{row.chance:.3f}", "")
    transitions = Table("transition", "share", "samples", title="first to final answer", title_justify="left")
    for outcome in OUTCOMES:
        transitions.add_row(outcome, f"{row.transitions[outcome]:.3f}", str(row.counts[outcome]))
    truncated = "" if result.truncation_rate is None else f"truncated {result.truncation_rate:.3f}   "
    num_bad = sum(result.rejected.get("source", {}).values())
    lines = [
        f"format right {row.format_rate:.3f}   {truncated}ungradable {row.ungradable}",
        f"tokens per response {row.mean_tokens or 0:.1f}   temperature {row.temperature}   {row.seconds or 0:.1f} s",
        f"rows {result.rows} = answered {result.answered} + refused {result.refused} + not usable {num_bad}",
    ]
    if result.failed:
        lines[-1] += f" + failed {result.failed}"
    if result.missing:
        lines[-1] += f" + without a response {result.missing}"
    if result.adjusted_pictures:
        lines.append(f"problems with an adjusted picture: {result.adjusted_pictures}")
    lines += [
        f"{one.model}: {one.requests} requests, {one.tokens_in} tokens in, {one.tokens_out} out, ${one.usd:.4f}"
        for one in result.spend
    ]
    shown = [] if result.benchmark is None else [render_benchmark(result.benchmark)]
    shown += [] if result.probe is None else [render_probe(result.probe)]
    return text_of(table, transitions, *lines, *count_lines(result.rejected), *shown, path)


def render_benchmark(result: "BenchmarkResult") -> str:
    """What a benchmark says, as text."""
    parts: list[RenderableType] = [_numbers(result), *_notes(result)]
    if result.correction is not None:
        parts.append(_correction(result.correction, result.reflective))
    return text_of(*parts, *(_cells(axis, cells) for axis, cells in result.breakdown.tables.items()))


def render_probe(found: "ProbeResult") -> str:
    """What answers and reflections owe to the picture, as text."""
    title = f"probe {found.probe}: {found.problems} problems, {found.pairs} pairs of answers"
    table = Table(title=title, title_justify="left")
    for column in ("", "picture", found.probe, "difference", "changed"):
        table.add_column(column, justify="right" if column else "left")
    for name, answers in (("first answer", found.first), ("final answer", found.final)):
        if answers is not None:
            parts = (answers.plain, answers.disturbed, answers.difference)
            table.add_row(name, *_compared(*parts), _with_interval(answers.changed))
    lines = []
    if (reflection := found.reflection) is not None:
        parts = (reflection.gain, reflection.gain_disturbed, reflection.gain_difference)
        table.add_row("reflection adds", *_compared(*parts), _with_interval(reflection.changed))
        alone = reflection.changed_alone
        lines += [
            f"reflections changed after the same first attempt: {_with_interval(alone)}, {alone.n} problems",
            f"words of the reflection that differ: {reflection.words.value:.3f}",
        ]
    if found.temperature:
        warm = f"at temperature {found.temperature:g} chance changes answers and words too"
        lines.append(f"{warm}; at 0 the picture alone does")
    left = {"without a picture": found.without_picture, "failed": found.lost, "ungradable": found.ungradable}
    lines += [f"not compared: {number} samples {why}" for why, number in left.items() if number]
    return text_of(table, *lines)


def _compared(plain: "Estimate", disturbed: "Estimate", difference: "Estimate") -> tuple[str, str, str]:
    return f"{plain.value:.3f}", f"{disturbed.value:.3f}", _with_interval(difference)


def _with_interval(one: "Estimate") -> str:
    return f"{one.value:.3f} ({_interval((one.low, one.high))})"


def _numbers(result: "BenchmarkResult") -> Table:
    table = Table(title=f"{result.title}: {result.model}", title_justify="left")
    for column in ("", "value", "95% interval", "n"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("accuracy", f"{result.accuracy:.4f}", _interval(result.interval), str(result.n))
    if result.missing:
        table.add_row("  missing ones as wrong", f"{result.accuracy_over_all:.4f}", "", str(result.n + result.missing))
    if (code := result.official) is not None:
        table.add_row(f"  by the authors' {code.code}", f"{code.accuracy:.4f}", _interval(code.interval), str(code.n))
    for name, why in result.breakdown.unknown.items():
        table.add_row(name, why, "", "")
    for name, value in result.breakdown.metrics.items():
        table.add_row(f"{name}{' (headline)' if name == result.headline.name else ''}", f"{value:.4f}", "", "")
    if (found := result.sampled) is not None:
        for k, value in found.pass_at.items():
            table.add_row(f"pass@{k}", f"{value:.4f}", "", "")
        for k, value in found.maj_at.items():
            interval = _interval(found.maj_interval) if k == found.num_samples else ""
            cost = "" if found.tokens_per_sample is None else f" ({k * found.tokens_per_sample:.0f} tokens)"
            table.add_row(f"maj@{k}{cost}", f"{value:.4f}", interval, "")
    return table


def _notes(result: "BenchmarkResult") -> list[str]:
    by = ", ".join(f"{number} by the {who}" for who, number in result.decided_by.items())
    unused = f"missing {result.missing}   ungradable {result.ungradable}   rows not usable {result.unusable}"
    lines = [f"{unused}   decided: {by or 'none'}"]
    if result.failed:
        lines.append(f"of the missing ones, {result.failed} because their requests failed")
    if result.judge:
        failures = ", ".join(f"{number} x {why}" for why, number in result.judge_failures.items())
        lines.append(f"judge {result.judge}{f'; not decided: {failures}' if failures else ''}")
    if (found := result.quality) is not None:
        lines.append(f"reflections: {found.mean:.2f} of 5 points over {found.n}, {found.failed} without a score")
    if counts := result.breakdown.counts:
        lines.append("   ".join(f"{name.replace('_', ' ')} {number}" for name, number in counts.items()))
    return lines


def _correction(found: "CorrectionMetrics", reflective: int) -> Table:
    table = Table(title=f"self-correction, {reflective} reflective responses", title_justify="left")
    for column in ("", "value", "95% interval", "n"):
        table.add_column(column, justify="left" if not column else "right")
    rows: list[tuple[str, Estimate | None]] = [
        ("Acc@t1, first answer", found.acc_t1),
        ("Acc@t2, final answer", found.acc_t2),
        ("delta", found.delta),
        ("wrong to right", found.i_to_c),
        ("right to wrong", found.c_to_i),
        ("fix rate", found.fix_rate),
        ("keep rate", found.keep_rate),
        ("change rate", found.change_rate),
        ("oracle of both", found.oracle),
        ("first answer readable", found.first_parsed),
        ("final answer readable", found.final_parsed),
        ("truncated", found.truncated),
        ("reflection effective", found.effective),
        ("reflection redundant", found.redundant),
        ("reflection harmful", found.harmful),
    ]
    for name, one in rows:
        if one is not None:
            table.add_row(name, f"{one.value:.4f}", _interval((one.low, one.high)), str(one.n))
    table.add_row("exact McNemar p", f"{found.mcnemar_p:.3g}", "", "")
    if found.lengths is not None:
        sizes = found.lengths
        shown = f"{sizes.first:.0f} + {sizes.reflection:.0f} + {sizes.second:.0f}"
        table.add_row("tokens: first + reflection + second", shown, "", str(sizes.n))
    return table


def _cells(axis: str, cells: "Mapping[str, Cell]") -> Table:
    table = Table(axis.replace("_", " "), title_justify="left")
    for column in ("accuracy", "95% interval", "right", "n"):
        table.add_column(column, justify="right")
    for value, cell in cells.items():
        shown = (f"{cell.accuracy:.4f}", _interval((cell.low, cell.high))) if cell.n else ("", "")
        table.add_row(value, *shown, str(cell.correct), str(cell.n))
    return table


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"
