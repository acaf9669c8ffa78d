"""The parts of an RL step around the model: which problems, which groups, what is logged, what is refused."""

from collections import Counter
from typing import Any

import pytest
import torch

from srpo.core.records import (
    Attempt,
    FormatError,
    Grade,
    GradedText,
    Origin,
    Problem,
    Response,
    Reward,
    Style,
    Term,
    TokenCounts,
    Trace,
)
from srpo.grading import Grader
from srpo.policy.optim import Optimizer
from srpo.policy.policy import Policy
from srpo.policy.processor import EncodedPrompt
from srpo.policy.prompts import PromptEncoder
from srpo.rl.checks import check_format_rate, without_signal
from srpo.rl.config import RlConfig, _say_renamed
from srpo.rl.losses import LossStats
from srpo.rl.metrics import MinibatchStats, PhaseTimer, PieceStats, rollout_metrics, update_metrics
from srpo.rl.problems import ProblemStream, RlProblems, gradable
from srpo.rl.reward import reward_function
from srpo.rl.roll_ins import AttemptBuffer
from srpo.rl.rollout import Rollout, Trajectory, TrajectoryGroup, add_advantages, is_worth_learning, sampling_seed
from srpo.rl.sampler import LocalSampler
from srpo.rl.train import choose_traces, collect
from srpo.rl.trainer import Progress, RlTrainer

PROMPT = EncodedPrompt(input_ids=torch.tensor([1, 2, 3]))
RESPONSE = Response(first=Attempt(think="", answer="1"), reflection="I see", second=Attempt(think="", answer="2"))


def config(**changes: object) -> RlConfig:
    return RlConfig.model_validate({"model": "m", "data": "d.jsonl", "steps": 10, "num_prompts": 4, **changes})


def sample(first: bool, final: bool, *, form: bool = True, total: float | None = None, length: int = 4) -> Trajectory:
    def grade(right: bool) -> Grade:
        return Grade(verdict="correct" if right else "incorrect", extracted=None, reason="")

    value = 0.5 * form + 0.5 * first + (0.25 if final else 0) if total is None else total
    trace = Trace(
        origin=Origin(stage="rl", model="m"),
        problem=Problem(id="1", question="?", answer="2"),
        text="text",
        parsed=RESPONSE if form else FormatError(where=3, what="expected <think>"),
        first_grade=grade(first),
        final_grade=grade(final),
        reward=Reward(
            terms=(Term(name="format", score=float(form), weight=0.5), Term(name="all", score=value, weight=1))
        ),
        tokens=TokenCounts(prompt=3, total=length, first=2, truncated=not form),
    )
    return Trajectory(token_ids=(5,) * length, logprobs=(-1.0,) * length, trace=trace)


def group(*samples: Trajectory) -> TrajectoryGroup:
    return TrajectoryGroup(problem=samples[0].trace.problem, prompt=PROMPT, trajectories_G=samples)


def rollout(*groups: TrajectoryGroup, **changes: object) -> Rollout:
    return Rollout(list(groups), [is_worth_learning(one, config(**changes)) for one in groups], 0)


MIXED = group(sample(True, True), sample(False, False))
ALL_RIGHT = group(sample(True, True, total=1.0), sample(True, True, total=1.1))
FIRST_DIFFERS = group(sample(True, True), sample(False, True))
ALL_SAME = group(sample(False, False), sample(False, False))


def ungradable() -> TrajectoryGroup:
    unknown = Grade(verdict="ungradable", extracted=None, reason="?")
    bare = sample(True, True)
    trace = bare.trace.model_copy(update={"reward": None, "first_grade": unknown, "final_grade": unknown})
    return group(*[Trajectory(token_ids=bare.token_ids, logprobs=bare.logprobs, trace=trace)] * 2)


