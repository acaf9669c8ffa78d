"""The recipe of the tiny base model: from random weights to a model that reads pictures and guesses answers.

    python -m srpo.policy.base --out src/srpo/assets/tiny-base      # `make base`: about 80 minutes on one core

It learns, from problems of the training split alone, the skills that checking needs (read, add, compare, check a claim,
work a question out) as question types of their own, and to answer the families' questions: with the working where that
is short, by a guess after a look where one has to search. Nothing is made wrong on purpose: its errors are those of a
0.9 M model that misreads, or searches in its head.

The phases were found by trying, and the shipped weights also saw 400 steps of an earlier form of the fifth one, in
which the reading families guessed too: a rebuilt model is alike, not identical.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from srpo.core.prompts import user_text
from srpo.core.records import Attempt, Problem, Response
from srpo.core.response import render, render_attempt
from srpo.data.drawn import FAMILIES, LEVELS, draw_problem, drawn_problems, render_ref, scene_of
from srpo.data.drawn.scene import compare
from srpo.models.scripted import first_attempt, long_attempt, reflection_text, teach
from srpo.policy.tiny import TinyConfig

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from srpo.policy.policy import Policy

PROMPT: Final = "bare"
"""The tiny model is asked the bare question; its format comes from fine-tuning."""


class Item(NamedTuple):
    """One training text about one picture."""

    question: str
    image: str
    """Reference of the picture; empty for calculations."""
    completion: str
    kind: str
    """`guess`, or the skill of a drill."""
    answer: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training with an optimizer and a schedule of its own."""

    steps: int
    """Optimizer steps of the cosine schedule."""
    stop_after: int
    """Optimizer steps that are taken."""
    describe_share: tuple[float, float]
    """Share of descriptions at the first and at the last step of the schedule."""
    practice_share: float
    """Share of arithmetic without a picture, several steps a text."""
    shuffled: bool
    """Descriptions in any order: what is read next then depends on what was just named, as in a check."""
    guess_share: float
    """Share of the families' own questions among those that are not descriptions; the rest are drills."""
    muon_lr: float
    """Peak learning rate of the hidden matrices."""
    lr: float
    """Peak learning rate of everything else."""
    seed: int
    """Seeds problems and order."""
    check_share: float = 0.0
    """Share of checks: is this claim right?"""
    work_share: float = 0.0
    """Share of questions that ask for the full working."""
    looks: bool = False
    """Whether a first attempt writes down what it sees before it answers."""
    often: tuple[str, ...] = ()
    """Families that come up twice as often, because they take longer to learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseConfig:
    """How the base model is made."""

    tiny: TinyConfig = field(default_factory=TinyConfig)
    """Size and family of the model."""
    phases: tuple[Phase, ...] = (
        Phase(
            3000, 1200, (0.9, 0.1), practice_share=0.0, shuffled=False, guess_share=0.4, muon_lr=0.02, lr=2e-3, seed=0
        ),
        Phase(
            3000, 750, (0.5, 0.3), practice_share=0.0, shuffled=True, guess_share=0.5, muon_lr=0.015, lr=2e-3, seed=1
        ),
        Phase(500, 300, (0.0, 0.0), practice_share=1.0, shuffled=True, guess_share=0.5, muon_lr=0.02, lr=2e-3, seed=7),
        Phase(
            1500,
            1000,
            (0.45, 0.15),
            practice_share=0.12,
            shuffled=True,
            guess_share=0.5,
            muon_lr=0.01,
            lr=1.5e-3,
            seed=4,
            often=("bars", "pairs", "weights"),
        ),
        Phase(
            900,
            900,
            (0.15, 0.1),
            practice_share=0.08,
            shuffled=True,
            guess_share=0.5,
            muon_lr=0.008,
            lr=1.2e-3,
            seed=8,
            looks=True,
            often=("area", "count", "digits", "oddone"),
        ),
        Phase(
            350,
            350,
            (0.08, 0.08),
            practice_share=0.05,
            shuffled=True,
            guess_share=0.5,
            muon_lr=0.006,
            lr=1e-3,
            seed=9,
            check_share=0.35,
            looks=True,
            often=("count", "digits", "oddone", "tiles"),
        ),
        Phase(
            2300,
            2300,
            (0.1, 0.05),
            practice_share=0.05,
            shuffled=True,
            guess_share=0.5,
            muon_lr=0.012,
            lr=1.5e-3,
            seed=10,
            check_share=0.3,
            work_share=0.2,
            looks=True,
            often=("count", "maze", "oddone", "tiles"),
        ),
    )
    """First see: many readings a picture wake the vision tower up. Then look things up. Then calculate: copying
    from the question, without which nothing is found by its colour, is learned here. Then everything together."""
    batch_size: int = 64
    """Questions per step."""
    seed: int = 0
    """Seeds weights and tokenizer."""


def corpus(seed: int) -> list[str]:
    """Texts of every kind that the tiny model will read or write, for its tokenizer."""
    texts = []
    rng = random.Random(seed)
    for problem in drawn_problems("train", count=1200, seed=seed + 1):
        scene = scene_of(problem.images[0])
        claim = rng.choice([problem.answer, scene.drills()[0].answer])
        first = Attempt(think=f"I guess {claim}", answer=claim)
        lesson = teach(problem, first)
        texts.append(user_text(problem, PROMPT))
        texts.append(render(Response(first=first, reflection=lesson.reflection, second=lesson.second)))
        texts.append(render_attempt(long_attempt(problem)))
        texts += [describe_item(problem).question, describe_item(problem).completion]
        for drill in scene.drills():
            texts += [drill.question, drill.think, drill.answer]
    return texts


def items(phase: Phase, batch_size: int) -> Iterator[Item]:
    """Endless training items; levels in equal parts, families too but for those that come up often."""
    rng = random.Random(phase.seed)
    early, late = phase.describe_share
    for count in itertools.count():
        done = min(1.0, count / (phase.steps * batch_size))
        if phase.practice_share and rng.random() < phase.practice_share:
            yield practice_item(rng)
            continue
        problem = draw_problem("train", rng.choice((*FAMILIES, *phase.often)), rng.choice(LEVELS), rng)
        if phase.check_share and rng.random() < phase.check_share:
            yield check_item(problem, rng)
        elif phase.work_share and rng.random() < phase.work_share:
            yield work_item(problem)
        elif rng.random() < early + (late - early) * done:
            yield describe_item(problem, rng if phase.shuffled else None)
        elif rng.random() < phase.guess_share:
            yield guess_item(problem, looks=phase.looks)
        else:
            yield rng.choice(drill_items(problem))


def guess_item(problem: Problem, *, looks: bool = True) -> Item:
    """The family's own question with its gold answer, at a glance; without `looks` not even that."""
    at_sight = Attempt(think=f"I guess {problem.answer}", answer=problem.answer)
    completion = render_attempt(first_attempt(problem, problem.answer) if looks else at_sight)
    return Item(user_text(problem, PROMPT), problem.images[0], completion, "guess", problem.answer)


