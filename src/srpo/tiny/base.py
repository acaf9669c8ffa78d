"""The recipe of a tiny base model: from random weights to a model that reads, checks, and guesses.

    python -m srpo.tiny.base --out runs/tiny-base     # `make base`: a model of the shipped kind, not the shipped one
    python -m srpo.tiny.base --measure tiny-base      # the skills of the shipped weights

One run, one learning-rate schedule, five stages that differ in what is asked. Describing whole pictures first (many
readings a picture) wakes the vision tower up; single readings do not. Arithmetic and comparisons by themselves are
where copying from the question and `8 vs 9: no` are learned; without them nothing is found by its colour, and checks
end in a coin flip. Its errors are those of a 0.9 M model that misreads, or searches in its head.

The shipped weights cannot be made again. They are those of an earlier recipe (7,000 steps, other pictures of the same
families), continued with `--start` for 1,500 steps and, when shapes had got their outlines, for 4,500 more. This recipe
alone was never shown to reach their skills: from random weights it has been run for 2,000 of its 7,500 steps.
"""

import itertools
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from srpo.config.command import Command
from srpo.config.load import ConfigError
from srpo.core.records import Record
from srpo.data.drawn import drawn_problems, render_ref
from srpo.tiny.curriculum import (
    Exercise,
    Mix,
    check_item,
    corpus,
    drill_items,
    guess_item,
    items,
    practice_item,
    work_item,
)
from srpo.tiny.model import TinyConfig

if TYPE_CHECKING:
    from PIL.Image import Image

    from srpo.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the training with a mix of its own."""

    until: float
    """Where it ends, as a share of all steps."""
    mix: Mix
    shuffled: bool = True
    """Whether descriptions come in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseConfig:
    """How the base model is made."""

    tiny: TinyConfig = field(default_factory=TinyConfig)
    """Size and family of the model."""
    stages: tuple[Phase, ...] = (
        Phase(0.12, Mix(describe=0.8, guess=0.08, drill=0.08, check=0.04), shuffled=False),
        Phase(0.20, Mix(describe=0.42, guess=0.25, drill=0.28, check=0.05)),
        Phase(0.235, Mix(practice=0.9, describe=0.1)),
        Phase(0.36, Mix(describe=0.25, practice=0.12, guess=0.18, drill=0.3, check=0.15)),
        Phase(1.0, Mix(describe=0.07, practice=0.09, guess=0.12, drill=0.17, check=0.33, work=0.22)),
    )
    steps: int = 7500
    batch_size: int = 64
    """Questions per step, over all workers."""
    lr: float = 2e-3
    """Peak learning rate of embeddings, norms and biases."""
    muon_lr: float = 0.02
    """Peak learning rate of the hidden matrices."""
    seed: int = 0
    """Seeds weights, tokenizer and questions."""


def pretrain(config: BaseConfig, out: Path, *, start: str | None = None, workers: int = 1) -> Path:
    """Build and train the base model; returns `out`, a checkpoint directory that `load_policy` reads.

    With `start`, go on from that checkpoint, tokenizer and all.

    Each worker is a process that draws its share of every batch; gradients are averaged. The same number of workers
    gives the same weights.
    """
    from torch.multiprocessing.spawn import spawn

    from srpo.policy.load import load_policy, save_policy
    from srpo.tiny.model import build_tiny

    if config.batch_size % workers:
        raise ValueError(f"a batch of {config.batch_size} cannot be shared by {workers} workers")
    if start is None:
        build_tiny(config.tiny, corpus(config.seed), out, seed=config.seed)
    else:
        policy = load_policy(start)
        wake_unread(policy)
        save_policy(policy, out)
    with tempfile.TemporaryDirectory() as meeting:
        spawn(_work, (config, out, workers, f"file://{meeting}/peers"), nprocs=workers)
    return out