def test_stream_visits_every_problem_once_per_epoch_and_can_be_forwarded() -> None:
    problems = [Problem(id=str(number), question="?", answer="1") for number in range(7)]
    stream = ProblemStream(problems, seed=3)
    ids = [problem.id for problem in stream.take(21)]
    assert all(Counter(ids[start : start + 7]) == dict.fromkeys("0123456", 1) for start in (0, 7, 14))
    assert ids[:7] != ids[7:14]
    resumed = ProblemStream(problems, seed=3, position=10)
    assert [problem.id for problem in resumed.take(11)] == ids[10:]
    assert [problem.id for problem in ProblemStream(problems, seed=4).take(7)] != ids[:7]


def test_sampling_seeds_differ_by_place_and_not_by_process() -> None:
    assert sampling_seed(0, "train", 1, 0) == 4356526685942225767
    seeds = {
        sampling_seed(seed, "train", step, round_) for seed in range(3) for step in range(5) for round_ in range(2)
    }
    assert len(seeds) == 30


@pytest.mark.parametrize(
    ("online_filter", "kept"),
    [
        ("off", [MIXED, ALL_RIGHT, FIRST_DIFFERS]),
        ("final", [MIXED]),
        ("outcome", [MIXED, FIRST_DIFFERS]),
    ],
)
def test_online_filter(online_filter: str, kept: list[TrajectoryGroup]) -> None:
    groups = [MIXED, ALL_RIGHT, FIRST_DIFFERS, ALL_SAME, ungradable()]
    assert [one for one in groups if is_worth_learning(one, config(online_filter=online_filter))] == kept


class EverySecondGroupDiffers(Grader):
    """Calls the first response of every second group right and all others wrong, whatever they say."""

    def __init__(self, group_size: int) -> None:
        super().__init__(symbolic=False)
        self.group_size, self.num_graded = group_size, 0

    def grade_response(self, problem: Problem, text: str, style: Style) -> GradedText:
        group, sample = divmod(self.num_graded, self.group_size)
        self.num_graded += 1
        verdict = Grade(verdict="correct" if group % 2 and not sample else "incorrect", extracted=None, reason="")
        return GradedText(Attempt(think="", answer=""), verdict, verdict)


def trainer(policy: Policy, problems: list[Problem], **changes: object) -> RlTrainer:
    settings = config(style="single", preset="answer", group_size=2, max_tokens=3, **changes)
    return RlTrainer(
        config=settings,
        policy=policy,
        reference=None,
        sampler=LocalSampler(policy),
        optimizer=Optimizer(policy.model, settings.optim, None),
        encoder=PromptEncoder(policy, "bare", size=8, max_pixels=None),
        grader=EverySecondGroupDiffers(settings.group_size),
        reward=reward_function(settings),
        problems=RlProblems(tuple(problems), 0, (), ""),
        stream=ProblemStream(problems, seed=0),
        earlier=AttemptBuffer(0, ()),
        origin=Origin(stage="rl", model="m"),
        timer=PhaseTimer(),
    )


def test_refills_are_bounded_and_counted(tiny_policy: Policy) -> None:
    problems = [Problem(id=str(number), question=f"{number}?", answer="1") for number in range(9)]
    bounded = trainer(tiny_policy, problems, max_refills=2)
    collected = collect(bounded, step=3)
    # Of 4 groups 2 differ, of the 2 in their place 1, and the last one does not.
    assert collected.is_kept == [False, True, False, True, False, True, False]
    assert collected.num_refilled == 3
    assert bounded.stream.position == 7
    assert collected.num_tokens == sum(len(one.token_ids) for found in collected.groups for one in found.trajectories_G)
    assert {trace.origin.step for found in collected.groups for trace in found.traces} == {3}
    samplings = [found.traces[0].origin.sampling for found in collected.groups]
    assert [sampling and sampling.seed for sampling in samplings] == [
        sampling_seed(0, "train", 3, refill) for refill in (0, 0, 0, 0, 1, 1, 2)
    ]
    enough = collect(trainer(tiny_policy, problems, num_prompts=1, max_refills=5), step=1)
    assert (enough.is_kept, enough.num_refilled) == ([False, True], 1)


