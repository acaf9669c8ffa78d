"""A whole GRPO step against TRL: sample, grade, reward, advantages, update, from the same model and problems.

    python -m benchmarks.trl_step [--env DIR] [--turns 3] [--model runs/demo/sft/model] [--only demo ..] [--short]

Both sides have no filter and no refill, take one optimizer step on all responses, and are paid by the same function:
srpo's grader, rules alone, and the paper's preset. Prompts and pictures are encoded beforehand. Texts are drawn by each
side's own random numbers, so that seconds are given per generated token as well. `--model` is what `srpo sft` of the
demo leaves; without it the step begins from the base model that ships, whose responses mostly run to the limit.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import keep_row, one_process, out_of, ratio, say, versions
from benchmarks.trl_env import AT, ensure
from srpo.core.prompts import PromptName

OUT = Path("benchmarks/results/trl_step.json")
GROUP, LIMIT = 8, 128
ROWS: dict[str, tuple[int, int | None, PromptName]] = {
    "demo": (16, None, "bare"),
    "reflective prompt": (16, None, "reflective"),
    "256 image tokens": (4, 448, "bare"),
}
"""Problems, pixels along a side to which pictures are enlarged (None leaves them), and the prompt around a question."""


class Step:
    """What both sides begin with."""

    def __init__(self, model: str, num_prompts: int, side: int | None, prompt: PromptName) -> None:
        import torch

        from srpo.core.prompts import problem_text
        from srpo.data.config import SourceConfig
        from srpo.data.images import load_image
        from srpo.data.sources import load_problems
        from srpo.policy.load import load_policy
        from srpo.policy.prompts import read_prompt

        torch.set_num_threads(1)
        self.policy = load_policy(model)
        if side is not None:
            self.policy.processor.image_processor.size = {"shortest_edge": side**2, "longest_edge": side**2}
        source = {"drawn": {"families": ["bars"], "levels": [1], "count": num_prompts}}
        self.problems = load_problems(SourceConfig.model_validate(source)).problems[:num_prompts]
        around = read_prompt(prompt, "", None)
        items = [(around.turns(problem_text(one)), [load_image(ref) for ref in one.images]) for one in self.problems]
        self.prompts = self.policy.processor.encode_many(items)
        self.seed = 0


class Ours:
    """The functions of `srpo rl`, on all groups."""

    def __init__(self, step: Step) -> None:
        from srpo.core.records import Origin
        from srpo.grading import Grader
        from srpo.policy.config import OptimConfig
        from srpo.policy.optim import Optimizer
        from srpo.rl.config import RlConfig
        from srpo.rl.reward import reward_function
        from srpo.rl.sampler import LocalSampler

        settings = {"model": "", "data": {"drawn": {"count": 1}}, "steps": 1, "max_tokens": LIMIT, "symbolic": False}
        self.step, self.config = step, RlConfig.model_validate(settings)
        self.sampler, self.grader = LocalSampler(step.policy), Grader(symbolic=False)
        self.reward, self.origin = reward_function(self.config), Origin(stage="rl", model="")
        optim = OptimConfig(lr=1e-6, weight_decay=0.0, schedule="constant", warmup_steps=0)
        self.optimizer = Optimizer(step.policy.model, optim, None)

    def run(self) -> int:
        from srpo.core.records import Sampling
        from srpo.policy.vision import see
        from srpo.rl.rollout import Rollout, add_advantages, grade_groups, reward_group, sample_groups
        from srpo.rl.sampler import Start
        from srpo.rl.train import accumulate_gradients

        self.step.seed += 1
        # The frozen tower is asked once; sampler and update share what it says.
        prompts = see(self.step.policy, self.step.prompts)
        starts = [Start(*one) for one in zip(self.step.problems, prompts, strict=True)]
        sampled = sample_groups(self.sampler, starts, GROUP, Sampling(max_tokens=LIMIT, seed=self.step.seed))
        graded = grade_groups(self.step.policy, self.grader, sampled, "reflective", self.origin)
        paid = [reward_group(one, self.reward) for one in graded]
        kept = add_advantages(Rollout(paid, [True] * len(paid), 0), self.config).kept
        accumulate_gradients(self.step.policy, None, kept, self.config, on_policy=True)
        self.optimizer.step()
        return sum(len(one.token_ids) for group in kept for one in group.trajectories_G)


class Theirs:
    """TRL's generation and loss, with the reward of `srpo.engines.trl` between them."""

    def __init__(self, step: Step) -> None:
        from benchmarks.trl_peer import TrlUpdate, make_trainer, rows_of
        from srpo.engines.trl import trl_reward

        rows = len(step.prompts) * GROUP
        self.step = step
        self.trainer = make_trainer(step.policy, group_size=GROUP, num_rows=rows, max_tokens=LIMIT)
        self.update = TrlUpdate(step.policy, self.trainer)
        self.reward = trl_reward("paper", tokenizer=step.policy.tokenizer)
        self.ids, self.fields = rows_of(step.policy, step.prompts, GROUP)
        # What our sampler may not write either.
        self.trainer.generation_config.suppress_tokens = list(step.policy.banned_ids)

    def run(self) -> int:
        import torch

        from benchmarks.trl_peer import batch_of, generate

        self.step.seed += 1
        torch.manual_seed(self.step.seed)
        completions = generate(self.trainer, self.ids, self.fields, GROUP)
        texts = [self.step.policy.decode(ids) for ids in completions]
        problems = [problem for problem in self.step.problems for _ in range(GROUP)]
        columns = {
            "id": [one.id for one in problems],
            "question": [one.question for one in problems],
            "gold": [one.answer for one in problems],
            "kind": [one.kind for one in problems],
            "choices": [list(one.choices) for one in problems],
        }
        paid = self.reward([""] * len(texts), texts, completion_ids=completions, **columns)
        rewards = torch.tensor([value or 0.0 for value in paid]).view(-1, GROUP)
        advantages = (rewards - rewards.mean(1, True)) / (rewards.std(1, keepdim=True) + 1e-4)
        groups = [completions[at : at + GROUP] for at in range(0, len(completions), GROUP)]
        self.update.step(batch_of(self.step.policy, self.step.prompts, groups), advantages.flatten())
        return sum(map(len, completions))