def _work(rank: int, config: BaseConfig, out: Path, workers: int, meeting: str) -> None:
    """Train as one of `workers` processes; the first one saves and reports."""
    import torch.distributed as dist

    from srpo.policy.config import OptimConfig
    from srpo.policy.load import load_policy, save_policy
    from srpo.policy.optim import Optimizer
    from srpo.policy.threads import configure_threads
    from srpo.runs.progress import note, progress

    configure_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=workers)
    policy = load_policy(str(out), freeze_vision=False)
    optim = OptimConfig(name="muon", lr=config.lr, muon_lr=config.muon_lr, warmup_share=0.02)
    optimizer = Optimizer(policy.model, optim, config.steps)
    batches = _batches(config, rank, config.batch_size // workers)
    with progress(config.steps, "base") if rank == 0 else nullcontext() as bar:
        for step, batch in enumerate(batches, start=1):
            loss = learn(policy, batch)
            _average_gradients(policy, workers)
            optimizer.step()
            if bar is None:
                continue
            bar.advance(1, loss=f"{loss:.3f}")
            if step % 500 == 0 or step == config.steps:
                save_policy(policy, out)
                note(f"step {step}: {show_skills(measure_skills(policy, num_problems=200))}")
    dist.destroy_process_group()


def wake_unread(policy: "Policy") -> int:
    """Start tokens that were never read near the mean of those that were; returns how many.

    With tied embeddings every step pushes all unread tokens the same way, so that they end in one place, far from every
    context; a text that needs one of them would take thousands of steps to bring it back. That place is the median,
    because most of the 256 bytes are never read.
    """
    import torch

    with torch.no_grad():
        weight_V_D = policy.model.get_input_embeddings().weight
        place_D = weight_V_D.median(dim=0).values
        unread_V = torch.cosine_similarity(weight_V_D, place_D[None], dim=1) > 0.9
        known_K_D = weight_V_D[~unread_V]
        noise = torch.randn(weight_V_D[unread_V].shape, generator=torch.Generator().manual_seed(0))
        weight_V_D[unread_V] = known_K_D.mean(0) + 0.3 * known_K_D.std(0) * noise
    return int(unread_V.sum())


def _batches(config: BaseConfig, rank: int, size: int) -> Iterator[list[Exercise]]:
    done = 0
    for number, stage in enumerate(config.stages):
        stream = items(stage.mix, f"{config.seed}/{number}/{rank}", shuffled=stage.shuffled)
        end = round(stage.until * config.steps)
        for _ in range(done, end):
            yield list(itertools.islice(stream, size))
        done = end


def learn(policy: "Policy", batch: Sequence[Exercise], micro_batch: int = 16) -> float:
    """Add the gradient of the mean negative log-likelihood of the completions' tokens; returns that mean.

    Short and long texts are computed apart, which saves a third of the padding's cost.
    """
    from srpo.policy.prefix import completion_logprobs

    encoded = sorted(((policy.encode_text(item.completion), item) for item in batch), key=lambda pair: len(pair[0]))
    total = sum(len(tokens) for tokens, _ in encoded)
    loss = 0.0
    for start in range(0, len(encoded), micro_batch):
        part = encoded[start : start + micro_batch]
        prompts = policy.encode_many([(item.question, load_pictures(item)) for _, item in part])
        scored = completion_logprobs(policy, prompts, [[tokens] for tokens, _ in part])
        share = -(scored.logprobs_B_T * scored.mask_B_T).sum() / total
        share.backward()
        loss += share.item()
    return loss


def _average_gradients(policy: "Policy", workers: int) -> None:
    import torch
    import torch.distributed as dist

    weights = [weight for weight in policy.model.parameters() if weight.requires_grad]
    # A batch without pictures leaves the vision tower without a gradient; the other workers' may have one.
    flat = torch.cat([torch.zeros(w.numel()) if w.grad is None else w.grad.view(-1) for w in weights])
    dist.all_reduce(flat)
    for weight, mean in zip(weights, torch.split(flat, [w.numel() for w in weights]), strict=True):
        weight.grad = (mean / workers).view_as(weight)


def measure_skills(policy: "Policy", num_problems: int, seed: int = 0) -> dict[str, float]:
    """Mean probability, at temperature 1, of the exact right text on `dev` problems, per skill and `skill/family`.

    That is stricter than accuracy: other words for the same count as wrong.
    """
    import random

    import torch

    from srpo.policy.prefix import completion_logprobs

    rng = random.Random(seed)
    asked = [practice_item(rng) for _ in range(num_problems // 4)]
    names = [item.kind for item in asked]
    for problem in drawn_problems("dev", count=num_problems, seed=seed):
        drill = rng.choice(drill_items(problem))
        new = [guess_item(problem), check_item(problem, rng), work_item(problem), drill]
        asked += new
        names += [f"{item.kind}/{problem.family}" for item in new]
    hits: dict[str, list[float]] = {}
    with torch.no_grad():
        for start in range(0, len(asked), 64):
            part = asked[start : start + 64]
            prompts = policy.encode_many([(item.question, load_pictures(item)) for item in part])
            scored = completion_logprobs(policy, prompts, [[policy.encode_text(item.completion)] for item in part])
            for name, value in zip(names[start:], scored.logprobs_B_T.sum(1).exp().tolist(), strict=False):
                for group in {name, name.partition("/")[0]}:
                    hits.setdefault(group, []).append(value)
    return {name: sum(found) / len(found) for name, found in sorted(hits.items())}


def show_skills(skills: dict[str, float]) -> str:
    """One line per skill, its families behind it."""
    lines = []
    for name in (name for name in skills if "/" not in name):
        families = (f"{f.partition('/')[2]} {v:.2f}" for f, v in skills.items() if f.startswith(f"{name}/"))
        lines.append(f"{name:9} {skills[name]:.3f}  {'  '.join(families)}")
    return "\n".join(lines)


def load_pictures(item: Exercise) -> "list[Image]":
    """The item's picture, if it has one."""
    return [render_ref(item.image)] if item.image else []


class BaseOptions(Record):
    """Make the tiny base model, or print the skills of a checkpoint."""

    out: Path | None = None
    """Checkpoint directory to write."""
    measure: str | None = None
    """Checkpoint whose skills on 1,000 dev problems are printed; nothing is made."""
    family: Literal["qwen2_5_vl", "qwen3_vl"] = "qwen2_5_vl"
    """Architecture."""
    start: str | None = None
    """Checkpoint to go on from, with the last stage's mix alone."""
    steps: Annotated[int, Field(ge=1)] = BaseConfig().steps
    """Training steps."""
    workers: Annotated[int, Field(ge=1)] = min(2, os.cpu_count() or 1)
    """Processes that share each batch."""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.out is None) == (self.measure is None):
            raise ValueError("give one of --out, which makes a model, and --measure, which looks at one")
        return self


def make_base(options: BaseOptions) -> int:
    """Make the base model, or measure one."""
    if options.measure is not None:
        from srpo.policy.load import load_policy

        print(show_skills(measure_skills(load_policy(options.measure), num_problems=1000)))
        return 0
    assert options.out is not None, "the options are checked"
    config = BaseConfig(tiny=TinyConfig(family=options.family), steps=options.steps)
    if options.start:
        practice = Phase(0.08, Mix(practice=0.7, describe=0.2, check=0.1))
        config = replace(config, stages=(practice, config.stages[-1]), lr=1.5e-3, muon_lr=0.012)
    print(pretrain(config, options.out, start=options.start, workers=options.workers))
    return 0


if __name__ == "__main__":
    from srpo.policy.threads import configure_threads

    configure_threads(1)
    try:
        sys.exit(Command(BaseOptions, make_base).run("python -m srpo.tiny.base", sys.argv[1:]))
    except ConfigError as error:
        sys.exit(f"error: {error}")
