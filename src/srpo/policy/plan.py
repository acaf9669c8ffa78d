"""The memory plan: what a run keeps in each of its phases, found out before anything is loaded.

    plan = plan_memory(job, model_config, target=parse_gpu("24GB"))
    print(render_plan(plan))

The update step and the sampler of the run's config are run on shapes (`policy/measure.py`), with the longest responses
that the config allows. GB are 10**9 bytes. A GPU that is sold as 24 GB has about 25.5 of these: the difference is what
CUDA itself and gaps between blocks may take. No plan has been compared with a GPU yet.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from srpo.core.records import Record, Sampling
from srpo.policy.data_prompts import RunPrompts, planned_prompts
from srpo.policy.fake import PromptShape
from srpo.policy.limits import CPU_BYTES, GPU_SHARE
from srpo.policy.measure import Held, Learn, Measured, Moment, SamplingRoom, Static
from srpo.policy.model_file import USUAL_PIXELS, ModelFile

_GB = 10**9
_WORTH = 0.02
"""Share of the peak that a change must save to be named."""
_NUM_NAMED = 3
_MICRO = {"micro_responses": "group_size", "micro_prompts": "num_prompts", "micro_batch_size": "batch_size"}
"""Fields that say how much is learned at once, and those that say how much there is."""


class Target(NamedTuple):
    """The memory that is planned with."""

    name: str
    num_bytes: int
    is_gpu: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A stage as far as its memory goes."""

    stage: str
    config: Any
    """`SftConfig`, `RlConfig` or `EvalConfig`."""
    learn: Callable[[Any], Learn] | None = None
    """Makes the pass of loss and backward of a config; None where nothing is learned."""
    sampled: Callable[[Any], tuple[int, int, Sampling]] | None = None
    """Prompts, responses to each, and how they are sampled; None where nothing is."""
    asked: Callable[[Any], RunPrompts] | None = None
    """Reads the data of a config; None where a plan is to know nothing of it."""


class PhaseMemory(Record):
    """The worst moment of a phase, in bytes."""

    name: str
    weights: int
    gradients: int
    """Those of earlier passes."""
    moments: int
    """Of the optimizer, and float32 masters of weights of lower precision."""
    activations: int
    """Whatever is kept or in use beside the rest."""
    cache: int
    """Keys and values."""
    pictures: int

    @property
    def total(self) -> int:
        """The peak."""
        return sum(value for name, value in self if name != "name")


class Change(Record):
    """A field that would lower the peak."""

    field: str
    before: str
    after: str
    total: int
    """The peak with it, in bytes."""


class MemoryPlan(Record):
    """What a run keeps in memory."""

    stage: str
    model: str
    prompts: str
    """Where their length is from: the data, flags, or a supposition."""
    prompt_tokens: int
    pictures: int
    """In a prompt."""
    max_pixels: int
    squares: int
    """Squares that a picture is cut into whatever its area; 0 in families that cut none."""
    max_tokens: int
    """Longest response."""
    device: str
    num_bytes: int
    """Memory of the device."""
    phases: tuple[PhaseMemory, ...]
    rows: int | None
    """Responses that are sampled at once; None where nothing is sampled."""
    largest: dict[str, int]
    """Largest values that fit, by field, the others as they are."""
    lower: tuple[Change, ...]
    """What to change where it does not fit: what saves most, first."""

    @property
    def peak(self) -> int:
        """Most bytes of any phase."""
        return max(phase.total for phase in self.phases)

    @property
    def fits(self) -> bool:
        """Whether the device has as much."""
        return self.peak <= self.num_bytes


