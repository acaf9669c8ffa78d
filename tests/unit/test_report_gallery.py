"""A gallery of many responses: what stands on the page at once, what waits, and pictures that are there once."""

import json
import re
from pathlib import Path

import pytest

from srpo.cli.main import run_command
from srpo.report import write_report
from srpo.report.cards import AT_ONCE
from srpo.report.pictures import Album
from tests.support.html import Page
from tests.support.report_runs import trace, traces, with_pictures, write_run


def test_cards_beyond_the_first_wait_in_templates_and_share_their_pictures(tmp_path: Path) -> None:
    made = with_pictures(traces(300, 0.5, 0.4, 0.2, 1), tmp_path / "pictures")
    write_run(tmp_path / "run", "eval", made)
    html = write_report([tmp_path / "run"], tmp_path / "r.html", num_cards=200).read_text(encoding="utf-8")
    gallery = html[html.index('id="cards"') :]
    waiting = re.findall(r"<template.*?</template>", gallery, re.DOTALL)
    assert len(waiting) == 200 - AT_ONCE
    assert len(Page(re.sub(r"<template.*?</template>", "", gallery, flags=re.DOTALL)).of("article", "card")) == AT_ONCE
    assert "data:image" not in "".join(waiting)
    (shared,) = re.findall(r'id="waiting">(.*?)</script>', gallery, re.DOTALL)
    pictures = json.loads(shared)
    assert len(pictures) == len(set(pictures)) <= 4
    assert {int(one) for one in re.findall(r'data-picture="(\d+)"', gallery)} <= set(range(len(pictures)))
    assert "200 responses" in html
    assert json.loads((tmp_path / "r.json").read_text())["num_cards"] == 200


def test_what_is_shown_at_once_has_every_run_and_outcome(tmp_path: Path) -> None:
    for number in range(3):
        write_run(tmp_path / f"run {number}", "eval", traces(200, 0.5, 0.4, 0.2, number))
    runs = [tmp_path / f"run {number}" for number in range(3)]
    html = write_report(runs, tmp_path / "r.html", num_cards=400).read_text(encoding="utf-8")
    gallery = html[html.index('id="cards"') : html.index("<template")]
    cards = Page(gallery).of("article", "card")
    seen = [(one["data-run"], one["data-outcome"]) for one in cards]
    assert len(seen) == AT_ONCE
    assert len(set(seen)) == 12
    assert max(seen.count(one) for one in seen) == 4


def test_a_small_gallery_has_nothing_that_waits(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "eval", traces(AT_ONCE, 0.5, 0.4, 0.2, 1))
    html = write_report([tmp_path / "run"], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<template" not in html
    assert 'id="waiting"' not in html
    assert "<noscript>" not in html


def test_an_album_loads_each_picture_once_and_stops_where_the_page_is_full(tmp_path: Path) -> None:
    from PIL import Image

    loaded: list[str] = []

    def load(ref: str) -> Image.Image:
        loaded.append(ref)
        return Image.new("RGB", (60, 60), "red")

    album = Album(load, most_bytes=250)
    made = [("run", trace(number, True, True, image=image)) for number, image in enumerate("aabac")]
    pictures = [card.pictures[0] for card in album.cards(made)]
    assert loaded == ["a", "b"]
    assert [one.uri is not None for one in pictures] == [True, True, True, True, False]
    assert "srpo view" in str(pictures[-1].reason)


def test_as_many_responses_as_were_asked_for_are_shown_fairly(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "eval", traces(400, 0.9, 0.5, 0.1, 1))
    page = Page(write_report([tmp_path / "run"], tmp_path / "r.html", num_cards=80).read_text(encoding="utf-8"))
    cards = [one for one in page.of("article", "card") if one["data-run"] == "run"]
    outcomes = [one["data-outcome"] for one in cards]
    # Flips have cards of their own above the gallery.
    assert min(outcomes.count(one) for one in set(outcomes)) >= 15
    with pytest.raises(ValueError, match="samples"):
        run_command(["report", str(tmp_path / "run"), "--samples", "0"])
