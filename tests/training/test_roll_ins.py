"""Roll-ins and masked first attempts: what is given or masked is part of the context and of nothing else."""

import math
from pathlib import Path

import pytest
import torch

from srpo.core.records import Attempt, Grade, GradedText, Origin, Problem, Response, Style, TokenCounts
from srpo.grading import Grader
from srpo.policy.load import load_policy
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.prompts import PromptEncoder
from srpo.rl.config import RlConfig
from srpo.rl.losses import policy_loss
from srpo.rl.metrics import PhaseTimer, rollout_metrics
from srpo.rl.problems import ProblemStream, RlProblems
from srpo.rl.reward import reward_function
from srpo.rl.roll_ins import AttemptBuffer, wrong_first_attempts
from srpo.rl.rollout import Trajectory, TrajectoryGroup, add_advantages
from srpo.rl.sampler import LocalSampler
from srpo.rl.train import accumulate_gradients, choose_traces, collect
from srpo.rl.trainer import RlTrainer
from tests.support.training import problems, rl_config, trace

WRONG_FIRST = "<think>a</think><answer>22</answer>"


class AlwaysWrongAtFirst(Grader):
    """Sees a complete first attempt in whatever is written, wrong, and every other final answer right."""

    def __init__(self) -> None:
        super().__init__(symbolic=False)
        self.num_graded = 0

    def grade_response(self, problem: Problem, text: str, style: Style) -> GradedText:
        self.num_graded += 1
        right = "correct" if self.num_graded % 2 else "incorrect"
        attempt = Attempt(think="", answer="")
        return GradedText(
            Response(first=attempt, reflection="the red bar", second=attempt),
            Grade(verdict="incorrect", extracted=None, reason=""),
            Grade(verdict=right, extracted=None, reason=""),
        )


def trainer(policy: Policy, **changes: object) -> RlTrainer:
    drawn = problems()[:4]
    config = RlConfig.model_validate(
        {"model": "m", "data": "d.jsonl", "steps": 1, "num_prompts": 4, "group_size": 2, "max_tokens": 40, **changes}
    )
    return RlTrainer(
        config=config,
        policy=policy,
        reference=None,
        sampler=LocalSampler(policy),
        optimizer=Optimizer(policy.model, config.optim, None),
        encoder=PromptEncoder(policy, "bare", size=8, max_pixels=None),
        grader=AlwaysWrongAtFirst(),
        reward=reward_function(config),
        problems=RlProblems(tuple(drawn), 0, (), ""),
        stream=ProblemStream(drawn, seed=0),
        earlier=AttemptBuffer(config.roll_in_buffer, drawn),
        origin=Origin(stage="rl", model="m"),
        timer=PhaseTimer(),
    )


def group(
    policy: Policy, *texts: str, num_masked: int = 0, advantage: float = 1.0, first: str = WRONG_FIRST
) -> TrajectoryGroup:
    problem = problems()[0]
    encoder = PromptEncoder(policy, "bare", size=8, max_pixels=None)
    (prompt,) = encoder.encode_all([problem])
    found = []
    for text in texts:
        tokens = tuple(policy.encode_text(text))
        num_first = len(policy.encode_text(first)) - 1 if text.startswith(first) else 0
        counts = TokenCounts(prompt=prompt.num_tokens, first=num_first, total=len(tokens))
        found.append(
            Trajectory(
                token_ids=tokens,
                logprobs=(-3.0,) * len(tokens),
                trace=trace(problem, "9").model_copy(update={"tokens": counts}),
                advantages=(0.0,) * num_masked + (advantage,) * (len(tokens) - num_masked),
                num_masked=num_masked,
            )
        )
    return TrajectoryGroup(problem=problem, prompt=prompt, trajectories_G=tuple(found))


def test_a_roll_in_goes_on_from_a_wrong_and_complete_first_attempt(tiny_policy: Policy) -> None:
    whole = group(tiny_policy, f"{WRONG_FIRST}<reflection>b</reflection>", "no answer here")
    cut = group(tiny_policy, "no answer here", "none here")
    starts = wrong_first_attempts([whole, cut], 5, seed=0)
    assert [tiny_policy.decode(start.given) for start in starts] == [WRONG_FIRST]
    assert wrong_first_attempts([whole] * 3, 2, seed=0) == wrong_first_attempts([whole] * 3, 2, seed=0)
    assert len(wrong_first_attempts([whole] * 3, 2, seed=0)) == 2