def parse_gpu(text: str) -> Target:
    """Read `24GB` or `40 GiB`.

    Raises:
        ValueError: it is no amount of memory.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(G|GB|GiB)", text.strip(), re.IGNORECASE)
    if found is None:
        raise ValueError(f"gpu {text!r} is no amount of memory; write for instance 24GB")
    unit = 2**30 if found[2].lower() == "gib" else _GB
    return Target(f"a GPU of {found[1]} {'GiB' if unit == 2**30 else 'GB'}", round(float(found[1]) * unit), is_gpu=True)


def device_target(device: str) -> Target:
    """The memory of a device of this machine; ValueError where it is not there."""
    import os

    import torch

    from srpo.policy.precision import pick_device

    device = pick_device(device)
    if device.startswith("cuda"):
        return Target(torch.cuda.get_device_name(device), torch.cuda.mem_get_info(device)[1], is_gpu=True)
    return Target("this machine", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), is_gpu=False)


def plan_memory(
    job: Job,
    model: ModelFile,
    target: Target,
    *,
    text_tokens: int | None = None,
    pictures: int | None = None,
    ran_out: bool = False,
) -> MemoryPlan:
    """Run the stage on shapes, with prompts of that many tokens of text and that many pictures.

    What is None is that of the data, where the data and the model's tokenizer are on this machine. Pictures whose
    number is named are of the largest size that the config allows. Where a run `ran_out` of memory, what to lower is
    named even if it ought to have fitted.
    """
    job, shape, origin = _with_prompts(job, model, text_tokens, pictures)
    config = job.config
    planner = _Planner(job, model.config, shape, target)
    phases, rows = planner.phases(config)
    peak = max(phase.total for phase in phases)
    fits = peak <= target.num_bytes and not ran_out
    return MemoryPlan(
        stage=job.stage,
        model=model.name,
        prompts=origin,
        prompt_tokens=planner.prompt_tokens,
        pictures=shape.num_pictures,
        max_pixels=shape.max_pixels,
        squares=shape.squares,
        max_tokens=config.max_tokens,
        device=target.name,
        num_bytes=target.num_bytes,
        phases=tuple(phases),
        rows=rows,
        largest=dict(planner.largest()) if fits else {},
        lower=() if fits else tuple(planner.lower(phases)),
    )


def _with_prompts(
    job: Job, model: ModelFile, text_tokens: int | None, pictures: int | None
) -> tuple[Job, PromptShape, str]:
    """The job with pictures of at most the size that the data has, the prompt's shape, and where that is from."""
    config = job.config
    largest = config.max_pixels or model.max_pixels
    if text_tokens is not None and pictures is not None:
        return job, PromptShape(text_tokens, pictures, largest, model.squares), "as named"
    asked = partial(job.asked, config) if job.asked is not None else None
    most = getattr(config, "max_prompt_tokens", None)
    found, origin = planned_prompts(model, asked, max_pixels=config.max_pixels, most=most)
    if pictures is None and 0 < found.max_pixels < largest:
        largest = found.max_pixels
        job = replace(job, config=config.model_copy(update={"max_pixels": largest}))
    shape = PromptShape(
        found.text_tokens if text_tokens is None else text_tokens,
        found.num_pictures if pictures is None else pictures,
        largest,
        model.squares if pictures is not None else found.squares or model.squares,
    )
    return job, shape, origin if text_tokens is None and pictures is None else f"in part as named, else {origin}"


class _Planner:
    """Measures the phases of a config and of configs beside it."""

    def __init__(self, job: Job, model: Any, shape: PromptShape, target: Target) -> None:
        self.job, self.model, self.shape, self.target = job, model, shape, target
        self.prompt_tokens = 0
        self._kept: dict[str, Measured] = {}
        self._learned: dict[str, tuple[Static, Moment]] = {}

    def phases(self, config: Any) -> tuple[list[PhaseMemory], int | None]:
        """All phases, and the rows that are sampled at once."""
        measured = self._measured(config)
        static = measured.static
        found: list[PhaseMemory] = []
        rows = None
        if self.job.sampled is not None:
            num_prompts, num_samples, sampling = self.job.sampled(config)
            free = self.target.num_bytes - static.weights - static.moments
            room = GPU_SHARE * free if self.target.is_gpu else CPU_BYTES
            wanted = SamplingRoom(num_prompts, num_samples, sampling, room)
            moment, rows = measured.sampling(wanted, self._prompt(config))
            found.append(_phase("sampling", static._replace(gradients=0), moment))
            self.prompt_tokens = moment.prompt_tokens
        if self.job.learn is not None:
            earlier, moment = self._learning(config)
            found.append(_phase("learning", earlier, moment))
            found.append(_phase("optimizer", static, Moment(measured.scratch, 0, 0, 0)))
            self.prompt_tokens = moment.prompt_tokens
        return found, rows

    def largest(self) -> Iterator[tuple[str, int]]:
        """The largest values that fit: by the line through the value and its double."""
        config = self.job.config
        if self.job.learn is None:
            return
        static, moment = self._learning(config)
        spare, learned = self.target.num_bytes - sum(static) - moment.total, moment.total
        micro = next((name for name in _MICRO if getattr(config, name, None) is not None), None)
        for name, most in ((micro, getattr(config, _MICRO[micro]) if micro else 0), ("max_pixels", USUAL_PIXELS)):
            if name is None or (name == "max_pixels" and self.shape.squares):
                continue
            value = getattr(config, name) or self.shape.max_pixels
            doubled = self._learning(config.model_copy(update={name: 2 * value}))[1].total
            more = value * spare / max(1, doubled - learned)
            yield name, max(value, min(most, int(value + more)))

    def lower(self, phases: list[PhaseMemory]) -> list[Change]:
        """The changes that save most."""
        config = self.job.config
        worst = max(phases, key=lambda phase: phase.total)
        found: list[Change] = []
        for field, value, shown in _smaller(config, is_gpu=self.target.is_gpu):
            changed = config.model_copy(update={field.partition(".")[0]: value})
            if self.job.learn is None:
                total = max(phase.total for phase in self.phases(changed)[0])
            else:
                static, moment = self._learning(changed)
                total = sum(static) + moment.total
            if total < (1 - _WORTH) * worst.total:
                found.append(Change(field=field, before=shown[0], after=shown[1], total=total))
        return sorted(found, key=lambda change: change.total)[:_NUM_NAMED]

    def _learning(self, config: Any) -> tuple[Static, Moment]:
        """What is there before the last pass of a step, and the worst moment of it."""
        assert self.job.learn is not None
        key = repr(config)
        if key not in self._learned:
            measured, learn = self._measured(config), self.job.learn(config)
            static = measured.static if learn.is_repeated else measured.static._replace(gradients=0)
            self._learned[key] = static, measured.learning(learn, self._prompt(config))
        return self._learned[key]

    def _prompt(self, config: Any) -> PromptShape:
        return self.shape._replace(max_pixels=config.max_pixels or self.shape.max_pixels)

    def _measured(self, config: Any) -> Measured:
        held = self._held(config)
        key = repr(held[1:])
        if key not in self._kept:
            self._kept[key] = Measured(held)
        return self._kept[key]

    def _held(self, config: Any) -> Held:
        is_gpu = self.target.is_gpu
        recompute = getattr(config, "recompute", False)
        loss = getattr(config, "loss", None)
        return Held(
            model=self.model,
            dtype=("bfloat16" if is_gpu else "float32") if config.dtype == "auto" else config.dtype,
            autocast=getattr(config, "autocast", None),
            freeze_vision=getattr(config, "freeze_vision", True),
            lora=getattr(config, "lora", None),
            quantize=getattr(config, "quantize", None),
            recompute=is_gpu if recompute is None else recompute,
            optim=getattr(config, "optim", None),
            has_reference=loss is not None and loss.kl_coef > 0,
            kernels="cuda" if is_gpu else "cpu",
        )


