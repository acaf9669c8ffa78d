"""The parts of an RL step around the model: which problems, which groups, what is logged, what is refused."""

from collections import Counter
from typing import Any

import pytest
import torch

from srpo.core.records import Attempt, FormatError, Grade, Origin, Problem, Response, Reward, Term, TokenCounts, Trace
from srpo.policy.processor import EncodedPrompt
from srpo.rl.batches import ProblemStream, collect, is_worth_learning
from srpo.rl.checks import check_format_rate, gradable
from srpo.rl.config import RlConfig, _say_renamed
from srpo.rl.credit import TokenCredit
from srpo.rl.metrics import rollout_metrics
from srpo.rl.rollout import Group, Sample, sampling_seed
from srpo.rl.run import Progress, is_over, share_done
from srpo.rl.train import choose_traces

PROMPT = EncodedPrompt(input_ids=torch.tensor([1, 2, 3]))
RESPONSE = Response(first=Attempt(think="", answer="1"), reflection="I see", second=Attempt(think="", answer="2"))


def config(**changes: Any) -> RlConfig:
    return RlConfig.model_validate({"model": "m", "data": "d.jsonl", "steps": 10, "num_prompts": 4, **changes})


def sample(first: bool, final: bool, *, form: bool = True, total: float | None = None, length: int = 4) -> Sample:
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
    return Sample(token_ids=(5,) * length, logprobs=(-1.0,) * length, first_tokens=2, trace=trace)


def group(*samples: Sample) -> Group:
    return Group(problem=samples[0].trace.problem, prompt=PROMPT, samples_G=samples)


MIXED = group(sample(True, True), sample(False, False))
ALL_RIGHT = group(sample(True, True, total=1.0), sample(True, True, total=1.1))
FIRST_DIFFERS = group(sample(True, True), sample(False, True))
ALL_SAME = group(sample(False, False), sample(False, False))


def ungradable() -> Group:
    unknown = Grade(verdict="ungradable", extracted=None, reason="?")
    bare = sample(True, True)
    trace = bare.trace.model_copy(update={"reward": None, "first_grade": unknown, "final_grade": unknown})
    return group(*[Sample(token_ids=bare.token_ids, logprobs=bare.logprobs, first_tokens=2, trace=trace)] * 2)


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
def test_online_filter(online_filter: str, kept: list[Group]) -> None:
    groups = [MIXED, ALL_RIGHT, FIRST_DIFFERS, ALL_SAME, ungradable()]
    assert [one for one in groups if is_worth_learning(one, config(online_filter=online_filter))] == kept


def test_refills_are_bounded_and_counted() -> None:
    asked: list[tuple[int, int]] = []

    def draw(count: int, round_: int) -> list[Group]:
        asked.append((count, round_))
        return [MIXED if place % 2 else ALL_SAME for place in range(count)]

    collected = collect(draw, config(max_refills=2))
    assert asked == [(4, 0), (2, 1), (1, 2)]
    assert (len(collected.sampled), len(collected.kept), collected.num_refilled) == (7, 3, 3)
    # Problems whose pictures cannot be read are missing from a draw.
    assert collect(lambda count, _: [MIXED] * (count - 1), config(max_refills=1)).num_refilled == 0
    collected = collect(lambda count, _: [MIXED] * count, config(max_refills=2))
    assert (len(collected.kept), collected.num_refilled) == (4, 0)


def test_metrics_are_about_everything_that_was_sampled() -> None:
    right = group(sample(True, True), sample(True, True))
    repaired = group(sample(False, True), sample(False, False, form=False))
    groups = iter([right, repaired, ungradable(), ungradable()])
    metrics = rollout_metrics(collect(lambda count, _: [next(groups) for _ in range(count)], config(max_refills=0)))
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
    metrics = rollout_metrics(collect(lambda count, _: [ungradable()] * count, config(max_refills=0)))
    assert metrics["rl/groups/ungradable"] == 4
    assert metrics["rl/first_accuracy"] == 0


def test_chosen_traces_rotate_and_carry_the_advantage_of_kept_groups() -> None:
    groups = iter([MIXED, ALL_SAME, FIRST_DIFFERS, group(*MIXED.samples_G)])
    filtered = config(max_refills=0, online_filter="outcome")
    collected = collect(lambda count, _: [next(groups) for _ in range(count)], filtered)
    given = [[TokenCredit(place + 0.5, []), TokenCredit(-place - 0.5, [])] for place in range(3)]
    chosen = choose_traces(collected, given, step=1, count=3)
    assert [trace.advantage for trace in chosen] == [-0.5, None, -1.5]
    assert chosen[2].first_grade == FIRST_DIFFERS.samples_G[1].trace.first_grade
    assert choose_traces(collected, given, step=2, count=1)[0].advantage == 0.5


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
    assert not is_over(both, Progress(9, 99))
    assert is_over(both, Progress(10, 0))
    assert is_over(both, Progress(1, 100))
    assert not is_over(config(steps=None, token_budget=100), Progress(1000, 99))


def test_the_share_done_is_that_of_whatever_ends_sooner() -> None:
    both = config(token_budget=100)
    assert [share_done(both, Progress(step, tokens)) for step, tokens in ((0, 0), (5, 20), (5, 80), (10, 0))] == [
        0.0,
        0.5,
        0.8,
        1.0,
    ]
    assert share_done(config(steps=None, token_budget=100), Progress(7, 25)) == 0.25


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
