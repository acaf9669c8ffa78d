"""A run's problems and targets as verl reads them: parquet, the pictures already at the model's size.

verl sizes pictures by another library than ours, and leaves a picture alone whose sides fit; so what both see is equal
to the last bit. The files are written once; a start that goes on takes them as they are.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from pydantic import Field

from srpo.core.prompts import Prompt, problem_text
from srpo.core.records import Problem, Record, Rejected
from srpo.data.images import ImageError, load_image
from srpo.data.usable import too_long
from srpo.engines.verl.model import ModelFacts
from srpo.export.pictures import read_picture
from srpo.export.verl import AskedProblem, write_asked, write_targets
from srpo.policy.policy import Policy
from srpo.policy.processor import Processor
from srpo.rl.config import RlConfig
from srpo.rl.problems import RlProblems
from srpo.runs.files import make_directory_atomic, write_atomic
from srpo.runs.progress import note, progress
from srpo.runs.rejects import count_rejected
from srpo.sft.batches import plan_sft
from srpo.sft.config import SftConfig
from srpo.sft.examples import Example, prompt_of

DATA, PREPARED = "data", "prepared.json"
TRAIN, EVAL = "train.parquet", "eval.parquet"
_FAST = 1
"""Level of compression: a megapixel takes a tenth of a second, and hardly more room."""


class PreparedData(Record):
    """What was written."""

    digest: str
    """Of the data, by which a run that goes on notices that they changed."""
    num_train: int
    num_eval: int = 0
    prompt_tokens: int
    """Longest prompt, pictures included."""
    target_tokens: int = 0
    """Longest target."""
    rejected: dict[str, dict[str, int]] = Field(default_factory=dict)
    """What was left out: {where: {reason: number}}."""
    num_ungradable: int = 0


class Asking:
    """Problems of one model and prompt, made ready one by one."""

    def __init__(self, processor: Processor, prompt: Prompt, max_pixels: int | None) -> None:
        self._processor, self._prompt, self._max_pixels = processor, prompt, max_pixels
        self.prompt_tokens = 0
        """Longest prompt so far."""

    def usable(self, problems: Sequence[Problem], most: int | None) -> tuple[list[Problem], list[Rejected]]:
        """The problems that verl can ask as we do, and the others with the reason; pictures are opened for it."""
        kept: list[Problem] = []
        rejected: list[Rejected] = []
        for problem in problems:
            found = self._look_at(problem, most)
            if isinstance(found, Rejected):
                rejected.append(found)
            else:
                self.prompt_tokens = max(self.prompt_tokens, found)
                kept.append(problem)
        return kept, rejected

    def num_tokens(self, problem: Problem) -> int:
        """Tokens of its prompt, pictures included; ImageError where one cannot be read."""
        sizes = [load_image(ref, max_pixels=self._max_pixels).size for ref in problem.images]
        return self._processor.num_tokens(self._turns(problem), sizes)

    def ask(self, problem: Problem) -> AskedProblem:
        """The problem with its pictures at the model's size."""
        pictures = [self._picture(ref) for ref in problem.images]
        return AskedProblem(problem, self._turns(problem), pictures)

    def _turns(self, problem: Problem) -> list[tuple[str, str]]:
        return list(self._prompt.turns(problem_text(problem)))

    def _look_at(self, problem: Problem, most: int | None) -> Rejected | int:
        """Tokens of its prompt, or why it is left out."""
        turns = self._turns(problem)
        if control := self._processor.control.search("\n".join(text for _, text in turns)):
            reason = "a text holds a control token, which verl would obey"
            return Rejected.about(problem, "prompt", reason, control[0])
        try:
            count = self.num_tokens(problem)
        except ImageError as error:
            return Rejected.about(problem, "prompt", "a picture cannot be read", str(error))
        if most is not None and count > most:
            return too_long(problem, count, most)
        return count

    def _picture(self, ref: str) -> bytes:
        image = load_image(ref, max_pixels=self._max_pixels)
        pixels = self._processor.resized(image)
        if pixels.shape[:2] == (image.height, image.width) and self._max_pixels is None:
            return read_picture(ref).data
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG", compress_level=_FAST)
        return data.getvalue()


class RlData(NamedTuple):
    """An RL run's problems that verl can ask."""

    asking: Asking
    train: list[Problem]
    held_out: list[Problem]
    prepared: PreparedData


