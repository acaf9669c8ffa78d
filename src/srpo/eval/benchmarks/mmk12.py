"""MMK12: 2,000 school questions of four subjects with options in their text; the training half is free-form."""

from srpo.data.config import SourceConfig
from srpo.data.rows import Row
from srpo.eval.benchmarks.benchmark import HubSource, Item
from srpo.eval.benchmarks.columns import (
    gold,
    labelled_options,
    letter_gold,
    make_item,
    needed,
    numbered_pictures,
    question,
    text,
)
from srpo.eval.benchmarks.items import PublishedBenchmark

_SUBJECTS = ("math", "physics", "chemistry", "biology")


class Mmk12(PublishedBenchmark):
    """Official table: accuracy by subject."""

    name = "mmk12"
    title = "MMK12 test"
    size = 2000
    hub = HubSource("FanqingM/MMK12", ("",), "test", "main")
    files = ("test.jsonl", "test.json", "data/test-*.parquet", "test-*.parquet")
    columns = ("id", "question", "answer")
    orders = (("subject", _SUBJECTS),)
    citation = "Meng et al., MM-Eureka, arXiv 2503.07365"

    def item(self, row: Row, source: SourceConfig, *, pictures: bool) -> Item:
        """An item; a gold that is a letter belongs to the options in the question."""
        content = question(row, "question")
        answer = gold(row, "answer")
        letter = letter_gold(answer)
        options = labelled_options(content) if len(letter) == 1 and letter.isalpha() else ()
        multiple = bool(options) and ord(letter) - ord("A") < len(options)
        return make_item(
            row,
            needed(row, "id"),
            content,
            letter if multiple else answer,
            images=numbered_pictures(row, source, wanted=pictures),
            choices=options if multiple else (),
            kind="letter" if multiple else None,
            groups={"subject": text(row, "subject").casefold()},
        )

    def prompt(self, item: Item) -> str:
        """The question as it is published, options and all."""
        return item.problem.question
