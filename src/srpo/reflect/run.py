"""`srpo reflect` (stage 1a; paper section 3.2): first attempts, a teacher's reflections, and which of them are kept.

    with RunDir.open("runs/reflect", config, "reflect") as run_dir:
        result = run(config, run_dir)

Differs from the paper: the teacher also writes a real second think, every reply is verified, and nothing gets lost.
`traces.jsonl` has the selected traces, `verified.jsonl` all that passed, `rejected.jsonl` everything else with its
reason; the counts in `summary.json` add up. A run that was killed goes on after its last batch and ends the same.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from srpo.config.reflect import LOCAL, ReflectConfig
from srpo.core.grading import SymbolicVerifier
from srpo.core.records import FormatError, Problem, Record, Trace
from srpo.core.response import parse_attempt, render_attempt
from srpo.core.selection import select
from srpo.data.images import DRAWN
from srpo.data.sources import ProblemSet, load_problems
from srpo.eval import intake
from srpo.eval.accounts import REJECTED, Dropped, Ledger, count_dropped, fingerprint, read_dropped
from srpo.eval.scoring import score_text
from srpo.models.local import InspectingGenerator
from srpo.models.protocol import Completion, Generator
from srpo.reflect.teacher import Asked, Teacher
from srpo.runs.directory import RunDir
from srpo.runs.interrupt import Stopped, stop_signal
from srpo.runs.progress import Bar, progress
from srpo.runs.reader import read_traces

VERIFIED = "verified.jsonl"


class ReflectResult(Record):
    """Contents of `summary.json`.

    `rows` = rejected rows of the source + `refused` + answered problems; `attempts` = answered problems x samples =
    rejected attempts, golds and replies + `verified`; `verified` = `selected` + rejected by the selection.
    """

    rows: int
    """Rows of the source that were looked at."""
    refused: int
    """Problems that the policy cannot take."""
    attempts: int
    """First attempts sampled."""
    first_accuracy: float
    """Share of right ones among the first attempts with a format and a gradable gold."""
    asked: int
    """Different first attempts that the teacher was asked about."""
    requests: int
    """Replies of the teacher, retries included."""
    verified: int
    """Attempts with a reply that passed all checks."""
    selected: int
    """Traces kept for training."""
    selected_wrong: int
    """Among these, revised wrong first attempts; the others are refined right ones."""
    rejected: dict[str, dict[str, int]]
    """How much was left out, by place and reason; one by one in `rejected.jsonl`."""


def run(
    config: ReflectConfig,
    run_dir: RunDir,
    *,
    policy: InspectingGenerator | None = None,
    teacher: Generator | None = None,
) -> ReflectResult:
    """Make reflection data, or go on making it; `policy` and `teacher` stand in for those that the config names.

    Raises:
        ValueError: no usable problem, a teacher that cannot know these problems, or data that changed since the start.
        Stopped: the user asked to stop; the run is saved.
    """
    if run_dir.finished:
        return ReflectResult.model_validate(run_dir.summary())
    problems = load_problems(config.data, limit=config.limit)
    intake.check_usable(problems, config.data.label)
    if teacher is None:
        _check_teacher(config, problems.problems)
    if policy is None:
        policy = _load(config.model, config)
    with intake.open_verifier(config.symbolic) as symbolic:
        teacher = teacher or _make_teacher(config, policy)
        work = _Reflection(config, run_dir, problems, policy=policy, teacher=teacher, symbolic=symbolic)
        work.work()
    result = work.result()
    run_dir.finish(result.model_dump(mode="json"))
    return result


class _Reflection:
    """The batches of one run, and its counts."""

    def __init__(
        self,
        config: ReflectConfig,
        run_dir: RunDir,
        problems: ProblemSet,
        *,
        policy: InspectingGenerator,
        teacher: Generator,
        symbolic: SymbolicVerifier | None,
    ) -> None:
        self._config = config
        self._run = run_dir
        self._set = problems
        self._policy = policy
        self._symbolic = symbolic
        origin = intake.make_origin(run_dir, "reflect", config.model, config.prompt, config.sampling)
        self._teacher = Teacher(
            teacher, config.teacher, origin=origin, policy=policy, symbolic=symbolic, seed=config.seed
        )
        self._counts: Counter[str] = Counter()
        self._digest = fingerprint(problems.problems)

    def work(self) -> None:
        """Work through the batches that are not done yet, then select."""
        checkpoint = self._run.latest_checkpoint()
        done, extra = (checkpoint.step, checkpoint.extra) if checkpoint else (0, {})
        intake.check_same_data(extra, self._digest, self._config.data.label)
        self._counts.update(extra.get("counts", {}))
        batches = intake.split_batches(self._set.problems, self._config.batch_size)
        self._run.total_steps = len(batches)
        with (
            Ledger(self._run.path / REJECTED, num_bytes=extra.get(REJECTED, 0)) as rejected,
            Ledger(self._run.path / VERIFIED, num_bytes=extra.get(VERIFIED, 0)) as verified,
        ):
            if not done:
                rejected.append(intake.rejected_rows(self._set))
            with (
                stop_signal() as stop,
                progress(len(self._set.problems), "reflect", done=sum(map(len, batches[:done]))) as bar,
            ):
                for step, batch in enumerate(batches[done:], start=done + 1):
                    self._reflect(batch, step, rejected, verified, bar)
                    if stop.requested:
                        raise Stopped(f"after batch {step} of {len(batches)}")
            self._select(rejected, verified)

    def result(self) -> ReflectResult:
        """The counts, checked to add up."""
        dropped = count_dropped(read_dropped(self._run.path))
        lost = {where: sum(reasons.values()) for where, reasons in dropped.items()}
        traces = list(self._run.traces())
        result = ReflectResult(
            rows=len(self._set.problems) + len(self._set.rejected),
            refused=lost.get("prompt", 0),
            attempts=self._counts["attempts"],
            first_accuracy=self._counts["right"] / max(1, self._counts["graded"]),
            asked=self._counts["asked"],
            requests=self._counts["requests"],
            verified=self._counts["verified"],
            selected=len(traces),
            selected_wrong=sum(not trace.first_grade.is_correct for trace in traces),
            rejected=dropped,
        )
        answered = len(self._set.problems) - result.refused
        unused = sum(lost.get(where, 0) for where in ("attempt", "gold", "teacher"))
        assert result.attempts == answered * self._config.num_samples == unused + result.verified, result
        assert result.verified == result.selected + lost.get("selection", 0), result
        return result

    def _reflect(self, batch: Sequence[Problem], step: int, rejected: Ledger, verified: Ledger, bar: Bar) -> None:
        taken, refused = intake.take_all(self._policy, batch, self._config.prompt, self._config.num_samples)
        before = Counter(self._counts)
        asked, dropped = self._attempts(taken)
        lessons = self._teacher.teach(asked)
        self._counts.update(asked=len(asked), requests=lessons.num_requests, verified=len(lessons.accepted))
        rejected.append([*refused, *dropped, *lessons.dropped])
        verified.append(lessons.accepted)
        self._run.log(step, _metrics(self._counts - before))
        state = {
            "data": self._digest,
            "counts": dict(self._counts),
            REJECTED: rejected.sync(),
            VERIFIED: verified.sync(),
        }
        self._run.checkpoint(step, _save_nothing, state)
        bar.advance(len(batch), verified=str(self._counts["verified"]))

    def _attempts(self, taken: Sequence[intake.Taken]) -> tuple[list[Asked], list[Dropped]]:
        """Sample first attempts; those that can be read, graded and are new go to the teacher."""
        asked: list[Asked] = []
        dropped: list[Dropped] = []
        groups = self._policy.generate([one.request for one in taken], self._config.sampling) if taken else []
        for one, group in zip(taken, groups, strict=True):
            seen: set[str] = set()
            for sample, completion in enumerate(group):
                found = self._attempt(one, sample, completion, seen)
                if isinstance(found, Asked):
                    asked.append(found)
                else:
                    dropped.append(found)
        return asked, dropped

    def _attempt(self, taken: intake.Taken, sample: int, completion: Completion, seen: set[str]) -> Asked | Dropped:
        problem = taken.request.problem
        self._counts["attempts"] += 1
        attempt = parse_attempt(completion.text)
        base = Dropped(
            where="attempt", id=problem.id, place=problem.source, sample=sample, reason="", text=completion.text
        )
        if isinstance(attempt, FormatError):
            reason = "first attempt truncated" if completion.truncated else "first attempt has no think and answer"
            detail = f"at character {attempt.where}: {attempt.what}"
            return base.model_copy(update={"reason": reason, "detail": detail})
        grade = score_text(problem, completion.text, "single", self._symbolic).final_grade
        if grade.verdict == "ungradable":
            return base.model_copy(update={"where": "gold", "reason": "gold is ungradable", "detail": grade.reason})
        self._counts.update(graded=1, right=grade.is_correct)
        text = render_attempt(attempt)
        if text in seen:
            return base.model_copy(update={"reason": "same first attempt as an earlier sample"})
        seen.add(text)
        return Asked(problem, sample, attempt, grade, taken.num_prompt_tokens)

    def _select(self, rejected: Ledger, verified: Ledger) -> None:
        """Written once, after the last checkpoint: a run killed in here is cut back and does it again."""
        verified.sync()
        traces = list(read_traces(self._run.path / VERIFIED))
        selection = select(
            traces, wrong_share=self._config.wrong_share, max_count=self._config.max_count, seed=self._config.seed
        )
        self._run.append_traces(selection.kept)
        rejected.append([_not_selected(traces[index], reason, detail) for index, reason, detail in selection.dropped])


def _not_selected(trace: Trace, reason: str, detail: str) -> Dropped:
    return Dropped(
        where="selection",
        id=trace.problem.id,
        place=trace.problem.source,
        sample=trace.sample,
        reason=reason,
        detail=detail,
    )


def _metrics(counts: Counter[str]) -> dict[str, float]:
    """The numbers of one batch."""
    return {
        "reflect/attempts/count": counts["attempts"],
        "reflect/first/accuracy": counts["right"] / max(1, counts["graded"]),
        "reflect/format/rate": counts["graded"] / max(1, counts["attempts"]),
        "reflect/teacher/requests": counts["requests"],
        "reflect/teacher/acceptance": counts["verified"] / max(1, counts["asked"]),
    }


def _check_teacher(config: ReflectConfig, problems: Sequence[Problem]) -> None:
    if config.teacher.model != "scripted":
        return
    other = next((one for one in problems if not one.images or not one.images[0].startswith(DRAWN)), None)
    if other is not None:
        raise ValueError(
            f"teacher 'scripted' knows the solution steps of drawn problems only, and {other.id!r} ({other.source}) is "
            f"none; use teacher policy, or teacher {LOCAL}<checkpoint directory>"
        )


def _make_teacher(config: ReflectConfig, policy: InspectingGenerator) -> Generator:
    match config.teacher.model:
        case "scripted":
            from srpo.models.scripted import ScriptedTeacher  # brings the drawn problems

            return ScriptedTeacher()
        case "policy":
            return policy
        case local:
            return _load(local.removeprefix(LOCAL), config)


def _load(model: str, config: ReflectConfig) -> InspectingGenerator:
    return intake.load_generator(model, device=config.device, dtype=config.dtype, max_pixels=config.max_pixels)


def _save_nothing(_: Path) -> None:
    """Counts and lengths fit into the checkpoint's own file."""