def check_item(problem: Problem, rng: random.Random) -> Item:
    """A claim held against the picture, right half of the time; the wrong ones are answers to problems alike."""
    claim = problem.answer
    if rng.random() < 0.5:
        claim = draw_problem("train", problem.family, problem.level or 1, rng).answer
    check = scene_of(problem.images[0]).check(claim)
    answer = "yes" if check.right else "no"
    text = f"<reflection>{reflection_text(check)}</reflection>\n<answer>{answer}</answer>"
    return Item(f"Is {claim} right? {user_text(problem, PROMPT)}", problem.images[0], text, "check", answer)


def work_item(problem: Problem) -> Item:
    """The family's own question with its full working."""
    question = f"Work it out. {user_text(problem, PROMPT)}"
    return Item(question, problem.images[0], render_attempt(long_attempt(problem)), "work", problem.answer)


def describe_item(problem: Problem, rng: random.Random | None = None) -> Item:
    """A full description of the problem's picture; in random order when `rng` is given."""
    lines = list(scene_of(problem.images[0]).describe())
    if rng:
        rng.shuffle(lines)
    completion = render_attempt(Attempt(think="\n".join(lines), answer="done"))
    return Item("Describe the picture.", problem.images[0], completion, "describe", "done")


def practice_item(rng: random.Random) -> Item:
    """Six small calculations, or four sums held against a target, in the lines that checks are made of."""
    if rng.random() < 0.5:
        target = rng.randrange(3, 18)
        pairs = []
        for _ in range(4):
            one = rng.randrange(max(1, target - 9), min(9, target - 1) + 1)
            pairs.append((one, target - one if rng.random() < 0.5 else rng.randrange(1, 10)))
        question = f"Which add up to {target}? " + " ".join(f"{one}+{two}" for one, two in pairs)
        lines = [line for one, two in pairs for line in (f"{one}+{two}={one + two}", compare(one + two, target))]
    else:
        sums = [_calculation(rng) for _ in range(6)]
        question = " ".join(f"{term}?" for term, _ in sums)
        lines = [f"{term}={result}" for term, result in sums]
    completion = render_attempt(Attempt(think="\n".join(lines), answer="done"))
    return Item(question, "", completion, "practice", "done")


def _calculation(rng: random.Random) -> tuple[str, int]:
    """One of the calculations that the families need."""
    match rng.randrange(5):
        case 0:
            one, two = rng.randrange(1, 28), rng.randrange(1, 10)
            return f"{one}+{two}", one + two
        case 1:
            two = rng.randrange(1, 28)
            return f"{two + (more := rng.randrange(1, 10))}-{two}", more
        case 2:
            one, two = rng.randrange(1, 7), rng.randrange(1, 7)
            return f"{one}x{two}", one * two
        case 3:
            one, two = 5 * rng.randrange(12), 5 * rng.randrange(1, 12)
            return f"{one}+{two}", one + two
        case _:
            total = 5 * rng.randrange(12, 23)
            return f"{total}-60", total - 60


def drill_items(problem: Problem) -> list[Item]:
    """The skill questions about the problem's picture."""
    return [
        Item(
            drill.question,
            problem.images[0],
            render_attempt(Attempt(think=drill.think, answer=drill.answer)),
            drill.skill,
            drill.answer,
        )
        for drill in scene_of(problem.images[0]).drills()
    ]