def _phase(name: str, static: Static, moment: Moment) -> PhaseMemory:
    return PhaseMemory(
        name=name,
        **static._asdict(),
        activations=max(0, moment.total - moment.cache - moment.pictures),
        cache=moment.cache,
        pictures=moment.pictures,
    )


def _smaller(config: Any, *, is_gpu: bool) -> Iterator[tuple[str, Any, tuple[str, str]]]:
    """Fields with the next lower value: its new value (or that of the block that it is in), and both as they read."""
    from srpo.policy.config import LoraConfig

    learns = getattr(config, "optim", None) is not None
    if learns and (config.recompute is False or (config.recompute is None and not is_gpu)):
        yield "recompute", True, (str(config.recompute).lower(), "true")
    for name, of in _MICRO.items():
        value: Any = getattr(config, name, None) or getattr(config, of, 1)
        if name in type(config).model_fields and value > 1:
            yield name, 1, (str(value), "1")
    for name in ("max_pixels", "max_tokens"):
        value = getattr(config, name)
        if value is not None:
            yield name, value // 2, (f"{value:,}", f"{value // 2:,}")
    if not learns:
        return
    if config.lora is None:
        yield "lora", LoraConfig(), ("null", "{rank: 16}")
        if config.optim.name == "adamw":
            yield "optim.name", config.optim.model_copy(update={"name": "adamw8bit"}), ("adamw", "adamw8bit")
    elif config.quantize is None:
        yield "quantize", "nf4", ("null", "nf4")


def render_plan(plan: MemoryPlan) -> str:
    """The plan as text."""
    size = f"{plan.max_pixels:,} pixels"
    if plan.squares:
        size = "one square" if plan.squares == 1 else f"{plan.squares} squares"
    pictures = {0: "no picture", 1: f"a picture of {size}"}.get(plan.pictures, f"{plan.pictures} pictures of {size}")
    what = f"prompts of {plan.prompt_tokens:,} tokens with {pictures}, responses of {plan.max_tokens:,} tokens"
    lines = [
        f"memory of `srpo {plan.stage}` with {plan.model}: {what}",
        f"(prompts: {plan.prompts})",
        "",
        "".join(f"{word:>13}" for word in ("GB", *_COLUMNS, "together")),
    ]
    for phase in plan.phases:
        values = [*(getattr(phase, name) for name in _COLUMNS), phase.total]
        lines.append(f"{phase.name:>13}" + "".join(f"{value / _GB:>13.2f}" for value in values))
    left = plan.num_bytes - plan.peak
    verdict = (
        f"it fits, {left / _GB:.1f} GB are left" if plan.fits else f"it does not fit: {-left / _GB:.1f} GB are missing"
    )
    lines += ["", f"on {plan.device} ({plan.num_bytes / _GB:.1f} GB): {verdict}"]
    if plan.rows is not None:
        lines.append(f"responses sampled at once: {plan.rows}")
    if plan.largest:
        lines.append("largest that fit: " + ", ".join(f"{name} {value:,}" for name, value in plan.largest.items()))
    for change in plan.lower:
        fits = "fits" if change.total <= plan.num_bytes else "does not fit alone"
        lines.append(f"  {change.field}: {change.before} -> {change.after}   {change.total / _GB:.1f} GB, {fits}")
    return "\n".join(lines)


_COLUMNS = ("weights", "gradients", "moments", "activations", "cache", "pictures")
