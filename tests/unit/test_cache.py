"""The cache of answers: kept across processes, kills and threads."""

import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import srpo
from srpo.models.cache import Answer, Choice, Paid, ResponseCache


def answer(text: str) -> Answer:
    return Answer(choices=(Choice(text=text, finish="stop"),), num_in=10, num_out=len(text))


def test_an_answer_comes_back(tmp_path: Path) -> None:
    with ResponseCache(tmp_path / "new" / "c.sqlite") as cache:
        assert cache.get(b"k") is None
        cache.put(b"k", answer("x ∈ ℝ"), model="m", usd=0.5)
        cache.put(b"k", answer("another"), model="m", usd=0.5)
        assert cache.get(b"k") == answer("x ∈ ℝ"), "the first answer stays"
    with ResponseCache(tmp_path / "new" / "c.sqlite") as cache:
        assert cache.get(b"k") == answer("x ∈ ℝ")
        assert len(cache) == 1


def test_what_a_job_paid(tmp_path: Path) -> None:
    with ResponseCache(tmp_path / "c", job="one") as one, ResponseCache(tmp_path / "c", job="two") as two:
        one.put(b"1", answer("a"), model="policy", usd=0.25)
        one.put(b"2", answer("bb"), model="policy", usd=0.25)
        one.put(b"3", answer("c"), model="teacher", usd=1.0)
        assert two.get(b"3") is not None, "jobs share answers"
        assert two.paid() == {}, "and nobody's bill"
        assert one.paid() == {"policy": Paid(2, 20, 3, 0.5), "teacher": Paid(1, 10, 1, 1.0)}


@pytest.mark.parametrize("row", ["", "{", '{"choices": 3}', "null", '{"foreign": true}'])
def test_a_row_that_is_no_answer_is_asked_for_again(tmp_path: Path, row: str) -> None:
    with ResponseCache(tmp_path / "c") as cache:
        cache.put(b"k", answer("x"), model="m", usd=0.0)
    with sqlite3.connect(tmp_path / "c") as connection:
        connection.execute("UPDATE answers SET answer = ?", (row,))
    connection.close()
    with ResponseCache(tmp_path / "c") as cache:
        assert cache.get(b"k") is None
        cache.put(b"k", answer("again"), model="m", usd=0.0)
        assert cache.get(b"k") == answer("again")


def test_absurd_numbers_do_not_make_the_file_unopenable(tmp_path: Path) -> None:
    with ResponseCache(tmp_path / "c", job="one") as cache:
        for key in (b"1", b"2"):
            cache.put(key, answer("x"), model="m", usd=0.5)
    with sqlite3.connect(tmp_path / "c") as connection:
        connection.execute("UPDATE answers SET num_in = ?", (2**63 - 1,))
    connection.close()
    with ResponseCache(tmp_path / "c", job="one") as cache:
        assert cache.paid()["m"].usd == 1.0


def test_threads(tmp_path: Path) -> None:
    with ResponseCache(tmp_path / "c") as cache, ThreadPoolExecutor(8) as threads:
        for _ in threads.map(lambda i: cache.put(bytes([i]), answer(str(i)), model="m", usd=0.0), range(100)):
            pass
        assert [cache.get(bytes([i])) for i in range(100)] == [answer(str(i)) for i in range(100)]


def test_what_put_returned_from_survives_a_kill(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from srpo.models.cache import Answer, Choice, ResponseCache
cache = ResponseCache(sys.argv[1])
for i in range(20):
    cache.put(bytes([i]), Answer(choices=(Choice(text=str(i), finish="stop"),), num_in=1, num_out=1), model="m", usd=0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = os.pathsep.join([str(Path(srpo.__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c")], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with ResponseCache(tmp_path / "c") as cache:
        assert len(cache) == 20


def test_something_else_than_a_cache(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(ValueError, match=r"notes.txt' cannot be used as a cache of answers: file is not a database"):
        ResponseCache(tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="cannot be used as a cache"):
        ResponseCache(tmp_path)
