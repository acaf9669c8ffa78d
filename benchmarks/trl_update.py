"""The update against TRL: loss, backward, clip and AdamW on the same tokens, advantages and weights, G = 8.

    python -m benchmarks.trl_update [--env DIR] [--turns 3] [--only tiny/256/128 ..] [--part time memory] [--short]

Each row says what the two sides differ by: the largest difference of a log-probability would be the loss's, that of the
gradient is in units of its norm; finding it out warms both up. Memory is that of a second step above what stood before
the first, each side in a process of its own: gradients and moments are in it. All rows with one turn of the largest
take half an hour of one core, `--short` a minute or two.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.peers import keep_row, make_policy, make_prompts, one_process, out_of, ratio, say, take_turns, versions
from benchmarks.trl_env import AT, ensure

OUT = Path("benchmarks/results/trl_update.json")
GROUP = 8
Row = tuple[str, int, int, int]
"""Size, prompts, image tokens, tokens of a response."""
ROWS: dict[Row, int] = {
    ("tiny", 1, 64, 128): 7, ("tiny", 1, 256, 128): 7, ("tiny", 1, 1024, 256): 5, ("tiny", 1, 1024, 1024): 3,
    ("mid", 1, 64, 128): 3, ("mid", 1, 256, 128): 3, ("mid", 1, 1024, 256): 1, ("mid", 1, 1024, 1024): 1,
    ("wide", 1, 256, 128): 1,
}  # fmt: skip
"""Rows, and turns of each unless others are asked for."""
SHORT = ("tiny/64/128", "tiny/256/128")
MEMORY: dict[Row, int] = {("tiny", 1, 1024, 256): 1, ("mid", 1, 1024, 256): 1, ("wide", 1, 256, 128): 2}
"""Rows whose memory is measured, with the responses that are learned from at a time (`micro_responses`)."""


class Load:
    """One row: a group of responses, and what each side needs to learn from it."""

    def __init__(self, size: str, num_prompts: int, image_tokens: int, num_tokens: int) -> None:
        import torch

        self.policy = make_policy(size, image_tokens)
        self.prompts = make_prompts(self.policy, image_tokens, num_prompts)
        random = torch.Generator().manual_seed(1)
        # Words of the tokenizer only, which are never an image's placeholder.
        shape = (num_prompts, GROUP, num_tokens)
        self.completions = torch.randint(0, 256, shape, generator=random).tolist()
        self.advantages = torch.randn(num_prompts, GROUP, generator=random)

    def groups(self) -> list[Any]:
        """As `srpo rl` has them."""
        from srpo.rl.memory import learned_group

        return [
            learned_group(prompt, tokens, advantages.tolist())
            for prompt, tokens, advantages in zip(self.prompts, self.completions, self.advantages, strict=True)
        ]


class Ours:
    """The update step of `srpo rl`."""

    def __init__(self, load: Load, micro_responses: int | None) -> None:
        from srpo.policy.config import OptimConfig
        from srpo.policy.optim import Optimizer
        from srpo.rl.config import RlConfig

        settings: dict[str, Any] = {"model": "", "data": {"drawn": {"count": 1}}, "steps": 1}
        self.config = RlConfig.model_validate(settings | {"micro_responses": micro_responses, "max_tokens": 1024})
        self.policy, self.groups = load.policy, load.groups()
        optim = OptimConfig(lr=1e-6, weight_decay=0.0, schedule="constant", warmup_steps=0)
        self.optimizer = Optimizer(self.policy.model, optim, None)

    def gradient(self) -> float:
        from srpo.rl.train import accumulate_gradients

        pieces = accumulate_gradients(self.policy, None, self.groups, self.config, on_policy=True)
        return sum(piece.loss for piece in pieces)

    def step(self) -> float:
        loss = self.gradient()
        self.optimizer.step()
        return loss


class Theirs:
    """TRL's."""

    def __init__(self, load: Load, *, checkpointing: bool = False) -> None:
        from benchmarks.trl_peer import TrlUpdate, batch_of, make_trainer

        num_tokens = len(load.completions[0][0])
        rows = len(load.completions) * GROUP
        trainer = make_trainer(
            load.policy, group_size=GROUP, num_rows=rows, max_tokens=num_tokens, checkpointing=checkpointing
        )
        self.update = TrlUpdate(load.policy, trainer)
        self.batch = batch_of(load.policy, load.prompts, load.completions)
        self.advantages = load.advantages.flatten()

    def gradient(self) -> float:
        return self.update.gradient(self.batch, self.advantages)

    def step(self) -> float:
        return self.update.step(self.batch, self.advantages)


