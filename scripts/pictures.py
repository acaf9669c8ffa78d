"""The pictures of README and docs, light and dark, as Chromium draws them: a card, a report's beginning, the live view.

    srpo demo --out demo --seed 2
    python scripts/pictures.py demo                  # writes docs/images/{card,report}-{light,dark}.png
    python scripts/pictures.py --view runs/reflect runs/sampled runs/greedy      # the runs of docs/looking.md

The card is the first one of the report (drawn at random, by a fixed seed) whose answer was repaired in RL by a
reflection that called the first one wrong, to a question of how many, which needs no explanation of its picture.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from srpo.report import write_report

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SCHEMES = {"light": "1", "dark": "0"}
"""Chromium's numbers."""
CARD = ".card[data-outcome='wrong→right'][data-run='srpo']"
_SIZES = {"card": (900, 1400), "report": (1280, 1500), "view": (1180, 740)}
_PATIENCE_S = 180
_MARGIN = 16
_COLOURS = 128
_ALONE = """<script>addEventListener("load", () => {
  document.querySelectorAll("template").forEach((one) => one.replaceWith(one.content));
  const card = [...document.querySelectorAll("SELECTOR")].find((one) =>
    ["so wrong", "How many"].every((words) => one.textContent.includes(words)));
  if (!card) throw new Error("no such card");
  const waiting = JSON.parse(document.getElementById("waiting")?.textContent ?? "[]");
  const main = document.createElement("main");
  main.append(card);
  document.body.replaceChildren(main);
  document.querySelectorAll("img").forEach((image) => {
    image.loading = "eager";
    if (image.dataset.picture) image.src = waiting[image.dataset.picture];
  });
  main.style.minHeight = "0";
});</script></body>"""


def main() -> None:
    """Write the pictures of a demo, or those of the view."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, nargs="?", help="directory of srpo demo")
    parser.add_argument("--view", type=Path, nargs="+", default=[], help="runs for the picture of srpo view")
    parser.add_argument("--browser", default="chromium")
    arguments = parser.parse_args()
    if not arguments.demo and not arguments.view:
        parser.error("name a demo, or runs by --view")
    IMAGES.mkdir(exist_ok=True)
    if arguments.view:
        of_view(arguments.browser, arguments.view)
    if arguments.demo:
        of_demo(arguments.browser, arguments.demo)


def of_view(browser: str, runs: list[Path]) -> None:
    """The page of `srpo view` with repaired answers."""
    words = [sys.executable, "-m", "srpo", "view", *map(str, runs), "--port", "0"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server,  # noqa: S603  our own words
    ):
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        server.stdout.readline()  # all traces are read
        try:
            for scheme, number in SCHEMES.items():
                shot = Path(folder) / "shot.png"
                take(browser, f"{address}?outcome=w2r", shot, _SIZES["view"], number)
                keep(Image.open(shot).convert("RGB"), f"view-{scheme}.png")
        finally:
            server.terminate()


def of_demo(browser: str, demo: Path) -> None:
    """A card and the beginning of the report."""
    with tempfile.TemporaryDirectory() as folder:
        report = write_report([demo], Path(folder) / "report.html")
        alone = Path(folder) / "card.html"
        # The report lets no script run but its own; this copy of it is ours.
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text("utf-8"))
        alone.write_text(text.replace("</body>", _ALONE.replace("SELECTOR", CARD)), "utf-8")
        for name, page in (("card", alone), ("report", report)):
            for scheme, number in SCHEMES.items():
                shot = Path(folder) / "shot.png"
                take(browser, page.as_uri(), shot, _SIZES[name], number)
                keep(trimmed(Image.open(shot).convert("RGB")), f"{name}-{scheme}.png")


def keep(picture: Image.Image, name: str) -> None:
    """Save it in few colours, and so in few bytes."""
    picture.quantize(_COLOURS).save(IMAGES / name, optimize=True)


def take(browser: str, page: str, picture: Path, size: tuple[int, int], scheme: str) -> None:
    """One picture of one page."""
    words = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += ["--virtual-time-budget=4000", f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}"]
    words += [f"--blink-settings=preferredColorScheme={scheme}", page]
    subprocess.run(words, check=True, capture_output=True, timeout=_PATIENCE_S)  # noqa: S603  our own words


def trimmed(picture: Image.Image) -> Image.Image:
    """Without the empty ground around it."""
    ground = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    box = ImageChops.difference(picture, ground).getbbox()
    if box is None:
        raise ValueError("the page is empty; is the demo finished?")
    left, top, right, bottom = box
    return picture.crop(
        (
            max(0, left - _MARGIN),
            max(0, top - _MARGIN),
            min(picture.width, right + _MARGIN),
            min(picture.height, bottom + _MARGIN),
        )
    )


if __name__ == "__main__":
    main()
