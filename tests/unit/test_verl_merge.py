"""Journals of verl's processes become steps of a run, each once, whatever was killed; and advantages equal ours."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from srpo.core.advantages import assign_credit
from srpo.core.records import Origin, Problem, TokenCounts, Trace
from srpo.engines.payer import Payer
from srpo.engines.verl.journal import ORIGIN, PaidTrace, RewardJournal, RewardTails, Tail, groups_of
from srpo.engines.verl.launch import last_words
from srpo.engines.verl.plugin import segment_advantages
from srpo.engines.verl.reward import told

FIVE = (
    "<think>red is 3, blue is 4</think><answer>{first}</answer><reflection>the red bar ends at 3</reflection>"
    "<think>3+4=7, again</think><answer>{final}</answer>"
)
PROBLEM = Problem(id="bars", question="How many?", answer="7")
TINY = str(Path(__file__).parents[2] / "src/srpo/assets/tiny-base")


def paid_trace(step: int, sample: int, final: str = "7", *, uid: str = "u", split: str = "train") -> PaidTrace:
    text = FIVE.format(first="5", final=final)
    paid = Payer("paper", tokenizer=TINY).pay(PROBLEM, text)
    trace = Trace(
        origin=Origin(stage="rl", model="m", step=step),
        problem=PROBLEM,
        sample=sample,
        text=text,
        parsed=paid.case.parsed,
        first_grade=paid.case.first,
        final_grade=paid.case.final,
        reward=paid.reward,
        tokens=paid.case.tokens,
    )
    return PaidTrace.model_validate({"uid": uid, "step": step, "split": split, "trace": trace})


def begin(engine: Path, number: int, after: int) -> Path:
    launch = engine / f"launch-{number:03d}"
    launch.mkdir(parents=True)
    (launch / "after.json").write_text(json.dumps({"step": after}))
    (launch / ORIGIN).write_text(Origin(stage="rl", model="m").model_dump_json())
    return launch


def write_down(launch: Path, *written: PaidTrace) -> None:
    with closing(RewardJournal(launch)) as journal:
        for one in written:
            journal.add(one)


def test_a_tail_gives_every_complete_line_once(tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    tail = Tail(file)
    assert list(tail.lines()) == []
    file.write_text("a\nb\nhalf")
    assert [text.strip() for _, text in tail.lines()] == ["a", "b"]
    assert list(tail.lines()) == []
    with file.open("a") as out:
        out.write(" a line\nc\n")
    assert [(place.rpartition(":")[2], text.strip()) for place, text in tail.lines()] == [
        ("3", "half a line"),
        ("4", "c"),
    ]


def test_what_a_process_writes_down_is_read_back(tmp_path: Path) -> None:
    launch = begin(tmp_path, 1, 0)
    written = [paid_trace(1, sample) for sample in (1, 0)]
    write_down(launch, *written)
    tails = RewardTails(launch)
    assert list(tails.new()) == written
    assert list(tails.new()) == []
    assert [[trace.sample for trace in group] for group in groups_of(written)] == [[0, 1]]
    (launch / "rewards" / "other.jsonl").write_text('{"step": 1}\n')
    with pytest.raises(ValueError, match=r"other.jsonl:1: not a response of verl's reward manager \(uid: "):
        list(tails.new())


def test_segment_advantages_are_those_of_local_rl() -> None:
    payer = Payer("paper", tokenizer=TINY)
    texts = [FIVE.format(first=first, final=final) for first, final in (("7", "7"), ("5", "7"), ("7", "5"), ("5", "5"))]
    paid = [payer.pay(PROBLEM, text) for text in texts]
    infos: list[dict[str, Any]] = [told(one) for one in paid]
    lengths = [one.case.tokens.total for one in paid]
    # Two groups, interleaved, and a row without tokens that fills up the batch.
    uids = ["a", "b", "a", "b", "a"]
    rows = [0, 1, 2, 3, 0]
    found = segment_advantages([infos[row] for row in rows], uids, [*(lengths[row] for row in rows[:4]), 0], scale=True)
    assert found[4] == []
    for uid, members in (("a", (0, 2)), ("b", (1, 3))):
        rewards = [one for row in members if (one := paid[row].reward) is not None]
        counts = [TokenCounts(prompt=0, total=lengths[row], first=paid[row].case.tokens.first) for row in members]
        ours = assign_credit(rewards, counts, "segment")
        assert [found[place] for place in range(4) if uids[place] == uid] == [one.tokens for one in ours]
    assert found[0][0] != found[0][-1]
    assert any(found[0])


def test_groups_are_filtered_by_numbers_that_say_what_ours_says() -> None:
    payer = Payer("paper", tokenizer=TINY)
    right, repaired, broken = (
        told(payer.pay(PROBLEM, text))
        for text in (FIVE.format(first="7", final="7"), FIVE.format(first="5", final="7"), "7")
    )
    assert right["final_accuracy"] == repaired["final_accuracy"] == 1.0
    assert broken["final_accuracy"] == 0.0
    assert len({right["outcome"], repaired["outcome"], broken["outcome"]}) == 3
    assert "reward" not in right  # verl would take it for the reward itself


def test_what_a_log_says_of_a_failure_is_the_failure(tmp_path: Path) -> None:
    log = tmp_path / "log"
    warning = "engine: UserWarning: megatron engine is not available: ModuleNotFoundError('megatron')"
    log.write_text(f"{warning}\nstarting\nRuntimeError: out of memory\n")
    assert last_words(tmp_path) == f"from {log}:\n  RuntimeError: out of memory"
    log.write_text("ray.exceptions.AuthenticationError: Missing authentication token\n")
    assert "RAY_AUTH_MODE=token makes Ray send the cluster's token" in last_words(tmp_path)
    log.write_text(f"{warning}\nKilled\n")
    assert last_words(tmp_path).endswith("Killed")