def test_a_step_samples_from_given_attempts_and_counts_them_apart() -> None:
    base = load_policy("tiny-base")
    made = trainer(base, roll_ins=0.5, max_refills=0)
    rollout = collect(made, step=1)
    onward = [one for one in rollout.groups if one.is_roll_in]
    own = [one for one in rollout.groups if not one.is_roll_in]
    assert (len(own), len(onward)) == (4, 2)
    starts = {one.token_ids[: one.lengths.first] for found in own for one in found.trajectories_G}
    for found in onward:
        ids = {one.token_ids[: one.num_given] for one in found.trajectories_G}
        assert len(ids) == 1
        assert ids <= starts
        assert all(one.num_masked == one.num_given > 0 for one in found.trajectories_G)
    sampled = sum(len(one.token_ids) - one.num_given for found in rollout.groups for one in found.trajectories_G)
    assert rollout.num_tokens == sampled
    metrics = rollout_metrics(rollout)
    assert (metrics["rl/groups/sampled"], metrics["rl/roll_ins/groups"]) == (4, 2)
    assert metrics["rl/roll_ins/repaired"] == 0.5
    assert not any(found in onward for found in rollout.groups[:4])
    assert len(choose_traces(rollout, 1, 99)) == sum(len(found.traces) for found in rollout.groups[:4])
    again = collect(trainer(base, roll_ins=0.5, max_refills=0), step=1)
    assert [found.traces for found in again.groups] == [found.traces for found in rollout.groups]


def test_a_buffer_keeps_the_newest_wrong_attempts_once_within_its_tokens(tiny_policy: Policy, tmp_path: Path) -> None:
    seconds = [f"<think>{word}</think><answer>22</answer>" for word in ("a", "b", "a", "c")]
    groups = [group(tiny_policy, f"{text}<reflection>b</reflection>", first=text) for text in seconds]
    size = len(tiny_policy.encode_text(WRONG_FIRST)) - 1
    buffer = AttemptBuffer(2 * size, problems())
    buffer.add([*groups[:3], group(tiny_policy, "no answer here")])
    assert (len(buffer), buffer.num_tokens) == (2, 2 * size)
    buffer.add(groups[3:])
    assert buffer.num_tokens == 2 * size
    encoder = PromptEncoder(tiny_policy, "bare", size=8, max_pixels=None)
    drawn = {tiny_policy.decode(buffer.draw(encoder, 5, seed)[0].given) for seed in range(20)}
    assert drawn == {seconds[1], seconds[3]}, "the first one was the oldest"
    assert len(buffer.draw(encoder, 5, seed=0)) == 1, "one attempt of a problem"
    buffer.save(tmp_path)
    again = AttemptBuffer(2 * size, problems())
    again.load(tmp_path)
    assert [again.draw(encoder, 1, seed) for seed in range(9)] == [buffer.draw(encoder, 1, seed) for seed in range(9)]
    nothing = AttemptBuffer(0, problems())
    nothing.add(groups)
    assert nothing.draw(encoder, 5, seed=0) == []