def run_row(row: Row, turns: int) -> dict[str, Any]:
    """Seconds of both sides, and how far their gradients are apart."""
    mine, other = Load(*row), Load(*row)
    ours, theirs = Ours(mine, None), Theirs(other)
    difference = _difference(mine, other, ours.gradient(), theirs.gradient())
    seconds = take_turns({"srpo": ours.step, "trl": theirs.step}, turns, warm=True)
    prompt, tokens = mine.prompts[0].num_tokens, row[3]
    # Tokens that the language model's layers run over, theirs over ours.
    share = GROUP * (prompt + tokens) / (prompt + GROUP * tokens)
    size = sum(weight.numel() for weight in mine.policy.model.parameters())
    about = {"parameters": size, "prompt_tokens": prompt, "token_ratio": round(share, 2)}
    return {**about, "turns": turns, **ratio(seconds), **difference, "versions": versions()}


def _difference(mine: Load, other: Load, our_loss: float, their_loss: float) -> dict[str, Any]:
    """Of the losses, and of the gradients, which are cleared."""
    import torch

    pairs = zip(mine.policy.model.named_parameters(), other.policy.model.named_parameters(), strict=True)
    squares = [torch.zeros(()), torch.zeros(())]
    for (name, a), (same, b) in pairs:
        assert name == same
        assert (a.grad is None) == (b.grad is None), name
        if a.grad is not None and b.grad is not None:
            squares[0] += (a.grad - b.grad).square().sum()
            squares[1] += b.grad.square().sum()
        a.grad = b.grad = None
    return {
        "loss_difference": abs(our_loss - their_loss),
        "gradient_difference": float((squares[0] / squares[1]).sqrt()),
    }


def run_memory(row: Row, side: str, micro_responses: int | None) -> dict[str, Any]:
    """Peak of the second step above what stood before the first, in MB."""
    import resource

    load = Load(*row)
    one = Ours(load, micro_responses) if side == "srpo" else Theirs(load, checkpointing=side == "trl_default")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one.step()
    first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one.step()
    second = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"first_mb": round((first - before) / 1024), "second_mb": round((second - before) / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, default=AT)
    parser.add_argument("--turns", type=int, help="turns of every row; fewer of large ones where it is not given")
    parser.add_argument("--short", action="store_true", help="one turn of small rows, which is printed and not kept")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="*", help="rows as size/image tokens/response tokens; all where none is named")
    parser.add_argument("--part", choices=("time", "memory"), nargs="*", default=("time", "memory"))
    parser.add_argument("--row", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--micro", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        row_size, *numbers = given.row
        num_prompts, image_tokens, num_tokens = map(int, numbers)
        asked = (row_size, num_prompts, image_tokens, num_tokens)
        say(run_memory(asked, given.side, given.micro) if given.side else run_row(asked, given.turns))
        return
    python = ensure(given.env)
    only = given.only or (SHORT if given.short else ())
    for row, usual in ROWS.items():
        size, _, image, tokens = row
        name = f"{size}/{image}/{tokens}"
        if only and name not in only:
            continue
        if "time" in given.part:
            turns = 1 if given.short else given.turns or usual
            found = one_process(python, "benchmarks.trl_update", "--row", *row, "--turns", turns)
            keep_row(out_of(given), name, found)
        if row in MEMORY and "memory" in given.part:
            keep_row(out_of(given), f"{name}/memory", memory_of(python, row))


def memory_of(python: Path, row: Row) -> dict[str, Any]:
    """Peaks of all sides, each in its own process; TRL's default, which computes layers again, at one size alone."""
    ask: dict[str, tuple[object, ...]] = {"srpo": (), "srpo_micro": ("--micro", MEMORY[row]), "trl": ()}
    if row[0] == "tiny":
        ask["trl_default"] = ()
    found = {
        side: one_process(python, "benchmarks.trl_update", "--row", *row, "--side", side.removesuffix("_micro"), *extra)
        for side, extra in ask.items()
    }
    less = {side: round(found["trl"]["second_mb"] / found[side]["second_mb"], 2) for side in ask}
    return {**found, "micro_responses": MEMORY[row], "times_less_than_trl": less}


if __name__ == "__main__":
    main()
