import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from srpo.core.records import Problem
from srpo.grading import Grader
from srpo.grading.rules.route import OutOfTime
from srpo.grading.symbolic import SymbolicPool, is_risky

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

pytestmark = pytest.mark.slow


def test_answers_survive_spent_cpu_time_and_leave_nothing_running() -> None:
    with SymbolicPool(cpu_s=20) as pool:
        assert pool.num_workers_alive == 0, "nothing starts before it is needed"
        assert pool.verify(r"\sum_{k=1}^{3} k", "6") is True
        assert pool.verify("x+1", "x+2") is False
        assert pool.verify("x+1", "no formula") is None or pool.verify("x+1", "no formula") is False

        pool.cpu_s = 1e-6
        with pytest.raises(OutOfTime):
            pool.verify("x+1", "1+x")
        assert (pool.num_timeouts, pool.num_workers_alive) == (1, 0)

        pool.cpu_s = 20
        assert pool.verify("x+1", "1+x") is True, "a killed worker is replaced"
        answers: list[bool | None] = []

        def verify(i: int) -> None:
            answers.append(pool.verify(f"x+{i}", f"{i}+x"))

        threads = [threading.Thread(target=verify, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [True] * 4
        workers = [worker.process for worker in pool._alive]
    assert all(process.poll() is not None for process in workers)
    with pytest.raises(ValueError, match="closed"):
        pool.verify("1", "1")


def test_workers_end_with_their_parent() -> None:
    program = (
        "from srpo.grading.symbolic import SymbolicPool\n"
        "pool = SymbolicPool()\n"
        "assert pool.verify('1', '1')\n"
        "print(pool._alive[0].process.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    from pathlib import Path

    assert not Path(f"/proc/{done.stdout.strip()}").exists()


@pytest.mark.parametrize("text", ["9^9^9^9", "10^{10^{10^{10}}}", "(" * 300, "10^100000", "1234!", "9" * 50, "x" * 500])
def test_risky_questions_are_refused(text: str) -> None:
    assert is_risky(text)
    pool = SymbolicPool()
    assert pool.verify("5", text) is None
    assert (pool.num_refused, pool.num_calls, pool.num_workers_alive) == (1, 0, 0)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="num_workers must be at least 1, not 0"):
        SymbolicPool(num_workers=0)
    with pytest.raises(ValueError, match="cpu_s must be positive"):
        SymbolicPool(cpu_s=0)


SUM = Problem(id="sum", question="", answer=r"\sum_{k=1}^{100} k^2")


def test_a_grader_starts_a_worker_when_the_rules_cannot_tell_and_stops_it_at_the_end() -> None:
    with Grader() as grader:
        assert grader._pool is not None
        grader._pool.cpu_s = 20
        assert grader.grade(SUM, "14 and no formula").verdict == "incorrect"
        assert grader._pool.num_workers_alive == 0
        assert grader.grade(SUM, r"\sum_{j=0}^{100} j^2").verdict == "correct"
        assert grader._pool.num_workers_alive == 1
    assert grader._pool.num_workers_alive == 0


def test_a_grader_says_when_it_ran_out_of_cpu_time(capsys: pytest.CaptureFixture[str]) -> None:
    with Grader() as grader:
        assert grader._pool is not None
        grader._pool.cpu_s = 1e-6
        assert grader.grade(SUM, r"\sum_{j=0}^{100} j^2").verdict == "undecided"
    assert "ran out of its CPU time on 1 comparisons" in capsys.readouterr().err


def test_a_busy_machine_changes_no_verdict() -> None:
    """A worker that gets no CPU for longer than its CPU time still answers."""
    with SymbolicPool(cpu_s=1.0) as pool:
        assert pool.verify("x+1", "1+x") is True
        worker = pool._alive[0].process
        worker.send_signal(signal.SIGSTOP)
        resume = threading.Timer(2.5, worker.send_signal, [signal.SIGCONT])
        resume.start()
        assert pool.verify(r"\sum_{k=1}^{3} k^2", r"\sum_{j=0}^{3} j^2") is True
        assert pool.num_timeouts == 0


def test_a_question_is_asked_once_and_an_idle_worker_is_taken_before_another_starts() -> None:
    with SymbolicPool(num_workers=3, cpu_s=20) as pool:
        for _ in range(3):
            assert pool.verify("x+1", "1+x") is True
            assert pool.verify("x+1", "2+x") is False
        assert (pool.num_calls, pool.num_workers_alive) == (2, 1)
    with pytest.raises(ValueError, match="closed"):
        pool.verify("x+1", "1+x")


def test_groups_that_wait_for_several_workers_are_graded_as_by_one(tiny_policy: "Policy") -> None:
    from srpo.core.records import Origin, Sampling
    from srpo.policy.decode import SampledCompletion
    from srpo.rl.rollout import SampledGroup, grade_groups

    prompt, sampling = tiny_policy.encode("5+3="), Sampling(max_tokens=9)
    groups = []
    for number in range(4):
        problem = Problem(id=str(number), question="", answer=rf"\sum_{{k=1}}^{{100}} k^2+{number}")
        texts = [rf"<think>a</think><answer>\sum_{{j=0}}^{{100}} j^2+{more}</answer>" for more in (number, number + 1)]
        ids = [tuple(tiny_policy.encode_text(text)) for text in texts]
        completions = [SampledCompletion(one, (0.0,) * len(one), truncated=False) for one in ids]
        groups.append(SampledGroup(problem, prompt, completions, sampling))

    def verdicts(num_workers: int) -> list[list[str]]:
        with Grader(num_workers=num_workers) as grader:
            assert grader._pool is not None
            grader._pool.cpu_s = 20
            graded = grade_groups(tiny_policy, grader, groups, "single", Origin(stage="rl", model=""))
            assert grader._pool.num_workers_alive <= num_workers
        assert [one.problem.id for one in graded] == ["0", "1", "2", "3"]
        return [[trace.final_grade.verdict for trace in one.traces] for one in graded]

    assert verdicts(3) == verdicts(1) == [["correct", "incorrect"]] * 4


def test_formulas_that_are_kept_are_those_that_were_read() -> None:
    """A worker that has seen a text before says what a new one says, whatever stood beside it then."""
    texts = [
        "x+1",
        "1+x",
        r"\int_{0}^{1} 2t dt",
        "1",
        r"\{1, 2\}",
        r"\{2, 1\}",
        "(1, 2)",
        "x = 3",
        "3",
        "0 < x < 3",
        ")(",
    ]
    pairs = [(one, other) for one in texts for other in texts]
    with SymbolicPool(cpu_s=20) as pool:
        first = {pair: pool._ask(*pair) for pair in pairs}
        again = {pair: pool._ask(*pair) for pair in reversed(pairs)}
    import math_verify

    from srpo.grading.symbolic_worker import _verify

    def read(text: str) -> object:
        config = [math_verify.LatexExtractionConfig()]
        return math_verify.parse(f"${text}$", extraction_config=config, parsing_timeout=None)

    slow = {pair: _verify(*pair, read, math_verify) for pair in pairs}  # type: ignore[arg-type]
    assert first == again == slow
    assert {True, False} <= set(slow.values())