def test_problems_whose_pictures_cannot_be_read_are_missing_from_a_rollout(tiny_policy: Policy) -> None:
    unreadable = Problem(id="1", question="?", answer="1", images=("/nowhere.png",))
    collected = collect(trainer(tiny_policy, [unreadable], max_refills=1), step=1)
    assert (collected.groups, collected.num_refilled, collected.num_tokens) == ([], 0, 0)


def test_metrics_are_about_everything_that_was_sampled() -> None:
    right = group(sample(True, True), sample(True, True))
    repaired = group(sample(False, True), sample(False, False, form=False))
    metrics = rollout_metrics(rollout(right, repaired, ungradable(), ungradable()))
    assert metrics["rl/groups/sampled"] == 4
    assert metrics["rl/groups/kept"] == 1
    assert metrics["rl/groups/no_signal"] == 1
    assert metrics["rl/groups/ungradable"] == 2
    assert metrics["rl/first_accuracy"] == 0.5
    assert metrics["rl/final_accuracy"] == 0.75
    assert metrics["rl/outcome/w2r"] == 0.25
    assert sum(metrics[f"rl/outcome/{key}"] for key in ("r2r", "w2r", "r2w", "w2w")) == 1
    assert metrics["rl/format_rate"] == metrics["rl/format/mean"] == 0.75
    assert metrics["rl/truncated"] == 0.25
    assert metrics["rl/response_tokens/mean"] == 4


def test_a_step_without_graded_groups_still_has_metrics() -> None:
    metrics = rollout_metrics(rollout(*[ungradable()] * 4))
    assert metrics["rl/groups/ungradable"] == 4
    assert metrics["rl/first_accuracy"] == 0
    assert update_metrics([]) == {}


def test_sampler_and_trainer_are_compared_before_the_first_update_only() -> None:
    def piece(num_tokens: int, mismatch: float, ratio: float) -> PieceStats:
        stats = LossStats(num_tokens, ratio, ratio, 0.0, 0.0, 0.0)
        return PieceStats(0.5, stats, entropy=1.0, mismatch=mismatch, mismatch_max=2 * mismatch)

    first = MinibatchStats([piece(1, 0.1, 1.0), piece(3, 0.2, 1.0)], grad_norm=1.0)
    second = MinibatchStats([piece(4, 9.0, 2.0)], grad_norm=3.0)
    metrics = update_metrics([first, second])
    assert metrics["rl/sampler_mismatch"] == pytest.approx(0.175)
    assert metrics["rl/sampler_mismatch/max"] == 0.4
    assert metrics["rl/ratio"] == 1.5
    # The pieces of a minibatch add up to its loss.
    assert metrics["rl/loss"] == 0.75
    assert metrics["rl/grad_norm"] == 2.0


def test_kept_groups_have_an_advantage_for_every_token_and_others_none() -> None:
    found = rollout(MIXED, ALL_SAME, FIRST_DIFFERS, ungradable(), online_filter="outcome")
    credited = add_advantages(found, config(online_filter="outcome"))
    advantages = [[one.advantages for one in group.trajectories_G] for group in credited.groups]
    assert advantages == [[(1.0,) * 4, (-1.0,) * 4], [(), ()], [(1.0,) * 4, (-1.0,) * 4], [(), ()]]
    assert credited.kept == [credited.groups[0], credited.groups[2]]
    plain = add_advantages(found, config(online_filter="outcome", loss={"variant": "dr_grpo"}))
    assert plain.groups[2].trajectories_G[0].advantages == (0.25,) * 4, "without the division by the deviation"