def run_row(model: str, name: str, turns: int) -> dict[str, Any]:
    """Both sides in turn; their learning rate is small enough that the model stays what it is."""
    sides: dict[str, Any] = {"srpo": Ours(Step(model, *ROWS[name])), "trl": Theirs(Step(model, *ROWS[name]))}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    tokens: dict[str, list[int]] = {side: [] for side in sides}
    for turn in range(turns + 1):
        for side, one in sides.items():
            start = time.process_time()
            count = one.run()
            if turn:
                seconds[side].append(time.process_time() - start)
                tokens[side].append(count)
    each = {side: sum(tokens[side]) / turns for side in sides}
    per_token = {side: sum(seconds[side]) / sum(tokens[side]) for side in sides}
    prompt = sides["srpo"].step.prompts[0]
    return {
        "model": Path(model).parent.name or model, "prompts": len(sides["srpo"].step.prompts), "group": GROUP,
        "limit": LIMIT, "image_tokens": prompt.num_image_tokens, "prompt_tokens": prompt.num_tokens, **ratio(seconds),
        "tokens": each, "trl_over_srpo_per_token": round(per_token["trl"] / per_token["srpo"], 2),
        "versions": versions(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, default=AT)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="one turn of the demo, which is printed and not kept")
    parser.add_argument("--model", default="tiny-base")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", choices=tuple(ROWS), nargs="*", default=tuple(ROWS))
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        say(run_row(given.model, given.row, given.turns))
        return
    python = ensure(given.env)
    for name in ("demo",) if given.short else given.only:
        ask = ("--row", name, "--turns", 1 if given.short else given.turns, "--model", given.model)
        keep_row(out_of(given), name, one_process(python, "benchmarks.trl_step", *ask))


if __name__ == "__main__":
    main()
