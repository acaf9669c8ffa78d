"""The settings of every stage of the tiny world: what the demo runs once, and `benchmarks/evidence.py` over seeds.

Each function returns the frozen config of one stage, the same that `srpo reflect | sft | rl | eval` read from YAML.
Sizes follow from `--minutes` alone, never from the clock, so that a demo is the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from srpo.core.advantages import Credit
from srpo.core.prompts import PromptName
from srpo.core.records import Style
from srpo.core.rewards import Preset
from srpo.data.config import DrawnConfig, SourceConfig, Split
from srpo.eval.config import EvalConfig
from srpo.policy.config import OptimConfig
from srpo.reflect.config import ReflectConfig, TeacherConfig
from srpo.rl.config import LossConfig, RlConfig
from srpo.sft.config import SftConfig
from srpo.tiny.curriculum import PROMPT

MAX_TOKENS: Final = 208
"""Longer than any target of the scripted teacher."""
DEMO_FAMILIES: Final = ("area", "bars", "count", "maze", "oddone")
"""Where the base writes its working (area, bars), sees at a glance (maze), and guesses (count, oddone)."""
CARELESS: Final = 0.5
"""Half of the teacher's lessons come without a look. RL chooses between ways of answering that the cold start has: here
one that looks and one that does not."""
ABOUT: Final = (
    "A teacher's lessons first show the model how to answer, reflect and answer again (the cold start: sft below). In "
    "half of them the teacher is careless: a verdict without a look at the picture, a guess in place of the working. "
    "No check of the data can tell, for verdict and answer are right. The other half looks first. Reinforcement "
    "learning (srpo below) finds out which of the two pays."
)
VOTES: Final = 3
"""Single attempts at the bare question whose tokens are those of a response in five blocks, about."""
EVAL_SEEDS: Final[dict[Split, int]] = {"train": 3000, "dev": 3000, "test": 6000}
"""Draws of evaluation problems. The test problems of 3000, 4000 and 5000 were seen by runs with other settings."""


class Arm(NamedTuple):
    """One way to spend the RL tokens."""

    name: str
    style: Style
    preset: Preset
    credit: Credit
    prompt: PromptName = PROMPT
    lr: float = 4e-4
    """Falls to 0 as a cosine over the tokens. Settled on `dev` with seed 0 and 600k tokens: 2e-4 and 5e-4 end within
    two points of it. The base, asked to work it out, keeps more of what it can at 2e-4."""


ARMS: Final[dict[str, Arm]] = {
    arm.name: arm
    for arm in (
        Arm("grpo", "single", "answer", "total"),
        Arm("grpo-work", "single", "answer", "total", "work", 2e-4),
        Arm("grpo-long", "single", "answer", "total"),
        Arm("final", "reflective", "answer", "total"),
        Arm("srpo", "reflective", "paper", "total"),
        Arm("srpo-segment", "reflective", "paper", "segment"),
    )
}
"""`grpo` and `grpo-work` start from the base, `grpo-long` from an SFT on long single attempts, the others from the cold
start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of everything."""

    num_problems: int
    """Problems that the base model attempts for reflection data."""
    family_traces: int
    """Most traces of one family in the cold start; each family keeps its own mix of right and wrong."""
    rl_problems: int
    """Different problems that RL draws from."""
    rl_tokens: int
    """Tokens that every RL arm may generate."""
    eval_problems: int
    """Held-out problems of every evaluation."""


def sizes_for(minutes: float) -> Sizes:
    """Sizes of a demo of about so many minutes on two cores; ValueError below one minute.

    The cold start has a least size, so the shortest demos take three minutes: before the five blocks are learned there
    is nothing for RL to do.
    """
    if not minutes >= 1:
        raise ValueError(f"--minutes {minutes!r} is too short for anything to be learned; give at least 1")
    scale = minutes / 10
    family_traces = max(480, min(1200, round(600 * scale)))
    return Sizes(
        num_problems=family_traces * len(DEMO_FAMILIES),
        family_traces=family_traces,
        rl_problems=6000,
        rl_tokens=round(600_000 * scale),
        eval_problems=max(200, min(1000, round(600 * scale))),
    )


def reflect_config(
    sizes: Sizes,
    model: Path | str,
    seed: int,
    *,
    careless: float = CARELESS,
    prompt: PromptName = PROMPT,
    families: Sequence[str] = DEMO_FAMILIES,
) -> ReflectConfig:
    """Stage 1a: first attempts of the base model, taught by the scripted teacher."""
    return ReflectConfig(
        model=str(model),
        data=drawn("train", sizes.num_problems, seed=1000 + seed, families=families),
        teacher=TeacherConfig(model="scripted", careless=careless),
        prompt=prompt,
        num_samples=2,
        max_tokens=64 if prompt == PROMPT else 128,
        seed=seed,
        batch_size=128,
        wrong_share=None,
        caps={"*": sizes.family_traces},
        symbolic=False,
    )


def sft_config(model: Path | str, traces: Sequence[Path], seed: int, *, style: Style = "reflective") -> SftConfig:
    """Stage 1b: the cold start (or, for style `single`, its twin on long single attempts)."""
    return SftConfig(
        model=str(model),
        traces=tuple(map(str, traces)),
        style=style,
        prompt=PROMPT,
        epochs=2,
        batch_size=8,
        # Muon: at equal steps its second answers were right more often than AdamW's (dev split).
        optim=OptimConfig(name="muon", lr=1e-3, muon_lr=0.006, warmup_share=0.05),
        freeze_vision=False,
        prompt_cache=0,
        seed=seed,
    )


def rl_config(
    sizes: Sizes, arm: Arm, model: Path | str, seed: int, *, families: Sequence[str] = DEMO_FAMILIES
) -> RlConfig:
    """Stage 2: one arm, stopped by its tokens."""
    return RlConfig(
        model=str(model),
        data=drawn("train", sizes.rl_problems, seed=2000 + seed, families=families),
        style=arm.style,
        prompt=arm.prompt,
        preset=arm.preset,
        credit=arm.credit,
        loss=LossConfig(minibatches=8),
        optim=OptimConfig(lr=arm.lr, schedule="cosine", warmup_steps=5),
        num_prompts=16,
        group_size=8,
        token_budget=sizes.rl_tokens,
        max_tokens=MAX_TOKENS,
        freeze_vision=True,
        # Segment credit learns from the first answer too, so groups that differ in it alone are worth keeping.
        online_filter="outcome" if arm.credit == "segment" else "final",
        symbolic=False,
        seed=seed,
    )


def eval_config(
    name: str,
    model: Path | str,
    style: Style,
    *,
    split: Split,
    count: int,
    temperature: float,
    seed: int,
    prompt: PromptName = PROMPT,
    num_samples: int = 1,
    majority: bool = False,
    families: Sequence[str] = DEMO_FAMILIES,
) -> EvalConfig:
    """Held-out evaluation; every model answers the same problems."""
    return EvalConfig(
        name=name,
        model=str(model),
        data=drawn(split, count, seed=EVAL_SEEDS[split], families=families),
        style=style,
        prompt=prompt,
        num_samples=num_samples,
        majority=majority,
        temperature=temperature,
        max_tokens=MAX_TOKENS,
        seed=seed,
        batch_size=128,
        symbolic=False,
    )


def drawn(split: Split, count: int, *, seed: int, families: Sequence[str] = DEMO_FAMILIES) -> SourceConfig:
    """Drawn problems as a source."""
    return SourceConfig(drawn=DrawnConfig(split=split, count=count, seed=seed, families=tuple(families)))