def test_roll_ins_come_from_earlier_steps_first_and_from_this_one_where_those_are_too_few() -> None:
    made = trainer(load_policy("tiny-base"), roll_ins=0.5, max_refills=0, roll_in_buffer=1000, num_prompts=2)
    first = collect(made, step=1)
    kept = len(made.earlier)
    assert kept > 0
    (own,) = (found for found in first.groups if found.is_roll_in)
    assert own.problem in {found.problem for found in first.groups if not found.is_roll_in}
    second = collect(made, step=2)
    (earlier,) = (found for found in second.groups if found.is_roll_in)
    assert earlier.problem in {found.problem for found in first.groups}
    assert earlier.problem not in {found.problem for found in second.groups if not found.is_roll_in}
    assert all(one.num_masked == one.num_given > 0 for one in earlier.trajectories_G)
    assert len(made.earlier) > kept


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo", "gspo", "cispo"])
def test_masked_tokens_carry_no_loss(tiny_policy: Policy, variant: str) -> None:
    num_given = len(tiny_policy.encode_text(WRONG_FIRST)) - 1
    texts = (f"{WRONG_FIRST}<reflection>b</reflection>", f"{WRONG_FIRST}<reflection>red</reflection>")
    config = rl_config(Path("m"), loss={"variant": variant})

    def learn(advantage_of_given: float, logprob_of_given: float) -> tuple[float, float]:
        made = group(tiny_policy, *texts, num_masked=num_given)
        changed = tuple(
            Trajectory(
                token_ids=one.token_ids,
                logprobs=(logprob_of_given,) * num_given + one.logprobs[num_given:],
                trace=one.trace,
                advantages=(advantage_of_given,) * num_given + one.advantages[num_given:],
                num_masked=num_given,
            )
            for one in made.trajectories_G
        )
        made = TrajectoryGroup(problem=made.problem, prompt=made.prompt, trajectories_G=changed)
        (piece,) = accumulate_gradients(tiny_policy, None, [made], config, on_policy=False)
        norm = math.sqrt(
            sum(float(w.grad.square().sum()) for w in tiny_policy.model.parameters() if w.grad is not None)
        )
        tiny_policy.model.zero_grad(set_to_none=True)
        return piece.loss, norm

    plain = learn(0.0, -3.0)
    assert plain[1] > 0
    assert learn(50.0, -9.0) == pytest.approx(plain, rel=1e-5)


def test_a_share_of_first_attempts_is_masked_and_the_choice_is_seeded() -> None:
    made = trainer(load_policy("tiny-base"), mask_first=0.5, max_refills=0, online_filter="off")
    rollout = collect(made, step=1)
    once, twice = (add_advantages(rollout, made.config) for _ in range(2))
    masked = [one.num_masked for found in once.kept for one in found.trajectories_G]
    assert masked == [one.num_masked for found in twice.kept for one in found.trajectories_G]
    assert all(
        mask in (0, one.lengths.first)
        for found in once.kept
        for one in found.trajectories_G
        for mask in [one.num_masked]
    )


def test_the_kl_can_be_paid_by_the_first_attempt_alone() -> None:
    logprobs = torch.tensor([[-1.0, -1.0, -1.0]], requires_grad=True)
    reference = torch.tensor([[-2.0, -2.0, -2.0]])
    first = torch.tensor([[True, False, False]])
    mask = torch.ones(1, 3, dtype=torch.bool)

    def gradient(kl_mask: torch.Tensor | None) -> list[float]:
        (found,) = torch.autograd.grad(
            policy_loss(
                "grpo",
                logprobs_B_T=logprobs,
                old_logprobs_B_T=logprobs.detach(),
                advantages=torch.zeros(1),
                mask_B_T=mask,
                reference_logprobs_B_T=reference,
                kl_coef=1.0,
                kl_mask_B_T=kl_mask,
            ).loss,
            logprobs,
        )
        return [round(value, 6) for value in found[0].tolist()]

    everywhere, at_first = gradient(None), gradient(first)
    assert everywhere[0] == at_first[0] > 0
    assert at_first[1:] == [0.0, 0.0]


def test_single_attempts_have_nothing_to_go_on_from() -> None:
    for changes in ({"roll_ins": 0.5}, {"recombine": 0.5}, {"mask_first": 0.5}, {"loss": {"kl_on": "first"}}):
        with pytest.raises(ValueError, match="which style 'single' lacks; leave them out"):
            RlConfig.model_validate(
                {"model": "m", "data": "d", "steps": 1, "style": "single", "preset": "answer", **changes}
            )


def test_a_buffer_that_nothing_goes_on_from_is_refused() -> None:
    with pytest.raises(ValueError, match="roll_in_buffer 500 keeps first attempts that nothing goes on from"):
        RlConfig.model_validate({"model": "m", "data": "d", "steps": 1, "roll_in_buffer": 500})
