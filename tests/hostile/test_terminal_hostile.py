"""What a model, a data set or a server may write: none of it steers the reader's terminal, or fakes a line."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from srpo.cli.main import main
from srpo.core.records import Trace
from srpo.core.visible import LONGEST_TEXT, clip, one_line, visible
from srpo.report.console import print_card
from srpo.rl.cards import cards_of
from srpo.runs.progress import note
from srpo.runs.tables import text_of
from tests.support.hostile import ANSI, BIDI, NASTY, hostile_trace, steering
from tests.support.report_runs import trace, write_run
from tests.support.terminal import on_terminal

MORE = (
    "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",  # a link of a terminal
    "\x1bPq#0;2;0;0;0\x1b\\\\",  # sixel graphics
    "right\rwrong",
    "a\u2028b\u2029c",
    "tag\U000e0041\U000e0042",
    "\x9d0;title\x9c",
    "[link=https://evil.example]x[/link] [/] [red",
    "~~~\n# not of the card\n<img src=x onerror=alert(1)>\n~~~~~~~~",
    "word " * 200_000,
)
ALL = (*NASTY, *MORE)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two evaluations of the same hostile problems, of which the second has other verdicts."""
    folder = tmp_path_factory.mktemp("hostile")
    made = [hostile_trace(text, number) for number, text in enumerate(ALL)]
    right = made[0].final_grade.model_copy(update={"verdict": "correct"})
    turned = [one.model_copy(update={"final_grade": right}) for one in made]
    for name, traces in (("first [red]run", made), ("second\x1b[31mrun", turned)):
        write_run(folder / name, "eval", traces)
    return folder / "first [red]run", folder / "second\x1b[31mrun"


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(list(words)) == code
    found = capsys.readouterr()
    assert not steering(found.err), found.err
    return found.out


def test_cards_off_a_terminal_steer_nothing(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "show", str(runs[0]), str(runs[1]), "--limit", "100")
    assert not steering(shown)
    assert "⟨1B⟩[2J" in shown
    assert "⟨202E⟩gnp.exe" in shown
    assert "[link=https://evil.example]x[/link]" in shown
    assert len(shown) < 2 * len(ALL) * 12 * LONGEST_TEXT


@pytest.mark.parametrize("text", ALL, ids=lambda text: ascii(text[:12]))
def test_cards_on_a_terminal_have_colours_of_ours_alone(text: str) -> None:
    file = io.StringIO()
    print_card(text, hostile_trace(text, 1), Console(file=file, force_terminal=True, width=100, highlight=False))
    assert not steering(file.getvalue(), on_terminal=True)
    assert file.getvalue().count("╭") == 1 + text.count("╭")
    assert "┃" not in file.getvalue()


def test_a_comparison_keeps_to_its_lines(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "compare", str(runs[0]), str(runs[1]), "--flips", "50")
    assert not steering(shown)
    flips = shown[shown.index("Flips:") :].splitlines()
    assert len(flips) == 1 + 2 * len(ALL)
    assert all(re.match(r"  (✗✓|✓✗) ", line) for line in flips[1::2])
    assert all(line.startswith("     gold ") and " → " in line for line in flips[2::2])
    assert max(map(len, flips)) < 400


def test_grades_and_rewards_of_a_file_keep_to_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    safe = [text for text in ALL if "\ud800" not in text]
    rows = [
        {"id": f"{text[:50]}{number}", "gold": "7", "prediction": f"{text} 7", "response": text}
        for number, text in enumerate(safe)
    ]
    graded = tmp_path / "grade.jsonl"
    paid = tmp_path / "reward.jsonl"
    graded.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "response"}) + "\n" for row in rows))
    paid.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "prediction"}) + "\n" for row in rows))
    for words in (("grade", str(graded), "--no_symbolic"), ("reward", str(paid), "--preset", "paper")):
        shown = printed(capsys, *words)
        assert not steering(shown)
        assert len(shown.splitlines()) == len(safe) + 1
        assert max(map(len, shown.splitlines())) < 400


def test_findings_in_data_keep_to_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "problems.jsonl"
    texts = [text for text in ALL if "\ud800" not in text]
    rows = [{"id": text, "question": text, "answer": text, "image": f"{text[:40]}.png"} for text in texts]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = printed(capsys, "data", "check", str(file), code=1)
    assert not steering(shown)
    assert max(map(len, shown.splitlines())) < 800


def test_what_is_wrong_with_a_file_is_told_without_steering(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({f"{ANSI}{BIDI}": 1}) + "\n")
    printed(capsys, "grade", str(file), code=2)
    printed(capsys, "show", str(tmp_path / f"none{ANSI}"), code=2)
    printed(capsys, "rl", f"--{ANSI}", "1", code=2)
    printed(capsys, f"{ANSI}", code=2)


def test_notes_and_tables_are_inert(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ALL[:-1]:
        note(f"HTTP 500: {text}")
        assert not steering(capsys.readouterr().err)
        assert not steering(text_of(text))


def test_notes_and_panel_on_a_terminal_are_inert() -> None:
    code = f"""
from srpo.runs.progress import note, progress, show_panel
with progress(2, "rl") as bar:
    for _ in range(2):
        show_panel([("ALARM x", {ANSI + BIDI!r})])
        note({ANSI + BIDI!r})
        bar.advance(1)
"""
    _, shown = on_terminal(code)
    assert "\x1b]0;" not in shown
    assert "\x1b[2J" not in shown
    assert not re.search("[\x07\x9b\u202e\u2066]", shown)
    assert shown.count("⟨1B⟩[2J") >= 2


@pytest.mark.parametrize("text", ALL, ids=lambda text: ascii(text[:12]))
def test_cards_of_trackers_are_one_fence_that_nothing_closes(text: str) -> None:
    made = hostile_trace(text, 1)
    (card,) = cards_of([made.model_copy(update={"text": text})])
    fence, *inside, end = card.text.split("\n")
    assert re.fullmatch("~{3,}", fence)
    assert end == fence
    assert not [line for line in inside if line.strip(" ").startswith(fence)]
    assert not steering(card.text + card.title)
    assert len(card.text) < 4 * LONGEST_TEXT
    assert re.fullmatch(r"`[^`\n]+`: wrong→wrong", card.title)
    assert card.text.encode()
    assert card.title.encode()


def test_a_card_of_a_harmless_response_shows_it_whole() -> None:
    made: Trace = trace(1, False, True, stage="rl", step=1)
    (card,) = cards_of([made])
    for part in (made.problem.question, f"gold: {made.problem.answer}", made.text):
        assert part in card.text


def test_texts_are_cut_and_say_so() -> None:
    assert clip("a" * (LONGEST_TEXT + 3)).endswith(" … (3 more characters)")
    assert one_line("x" * 500, 40) == "x" * 39 + "…"
    assert one_line("a\r\n\tb  c") == "a b c"
    assert one_line(" " * 10_000 + "x", 40) in {"x", "…"}
    assert visible("\U0001f44d\U0001f3fd ü 漢 é") == "\U0001f44d\U0001f3fd ü 漢 é"
