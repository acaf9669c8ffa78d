"""The pictures of README and docs: a card and the beginning of a report, light and dark, as Chromium draws them.

    srpo demo --out demo --seed 2
    python scripts/pictures.py demo                  # writes docs/images/{card,report}-{light,dark}.png

The card is the first one in the report's gallery (drawn at random, by a fixed seed) whose answer was repaired in RL.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from srpo.report import write_report

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SCHEMES = {"light": "1", "dark": "0"}
"""Chromium's numbers."""
CARD = ".card[data-outcome='wrong→right'][data-run='srpo']"
_SIZES = {"card": (900, 1400), "report": (1280, 1500)}
_PATIENCE_S = 180
_MARGIN = 16
_COLOURS = 128
_ALONE = """<script>addEventListener("load", () => {
  const card = document.querySelector("SELECTOR");
  if (!card) throw new Error("no such card");
  const main = document.createElement("main");
  main.append(card);
  document.body.replaceChildren(main);
  document.querySelectorAll("img").forEach((image) => image.loading = "eager");
  main.style.minHeight = "0";
});</script></body>"""


def main() -> None:
    """Write the four pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="directory of srpo demo")
    parser.add_argument("--browser", default="chromium")
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        report = write_report([arguments.demo], Path(folder) / "report.html")
        alone = Path(folder) / "card.html"
        # The report lets no script run but its own; this copy of it is ours.
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", report.read_text("utf-8"))
        alone.write_text(text.replace("</body>", _ALONE.replace("SELECTOR", CARD)), "utf-8")
        for name, page in (("card", alone), ("report", report)):
            for scheme, number in SCHEMES.items():
                shot = Path(folder) / "shot.png"
                take(arguments.browser, page, shot, _SIZES[name], number)
                picture = trimmed(Image.open(shot).convert("RGB"))
                picture.quantize(_COLOURS).save(IMAGES / f"{name}-{scheme}.png", optimize=True)


def take(browser: str, page: Path, picture: Path, size: tuple[int, int], scheme: str) -> None:
    """One picture of one page."""
    words = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += ["--virtual-time-budget=4000", f"--screenshot={picture}", f"--window-size={size[0]},{size[1]}"]
    words += [f"--blink-settings=preferredColorScheme={scheme}", page.as_uri()]
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