def look_at_rl(config: RlConfig, model: ModelFacts, prompt: Prompt, problems: RlProblems) -> RlData:
    """Which problems verl can ask as srpo does; pictures are opened, nothing is written.

    Raises:
        ValueError: fewer are left than a step takes.
    """
    asking = Asking(model.processor, prompt, config.max_pixels)
    train, long = asking.usable(problems.train, config.max_prompt_tokens)
    held_out, long_held_out = asking.usable(problems.held_out, config.max_prompt_tokens)
    rejected = (*long, *long_held_out)
    if rejected:
        first = rejected[0]
        note(f"rl: {len(rejected)} problems left out, verl cannot ask them as srpo does: {first.id!r}: {first.why}, ..")
    if len(train) < config.num_prompts or (problems.held_out and not held_out):
        raise ValueError(
            f"{config.data.label}: {len(train)} problems can be asked, {len(held_out)} of those held out, and a "
            f"step takes {config.num_prompts}; lower num_prompts, or see the reasons in `srpo data check`"
        )
    prepared = PreparedData(
        digest=f"{problems.digest} {prompt.label} {config.max_pixels}",
        num_train=len(train),
        num_eval=len(held_out),
        prompt_tokens=asking.prompt_tokens,
        rejected=count_rejected([*problems.rejected, *rejected]),
        num_ungradable=problems.num_ungradable,
    )
    return RlData(asking, train, held_out, prepared)


def prepare_rl(found: RlData, engine: Path) -> PreparedData:
    """Write the problems into `engine/data`, unless they are there.

    Raises:
        ValueError: those of a run that goes on are not the same.
    """

    def fill(folder: Path) -> None:
        write_asked(folder / TRAIN, "train", _asked(found.asking, found.train))
        if found.held_out:
            write_asked(folder / EVAL, "eval", _asked(found.asking, found.held_out))

    return _written(engine, found.prepared, fill)


class SftData(NamedTuple):
    """What an SFT run can learn on verl."""

    asking: Asking
    policy: Policy
    examples: list[Example]
    prepared: PreparedData


def look_at_sft(config: SftConfig, policy: Policy) -> SftData:
    """Which traces are learned from; `policy` needs no weights. Pictures are opened, nothing is written.

    Raises:
        ValueError: too few are left for a batch.
    """
    asking = Asking(policy.processor, prompt_of(config), config.max_pixels)
    plan = plan_sft(config, policy)
    kept, rejected = asking.usable([example.problem for example in plan.examples.kept], config.max_prompt_tokens)
    usable = {id(problem) for problem in kept}
    examples = [example for example in plan.examples.kept if id(example.problem) in usable]
    if len(examples) < config.batch_size:
        raise ValueError(
            f"{', '.join(config.traces)}: {len(examples)} traces can be learned from, and a batch takes "
            f"{config.batch_size}; lower batch_size"
        )
    prepared = PreparedData(
        digest=f"{plan.digest} {config.max_pixels}",
        num_train=len(examples),
        prompt_tokens=asking.prompt_tokens,
        target_tokens=max(len(example.tokens) for example in examples),
        rejected={**count_rejected(rejected), **({"traces": plan.examples.dropped} if plan.examples.dropped else {})},
    )
    return SftData(asking, policy, examples, prepared)


def prepare_sft(found: SftData, engine: Path) -> PreparedData:
    """Write the targets into `engine/data`, unless they are there.

    Raises:
        ValueError: those of a run that goes on are not the same.
    """
    return _written(engine, found.prepared, lambda folder: write_targets(folder / TRAIN, _targets(found)))


def _written(engine: Path, prepared: PreparedData, fill: Callable[[Path], object]) -> PreparedData:
    if (stored := _stored(engine, prepared.digest)) is not None:
        return stored

    def fill_all(folder: Path) -> None:
        fill(folder)
        write_atomic(folder / PREPARED, prepared.model_dump_json(indent=1) + "\n")

    make_directory_atomic(engine / DATA, fill_all)
    return prepared


def _targets(found: SftData) -> Iterator[AskedProblem]:
    with progress(len(found.examples), "data for verl") as bar:
        for example in found.examples:
            target = found.policy.decode(example.tokens)
            yield found.asking.ask(example.problem)._replace(target=target, skipped_tokens=example.skipped_tokens)
            bar.advance()


def _asked(asking: Asking, problems: Sequence[Problem]) -> Iterator[AskedProblem]:
    with progress(len(problems), "data for verl") as bar:
        for problem in problems:
            yield asking.ask(problem)
            bar.advance()


def _stored(engine: Path, digest: str) -> PreparedData | None:
    """What an earlier start wrote; ValueError where it is of other data."""
    file = engine / DATA / PREPARED
    if not file.is_file():
        return None
    stored = PreparedData.model_validate_json(file.read_bytes())
    if stored.digest != digest:
        raise ValueError(
            f"{str(engine / DATA)!r} was written for other data, another prompt or other max_pixels; restore them, or "
            "choose another --out"
        )
    return stored
