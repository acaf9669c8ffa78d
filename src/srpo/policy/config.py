"""Settings that stages share: prompts, adapters, and the optimizer with its learning-rate schedule."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from srpo.core.prompts import PromptName
from srpo.core.records import Record

TrainedDtype = Literal["auto", "float32", "bfloat16"]
"""`auto` is bfloat16 on a GPU that has it, and float32 elsewhere."""


class PromptFile(Record):
    """A prompt of one's own."""

    file: Path
    """Text in which `{problem}` stands once, where the question goes; all other braces are text."""


PromptChoice = PromptName | PromptFile


class LoraConfig(Record):
    """Low-rank adapters in place of full training: the model's own weights stay as they are."""

    rank: int = Field(default=16, ge=1)
    """Rank r of every update B·A."""
    alpha: float | None = Field(default=None, gt=0)
    """The update is scaled by alpha / rank; null takes twice the rank."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers that are adapted, for instance `[q_proj, v_proj]`; empty takes all linear layers of
    the language model's blocks."""
    vision: bool = False
    """Adapt the vision tower's linear layers too."""
    seed: int = 0
    """Seeds A; B starts at zero, so that training starts from the model as it is."""

    @property
    def scaled_by(self) -> float:
        """Alpha, where none is given that of the default."""
        return self.alpha if self.alpha is not None else 2 * self.rank


class OptimConfig(Record):
    """How gradients become weights."""

    name: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    """`adamw` for everything, with float32 masters of weights of lower precision; `adamw8bit` keeps its moments in
    eight bits and rounds bfloat16 weights at random, without masters: 6 bytes a weight in place of 18; `muon`
    orthogonalises the updates of the hidden matrices and leaves embeddings, norms and biases to AdamW. Muon learns a
    small model from scratch in fewer samples; fine-tuning wants `adamw`."""
    lr: float = Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW. The paper: 1e-5 for SFT, 1e-6 for RL."""
    muon_lr: float = Field(default=0.02, gt=0)
    """Peak learning rate of the matrices that Muon updates."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's decay rates of the two moments."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay, on matrices only."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up. `cosine` falls to zero at the end of the run: its last step, or in RL the end of its
    steps or token budget."""
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps in which the rate rises linearly from near zero. Ignored when `warmup_steps` is set."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Number of warm-up steps, for runs whose length is not known in advance."""
    grad_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient; longer ones are scaled down to it."""
