"""The live view over runs on the disk: filters, pages, groups, word differences, runs that are still written."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from srpo.core.advantages import assign_credit
from srpo.core.records import Attempt, Record, Response, Trace
from srpo.core.response import render
from srpo.report.text import signed
from srpo.runs.directory import RunDir
from srpo.view.query import Query
from srpo.view.words import difference
from tests.support.html import Page
from tests.support.report_runs import reward, trace, traces, with_pictures, write_run
from tests.support.view_site import Viewed, viewed


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    write_run(folder / "rl", "rl", with_pictures(traces(40, 0.5, 0.3, 0.2, 1, stage="rl", step=3), folder / "pictures"))
    write_run(folder / "one", "eval", traces(60, 0.5, 0.3, 0.1, 2))
    write_run(folder / "two", "eval", traces(60, 0.6, 0.5, 0.1, 3))
    return folder


@pytest.fixture(scope="module")
def view(runs: Path) -> Iterator[Viewed]:
    with viewed(runs / "rl", runs / "one", runs / "two") as made:
        yield made


@pytest.fixture(scope="module")
def known(runs: Path) -> dict[str, list[Trace]]:
    return {name: list(RunDir.read(runs / name).traces()) for name in ("rl", "one", "two")}


def test_filters_find_what_a_reader_would_count(view: Viewed, known: dict[str, list[Trace]]) -> None:
    every = [one for made in known.values() for one in made]
    repaired = sum(one.outcome == "wrong→right" for one in every)
    spoiled = sum(one.outcome == "right→wrong" for one in every)
    assert repaired > 5 < spoiled
    assert view.found("") == len(every) == 160
    assert view.found("outcome=w2r") == repaired
    assert view.found("outcome=w2r&outcome=r2w") == repaired + spoiled
    assert view.found("run=one") == view.found("run=two") == 60
    assert view.found("stage=rl") == view.found("step_from=3") == view.found("step_to=3&step_from=2") == 40
    assert view.found("step_from=4") == 0
    assert view.found("family=clock") == sum(one.problem.family == "clock" for one in every)
    assert view.found("broken=1") == sum(not one.has_format for one in every) > 0
    effects = [one.reward.score("effect") for one in known["rl"] if one.reward]
    assert view.found("term=effect&term_from=0.3") == sum(score >= 0.3 for score in effects) > 0
    assert view.found("term=effect&term_to=-0.1") == sum(score <= -0.1 for score in effects) > 0
    assert view.found("term=nothing&term_from=0") == 0
    changed = [one for one in every if one.has_format and one.first_grade.extracted != one.final_grade.extracted]
    assert view.found("changed=1") == len(changed) > 0


def test_text_search_ignores_case_and_looks_into_every_text(view: Viewed, known: dict[str, list[Trace]]) -> None:
    assert view.found("q=NAME+THE+TALLER") == 160
    assert view.found("q=pairs-8") == 3
    assert view.found("q=not+in+any+of+them") == 0
    texts = [one.text.casefold() for made in known.values() for one in made]
    assert view.found("q=read+it+AGAIN") == sum("read it again" in text for text in texts) > 0


def test_flips_are_problems_that_one_run_gets_right_and_the_other_wrong(
    view: Viewed, known: dict[str, list[Trace]]
) -> None:
    right = {name: {one.problem.id for one in known[name] if one.final_grade.is_correct} for name in ("one", "two")}
    gained, lost = right["two"] - right["one"], right["one"] - right["two"]
    assert len(gained) > 3 < len(lost)
    assert view.found("a=one&b=two&flip=up") == 2 * len(gained)
    assert view.found("a=one&b=two&flip=down&run=two") == len(lost)
    assert view.found("a=one&b=two") == 2 * (len(gained) + len(lost))


def test_an_address_that_names_a_run_which_is_not_here_says_which_are(view: Viewed) -> None:
    label = view.index.runs[0].label
    for asked in (f"a={quote(label)}&b=gone", "run=gone"):
        assert "there is no run 'gone' here; there are" in Page(view.html("/", asked, 400)).text
    assert repr(label) in Page(view.html("/", "run=gone", 400)).text


def test_a_copied_reflection_is_found(tmp_path: Path) -> None:
    made = trace(1, True, True)
    assert isinstance(made.parsed, Response)
    think = "the red bar ends at five and the blue one at four, so nine"
    copied = Response(first=Attempt(think=think, answer="9"), reflection=f"Well, {think}", second=made.parsed.second)
    write_run(tmp_path / "run", "eval", [made, made.model_copy(update={"parsed": copied, "text": render(copied)})])
    with viewed(tmp_path / "run") as view:
        assert (view.found(""), view.found("copied=1")) == (2, 1)


def test_pages_hold_twenty_and_sorting_reaches_over_all_of_them(view: Viewed, known: dict[str, list[Trace]]) -> None:
    totals = sorted((one.reward.total for one in known["rl"] if one.reward), reverse=True)
    shown: list[str] = []
    for number in (1, 2):
        page = view.page("/", f"run=rl&sort=reward&desc=1&page={number}")
        assert len(page.of("article", "card")) == 20
        shown += [line.split()[-1] for line in page.lines if line.startswith("reward ") and line.count(" ") == 1]
    assert shown == [f"{total:.2f}" for total in totals]
    assert "page 2 of 2" in " ".join(view.page("/", "run=rl&page=99").lines)


def test_what_has_no_value_is_sorted_last_either_way(view: Viewed) -> None:
    for order in ("", "&desc=1"):
        assert "rl · " in view.html("/", f"sort=advantage{order}").split("<article", 2)[1]
        assert "rl · " not in view.html("/", f"sort=advantage{order}&page=8").split("<article", 1)[1]


def test_an_address_says_the_query_and_nothing_that_is_as_by_default() -> None:
    query = Query.read("outcome=w2r&outcome=r2w&q=a%26b&page=3&desc=1&unknown=7&family=")
    assert query.address() == "outcome=w2r&outcome=r2w&q=a%26b&desc=1&page=3"
    assert Query.read(query.address()) == query
    assert query.address(page=1) == "outcome=w2r&outcome=r2w&q=a%26b&desc=1"
    with pytest.raises(ValueError, match=r"step_from='x': Input should be a valid integer"):
        Query.read("step_from=x")


def test_a_trace_has_an_address_of_its_own_and_neighbours_within_the_filter(
    view: Viewed, known: dict[str, list[Trace]]
) -> None:
    places = [at for at, one in enumerate(known["one"]) if one.outcome == "wrong→right"]
    page = view.page("/trace", f"of=one&n={places[1]}&run=one&outcome=w2r")
    assert f"2 of {len(places)}" in " ".join(page.lines)
    links = {link["rel"]: link["href"] for link in page.of("a") if link.get("rel")}
    assert links == {
        "prev": f"/trace?of=one&n={places[0]}&run=one&outcome=w2r",
        "next": f"/trace?of=one&n={places[2]}&run=one&outcome=w2r",
    }
    assert known["one"][places[1]].problem.id in page.text
    assert "run 'nobody' has no trace number 5" in view.page("/trace", "of=nobody&n=5", 400).text
    assert "n='-1' is not a number" in view.page("/trace", "of=one&n=-1", 400).text


def test_the_second_attempt_is_compared_word_by_word(view: Viewed, known: dict[str, list[Trace]]) -> None:
    assert [(piece.kind, piece.text) for piece in difference("a b\nc", "a x c d")] == [
        ("same", "a "), ("gone", "b\n"), ("new", "x "), ("same", "c"), ("new", " d"),
    ]  # fmt: skip
    at = next(at for at, one in enumerate(known["one"]) if one.outcome == "wrong→right" and one.has_format)
    first, final = (grade.extracted for grade in (known["one"][at].first_grade, known["one"][at].final_grade))
    html = view.html("/trace", f"of=one&n={at}")
    assert f"<del>{first}</del><ins>{final}</ins>" in html.split('id="changes"')[1]


class RlConfig(Record):
    group_size: int = 3
    credit: str = "segment"


def test_a_group_stands_side_by_side_with_the_credit_of_its_tokens(tmp_path: Path) -> None:
    pairs = [(True, True), (False, True), (False, False)]
    made = [
        trace(4, *pair, stage="rl", step=7).model_copy(update={"sample": number, "advantage": 0.1})
        for number, pair in enumerate(pairs)
    ]
    with RunDir.open(tmp_path / "run", RlConfig(), "rl") as run:
        run.append_traces([trace(1, True, True, stage="rl", step=7), *made[:2]])
    with viewed(tmp_path / "run") as view:
        page = view.page("/group", "of=run&n=1")
        assert len(page.of("article", "card")) == 2
        assert "2 of the group's 3 responses were recorded" in page.text
        assert page.text.count("not recorded") == 2
        with (tmp_path / "run" / "traces.jsonl").open("a") as file:
            file.write(made[2].model_dump_json() + "\n")
        page = view.page("/group", "of=run&n=1")
        assert len(page.of("article", "card")) == 3
        lengths = [one.tokens for one in made if one.tokens]
        expected = assign_credit([reward(*pair, False) for pair in pairs], lengths, "segment")
        for credit in expected:
            for value in (credit.tokens[0], credit.tokens[-1]):
                assert signed(value, 2) in page.text
        assert "not recorded" not in page.text


def test_traces_of_a_run_at_work_appear_and_a_cut_off_line_is_waited_for(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "eval", traces(3, 0.5, 0.5, 0.1, 1))
    line = trace(9, True, True).model_dump_json().encode()
    with viewed(tmp_path / "run") as view:
        with (tmp_path / "run" / "traces.jsonl").open("ab", buffering=0) as file:
            file.write(line[:200])
            assert view.found("") == 3
            file.write(line[200:-1])
            assert view.found("") == 3
            file.write(line[-1:])
            assert view.found("") == 4  # whole, though its end of line is still to come
            file.write(b"\n" + line + b"\n")
            assert view.found("") == 5
        status = json.loads(view.site.answer("/status", "q=clock-9").body)
        assert (status["traces"], status["found"]) == (5, 2)
        assert status["runs"][0]["unreadable"] == 0


def test_a_run_that_was_cut_back_to_its_checkpoint_is_read_again(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "eval", traces(30, 0.5, 0.5, 0.1, 1))
    file = tmp_path / "run" / "traces.jsonl"
    with viewed(tmp_path / "run") as view:
        lines = file.read_bytes().splitlines(keepends=True)
        other = trace(77, True, True).model_dump_json().encode() + b"\n"
        file.write_bytes(b"".join([*lines[:10], *[other] * 25]))
        assert (view.found(""), view.found("q=clock-77")) == (35, 25)


def test_a_run_without_a_trace_yet_says_so(tmp_path: Path) -> None:
    with RunDir.open(tmp_path / "run", RlConfig(), "rl") as run, viewed(tmp_path / "run") as view:
        assert "The runs have written none yet." in view.page("/").text
        run.append_traces([trace(1, True, True, stage="rl", step=1)])
        assert view.found("") == 1


def test_the_command_serves_and_an_interrupt_ends_it(runs: Path) -> None:
    words = [sys.executable, "-m", "srpo", "view", str(runs / "one"), str(runs / "rl"), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            assert process.stdout.readline() == "100 traces; Ctrl-C ends this\n"
            with urllib.request.urlopen(f"{address}?outcome=w2r", timeout=20) as reply:
                assert "<h1>Responses</h1>" in reply.read().decode()
            with urllib.request.urlopen(f"{address}picture?of=rl&n=0&picture=0", timeout=20) as reply:
                assert reply.read().startswith(b"\x89PNG")
            os.kill(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert said.endswith("srpo: view ended\n")
    assert "Traceback" not in said


def test_a_port_that_is_taken_and_a_folder_that_is_no_run_are_told(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from srpo.cli.main import main

    assert main(["view", str(tmp_path / "nothing")]) == 2
    assert "is not a directory" in capsys.readouterr().err
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["view", str(runs / "one"), "--port", str(port)]) == 2
    assert f"--port {port}: Address already in use; choose another --port" in capsys.readouterr().err
