"""One self-contained HTML file that shows what a run did: run directories -> `ReportData` -> figures -> page.

    build.py     reads run directories and demo directories into `ReportData` (the only module that reads files)
    panels.py    what the responses show: observe.py (watches traces go by), flow.py (outcomes from stage to stage),
                 signs.py (of a hacked reward), calibration.py (verdicts of reflections against the truth), flips
    lineage.py   which policy was trained from which; between.py: answers that flipped between two evaluations
    reliance.py  whether answers and reflections rely on the picture; spent.py: time, cost; sections.py: their Markdown
    cards.py     which traces are shown, fairly over outcomes, families and runs
    pictures.py  picture references as data URIs
    formulas.py  LaTeX in questions and answers as MathML
    summary.py   what happened, in plain sentences made from the numbers
    metrics.py   curves grouped into panels, smoothed and thinned
    figures.py   plotly figures
    page.py      jinja2, autoescaped; `write_report` is what `srpo report` and `srpo demo` call
    markdown.py  the tables and sentences of the page as Markdown (markup.py: escaping, tables); summary.py has the JSON
    leaderboard/ benchmark results of runs among published numbers, ranked; as HTML, Markdown and JSON
    console.py   the same traces as cards on a terminal, for `srpo show`

The page never asks the network for anything: plotly.js is inlined once, pictures are data URIs, and a content security
policy with the hashes of our own scripts refuses everything else, text of a model included.
"""

from srpo.report.page import write_report

__all__ = ["write_report"]