def pretrain(config: BaseConfig, out: Path) -> Path:
    """Build and train the base model; returns `out`, a checkpoint directory that `load_policy` reads."""
    from srpo.config.optim import OptimConfig
    from srpo.policy.load import load_policy, save_policy
    from srpo.policy.tiny import build_tiny
    from srpo.runs.progress import note, progress
    from srpo.sft.optim import Optimizer

    build_tiny(config.tiny, corpus(config.seed), out, seed=config.seed)
    policy = load_policy(str(out), freeze_vision=False)
    with progress(sum(phase.stop_after for phase in config.phases), "base") as bar:
        for number, phase in enumerate(config.phases):
            if phase.check_share and not any(earlier.check_share for earlier in config.phases[:number]):
                wake_unread(policy, config.phases[:number], config.batch_size)
            optim = OptimConfig(name="muon", lr=phase.lr, muon_lr=phase.muon_lr, warmup_share=0.02)
            optimizer = Optimizer(policy.model, optim, phase.steps)
            stream = items(phase, config.batch_size)
            for step in range(1, phase.stop_after + 1):
                loss = batch_loss(policy, [next(stream) for _ in range(config.batch_size)])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                bar.advance(1, loss=f"{loss.item():.3f}")
                if step % 300 == 0 or step == phase.stop_after:
                    scores = skill_accuracy(policy, num_problems=200)
                    note("  ".join(f"{name} {value:.2f}" for name, value in sorted(scores.items())))
            save_policy(policy, out)
    return out


def wake_unread(policy: "Policy", phases: tuple[Phase, ...], batch_size: int) -> None:
    """Start tokens that were never read (the reflection's tags among them) near the mean of those that were.

    With tied embeddings every step pushes the unread ones away from all contexts; from there, fine-tuning would take
    thousands of steps to bring them back.
    """
    import torch

    read: set[int] = set()
    for phase in phases:
        for item in itertools.islice(items(phase, batch_size), 6000):
            read |= {*policy.encode_text(item.completion), *policy.tokenizer(item.question)["input_ids"]}
    known = torch.tensor(sorted(read))
    unread = torch.tensor(sorted(set(policy.tokenizer.get_vocab().values()) - read - set(policy.banned_ids)))
    with torch.no_grad():
        weight_V_D = policy.model.get_input_embeddings().weight
        noise = torch.randn((len(unread), weight_V_D.shape[1]), generator=torch.Generator().manual_seed(0))
        weight_V_D[unread] = weight_V_D[known].mean(0) + 0.3 * weight_V_D[known].std(0) * noise


def batch_loss(policy: "Policy", batch: list[Item]) -> "Tensor":
    """Mean negative log-likelihood of the completions' tokens."""
    from srpo.policy.prefix import completion_logprobs

    prompts = policy.encode_many([(item.question, _pictures(item)) for item in batch])
    completions = [[policy.encode_text(item.completion)] for item in batch]
    scored = completion_logprobs(policy, prompts, completions)
    return -(scored.logprobs_B_T * scored.mask_B_T).sum() / scored.mask_B_T.sum()


def skill_accuracy(policy: "Policy", num_problems: int, seed: int = 0) -> dict[str, float]:
    """Greedy accuracy on `dev` problems: per drill skill, and per family at a glance."""
    import torch

    from srpo.core.records import FormatError, Sampling
    from srpo.core.response import parse_attempt
    from srpo.policy.decode import sample

    rng = random.Random(seed)
    asked: list[tuple[str, Item]] = []
    for problem in drawn_problems("dev", count=num_problems, seed=seed):
        asked.append((f"guess/{problem.family}", guess_item(problem)))
        drill = rng.choice(drill_items(problem))
        asked.append((f"{drill.kind}/{problem.family}", drill))
    prompts = policy.encode_many([(item.question, _pictures(item)) for _, item in asked])
    replies = sample(
        policy,
        prompts,
        num_samples=1,
        sampling=Sampling(temperature=0.0, max_tokens=48),
        generator=torch.Generator().manual_seed(seed),
    )
    hits: dict[str, list[bool]] = {}
    for (name, item), (reply,) in zip(asked, replies, strict=True):
        attempt = parse_attempt(policy.decode(reply.token_ids))
        right = not isinstance(attempt, FormatError) and attempt.answer == item.answer
        for group in (name, name.partition("/")[0]):
            hits.setdefault(group, []).append(right)
    return {name: sum(found) / len(found) for name, found in hits.items()}


def _pictures(item: Item) -> "list[Image]":
    return [render_ref(item.image)] if item.image else []


def main() -> None:
    """Make the base model."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint directory to write")
    parser.add_argument("--family", choices=["qwen2_5_vl", "qwen3_vl"], default="qwen2_5_vl")
    arguments = parser.parse_args()
    config = BaseConfig(tiny=TinyConfig(family=arguments.family))
    print(pretrain(config, arguments.out))


if __name__ == "__main__":
    from srpo.policy.threads import configure_threads

    configure_threads(1)
    main()