def test_chosen_traces_rotate_and_carry_the_advantage_of_kept_groups() -> None:
    credited = add_advantages(rollout(MIXED, ALL_SAME, FIRST_DIFFERS, group(*MIXED.trajectories_G)), config())
    chosen = choose_traces(credited, step=1, count=3)
    assert [trace.advantage for trace in chosen] == [-1.0, None, None]
    assert chosen[2].first_grade == FIRST_DIFFERS.traces[1].first_grade
    assert choose_traces(credited, step=2, count=1)[0].advantage == 1.0
    every = [trace for found in credited.groups for trace in found.traces]
    chosen = choose_traces(credited, step=1, count=99)
    assert len(chosen) == len(every)
    assert all(trace in chosen for trace in every)
    assert chosen[:3] == choose_traces(credited, step=1, count=3)


def test_a_partly_set_optimizer_keeps_the_defaults_of_rl() -> None:
    optim = config(optim={"lr": 0.1}).optim
    assert (optim.lr, optim.schedule, optim.warmup_steps) == (0.1, "constant", 5)
    assert config().optim.lr == 1e-6


def test_format_check_says_rate_example_and_remedy() -> None:
    traces = [one.trace for one in (sample(True, True), *[sample(False, False, form=False)] * 3)]
    check_format_rate(traces, "reflective", 0.25)
    with pytest.raises(ValueError, match=r"format rate 25\.0% .* below min_format_rate 30\.0%") as caught:
        check_format_rate(traces, "reflective", 0.3)
    for part in ("at character 3: expected <think>", "'text'", "srpo sft", "max_tokens: 3 of 3"):
        assert part in str(caught.value)


def test_steps_that_learned_nothing_are_said() -> None:
    rows = [{"rl/eval/final_accuracy": 0.5}, {"rl/groups/kept": 0.0}, {"rl/groups/kept": 4.0}, {"rl/groups/kept": 0.0}]
    assert (without_signal(rows) or "").startswith("2 of 3 steps learned nothing")
    assert without_signal([{"rl/groups/kept": 1.0}]) is None
    assert without_signal([]) is None


def test_ungradable_golds_are_left_out_by_name() -> None:
    good = Problem(id="good", question="How many?", answer="3")
    bad = Problem(id="bad", question="How many?", answer="")
    found = gradable([good, bad], "d")
    assert found.problems == (good,)
    assert [name for name, _ in found.ungradable] == ["bad"]
    with pytest.raises(ValueError, match="'d' has no problem whose gold"):
        gradable([bad], "d")


def test_a_run_ends_at_steps_or_tokens_whichever_comes_first() -> None:
    both = config(token_budget=100)
    assert not Progress(9, 99).is_over(both)
    assert Progress(10, 0).is_over(both)
    assert Progress(1, 100).is_over(both)
    assert not Progress(1000, 99).is_over(config(steps=None, token_budget=100))


def test_the_share_done_is_that_of_whatever_ends_sooner() -> None:
    both = config(token_budget=100)
    shares = [Progress(*reached).share(both) for reached in ((0, 0), (5, 20), (5, 80), (10, 0))]
    assert shares == [0.0, 0.5, 0.8, 1.0]
    assert Progress(7, 25).share(config(steps=None, token_budget=100)) == 0.25


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "never end"),
        ({"steps": None, "token_budget": 9, "optim": {"warmup_steps": None}}, "warmup_steps"),
        ({"style": "single"}, "pays for a reflection"),
        ({"style": "single", "preset": "answer", "credit": "segment"}, "needs two attempts"),
        ({"preset": "answer", "credit": "segment"}, "a reward for each attempt"),
        ({"filter_low": 0.9, "filter_high": 0.1}, "must be below"),
        ({"loss": {"minibatches": 5}}, "holds whole groups"),
    ],
)
def test_config_refuses_what_cannot_work(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


@pytest.mark.parametrize("old", ["grpo", "final"])
def test_the_old_names_of_preset_answer_are_taken_with_a_note(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    _say_renamed.cache_clear()
    config = RlConfig.model_validate({"model": "m", "data": "d.jsonl", "steps": 1, "preset": old})
    assert config.preset == "answer"
    assert f"preset {old!r} is called 'answer' now" in capsys.readouterr().err
