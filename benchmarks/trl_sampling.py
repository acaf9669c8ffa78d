"""Sampling against TRL's own generation (Hugging Face `generate`), every row to the limit; tokens per CPU second.

    python -m benchmarks.trl_sampling [--env DIR] [--turns 3] [--only tiny/8/64/128 ..] [--short]

Both sides get encoded prompts and may not write the end token. TRL gets prompt and picture once for every response, as
it hands them to `generate`.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.peers import keep_row, make_policy, make_prompts, one_process, out_of, ratio, say, take_turns, versions
from benchmarks.trl_env import AT, ensure

OUT = Path("benchmarks/results/trl_sampling.json")
GROUP = 8
ROWS = [  # size, prompts, image tokens, new tokens
    ("tiny", 8, 64, 128), ("tiny", 8, 64, 512), ("tiny", 32, 64, 128), ("tiny", 8, 256, 128), ("mid", 8, 64, 128),
]  # fmt: skip


class OurSampling:
    """`srpo.policy.decode.sample`."""

    def __init__(self, policy: Any, prompts: list[Any], limit: int) -> None:
        policy.banned_V[policy.end_id] = True
        self.policy, self.prompts, self.limit = policy, prompts, limit

    def run(self) -> int:
        import torch

        from srpo.core.records import Sampling
        from srpo.policy.decode import sample

        generator = torch.Generator().manual_seed(0)
        sampling = Sampling(max_tokens=self.limit)
        groups = sample(self.policy, self.prompts, num_samples=GROUP, sampling=sampling, generator=generator)
        return sum(len(one.token_ids) for group in groups for one in group)


class TheirSampling:
    """`GRPOTrainer._generate_single_turn`, what its step calls without a server."""

    def __init__(self, policy: Any, prompts: list[Any], limit: int) -> None:
        from benchmarks.trl_peer import make_trainer, rows_of

        self.trainer = make_trainer(policy, group_size=GROUP, num_rows=len(prompts) * GROUP, max_tokens=limit)
        self.trainer.generation_config.min_new_tokens = limit
        self.ids, self.fields = rows_of(policy, prompts, GROUP)

    def run(self) -> int:
        from benchmarks.trl_peer import generate

        completions = generate(self.trainer, self.ids, self.fields, GROUP)
        return sum(map(len, completions))


def run_row(size: str, num_prompts: int, image_tokens: int, limit: int, turns: int) -> dict[str, Any]:
    """Both sides in turn."""
    policies = [make_policy(size, image_tokens) for _ in range(2)]
    prompts = make_prompts(policies[0], image_tokens, num_prompts)
    ours, theirs = OurSampling(policies[0], prompts, limit), TheirSampling(policies[1], prompts, limit)
    tokens = num_prompts * GROUP * limit
    assert ours.run() == theirs.run() == tokens, "a row ended before the limit"
    found = ratio(take_turns({"srpo": ours.run, "trl": theirs.run}, turns))
    rates = {f"{side}_tokens_per_s": round(tokens / found[f"{side}_s"]) for side in ("srpo", "trl")}
    return {"prompt_tokens": prompts[0].num_tokens, **rates, **found, "versions": versions()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, default=AT)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="one turn of the first row, which is printed and not kept")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", nargs="*", help="rows as size/prompts/image tokens/new tokens")
    parser.add_argument("--row", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        size, *numbers = given.row
        prompts, image, limit = map(int, numbers)
        say(run_row(size, prompts, image, limit, given.turns))
        return
    python = ensure(given.env)
    turns = 1 if given.short else given.turns
    for row in ROWS[:1] if given.short else ROWS:
        name = "/".join(map(str, row))
        if not given.only or name in given.only:
            found = one_process(python, "benchmarks.trl_sampling", "--row", *row, "--turns", turns)
            keep_row(out_of(given), name, found)


if __name__ == "__main__":
    main()
