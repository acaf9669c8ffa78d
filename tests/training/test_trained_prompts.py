"""The prompt of a cold start goes with its model into RL, and long prompts are left out of both."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from srpo.core.prompts import as_prompt
from srpo.core.records import Problem
from srpo.policy.policy import Policy
from srpo.policy.prompts import PromptEncoder, saved_prompt
from srpo.rl.problems import RlProblems, leave_out_long
from srpo.rl.run import run as run_rl
from srpo.runs.directory import RunDir
from srpo.runs.rejects import count_rejected, read_rejected
from srpo.sft.examples import make_examples
from srpo.sft.run import run as run_sft
from tests.support.training import problems, rl_config, sft_config, trace, write_traces

LONG = Problem(id="long", question="How many bars? " * 40, answer="1", images=problems()[0].images)


def test_a_prompt_of_ones_own_goes_from_the_cold_start_into_rl(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("Look \\boxed{}. {problem}")
    mine = {"prompt": {"file": str(tmp_path / "mine.txt")}, "system": "5+3"}
    config = sft_config(tiny_checkpoint("qwen2_5_vl"), write_traces(tmp_path), max_steps=1, **mine)
    with RunDir.open(tmp_path / "sft", config, "sft") as run_dir:
        model = run_sft(config, run_dir).model
    prompt = saved_prompt(model)
    assert prompt is not None
    assert prompt.turns("?") == [("system", "5+3"), ("user", "Look \\boxed{}. ?")]
    settings = rl_config(Path(model), prompt=None, steps=1, min_format_rate=0)
    with RunDir.open(tmp_path / "rl", settings, "rl") as run_dir:
        run_rl(settings, run_dir)
        assert {found.origin.prompt for found in run_dir.traces()} == {prompt.label}
    assert saved_prompt(tmp_path / "rl" / "model") == prompt


def test_a_changed_prompt_file_is_noticed_when_a_run_goes_on(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("{problem}")
    model = tiny_checkpoint("qwen2_5_vl")
    for steps in (1, 2):
        config = rl_config(model, prompt={"file": str(tmp_path / "mine.txt")}, steps=steps, min_format_rate=0)
        with RunDir.open(tmp_path / "rl", config, "rl", may_grow=("steps",)) as run_dir:
            if steps == 1:
                run_rl(config, run_dir)
            else:
                with pytest.raises(ValueError, match="or the prompt around them, are not those that this run began"):
                    run_rl(config, run_dir)
        (tmp_path / "mine.txt").write_text("{problem} Think.")


def test_rl_leaves_long_prompts_out_and_names_them(tiny_policy: Policy, tmp_path: Path) -> None:
    encoder = PromptEncoder(tiny_policy, "bare", size=2, max_pixels=None)
    short = problems()[0]
    (count,) = [prompt.num_tokens for prompt in encoder.encode_all([short])]
    found = leave_out_long(RlProblems((short, LONG), 0, (), "digest"), encoder, count)
    assert found.train == (short,)
    (row,) = found.rejected
    assert (row.id, row.where, row.reason) == ("long", "prompt", "longer than max_prompt_tokens")
    with pytest.raises(ValueError, match=f"max_prompt_tokens {count - 1} leaves no problem to train on, e.g. "):
        leave_out_long(RlProblems((short,), 0, (), ""), encoder, count - 1)
    with pytest.raises(ValueError, match="leaves no problem to evaluate"):
        leave_out_long(RlProblems((short,), 0, (LONG,), ""), encoder, count)


def test_what_rl_leaves_out_is_in_its_directory(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [problem.model_dump(include={"id", "question", "answer"}) for problem in problems()[:6]]
    rows += [{"id": "long", "question": "bars " * 100, "answer": "1"}, {"id": "none", "question": "?", "answer": ""}]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    config = rl_config(tiny_checkpoint("qwen2_5_vl"), data=str(data), steps=1, min_format_rate=0, max_prompt_tokens=90)
    with RunDir.open(tmp_path / "rl", config, "rl") as run_dir:
        summary = run_rl(config, run_dir)
    assert summary.num_problems == 6
    assert summary.rejected == {
        "source": {"column 'answer': no answer": 1},
        "prompt": {"longer than max_prompt_tokens": 1},
    }
    assert count_rejected(read_rejected(tmp_path / "rl")) == summary.rejected


def test_the_cold_start_leaves_long_prompts_out_and_counts_them(tiny_policy: Policy) -> None:
    short = problems()[0]
    encoder = PromptEncoder(tiny_policy, as_prompt("bare"), size=2, max_pixels=None)
    (count,) = [prompt.num_tokens for prompt in encoder.encode_all([short])]
    traces = [trace(short, "9"), trace(LONG, "9"), trace(short, short.answer), trace(LONG, "1")]
    config = sft_config(Path("m"), Path("t"), max_prompt_tokens=count)
    examples = make_examples(traces, tiny_policy, config)
    assert len(examples.kept) == 2
    assert examples.dropped == {f"longer than max_prompt_tokens {count}": 2}
