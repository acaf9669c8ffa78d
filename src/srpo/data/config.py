"""Where problems come from: the `data:` part of every stage's config.

data: problems.jsonl                                    # short form: a file, a folder, or `drawn`
data: {path: problems.parquet, mapping: {question: query, answer: gold}}
data: {path: mulberry_sft.json, image_root: mulberry_images}    # formats of public pools are known
data: {hub: hiyouga/geometry3k, split: train}
data: {drawn: {split: test, families: [pairs], count: 512}}
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from srpo.config.fields import Positional
from srpo.core.records import Record

Split = Literal["train", "dev", "test"]
AdapterName = Literal["auto", "columns", "llava-cot", "mulberry", "mathv360k", "verl", "chat"]


class DrawnConfig(Record):
    """Problems that srpo draws itself, with known answers and known solution steps."""

    split: Split = "train"
    """The splits share no problem; `test` is for reported numbers only."""
    families: tuple[str, ...] = ()
    """Kinds of problem; empty means all."""
    levels: tuple[int, ...] = ()
    """Difficulties, 1 is easiest; empty means all."""
    count: Annotated[int, Field(ge=1)] = 1000
    """How many problems in all."""
    seed: int = 0
    """Another seed draws other problems of the same split."""


class FieldMapping(Record):
    """Names of the columns, where they are not among the common names that are found without help."""

    id: str | None = None
    """Column with a unique name of the problem; without one, the file's name and the line are used."""
    question: str | None = None
    """Column with the question."""
    answer: str | None = None
    """Column with the gold answer."""
    images: str | None = None
    """Column with one picture or a list: paths relative to the data file, `file://`, data URLs, base64, or bytes
    (parquet), by themselves or in objects."""
    choices: str | None = None
    """Column with the options of a multiple-choice question: a list of texts, or an object {"A": text, ...}."""
    family: str | None = None
    """Column by which results are broken down."""
    level: str | None = None
    """Column with the difficulty, a whole number."""
    kind: str | None = None
    """Column with the kind of the gold answer, as `srpo grade` names kinds."""
    caption: str | None = None
    """Column with a description of the pictures, for teachers that read but do not see."""


class SourceConfig(Record):
    """One set of problems: a JSONL, JSON or parquet file, a folder, a data set of `datasets`, or drawn problems."""

    short_form: ClassVar = "path, drawn or drawn:<split>"

    path: Annotated[str, Positional("PATH")] = ""
    """`x.jsonl`, `x.json`, `x.parquet`, a folder with one of these or with pictures and a JSON file beside each, or a
    folder that `datasets` wrote with `save_to_disk`; `drawn` and `drawn:<split>` stand for problems that we draw."""
    hub: str = ""
    """Name of a data set on the hub, `owner/name`; needs the package `datasets` and a network."""
    subset: str = ""
    """Configuration of the data set on the hub, where it has several."""
    split: str = ""
    """Split of a data set on the hub (default `train`) or on disk, where it has several."""
    drawn: DrawnConfig | None = None
    """Draw the problems instead of reading them."""
    adapter: AdapterName = "auto"
    """Format of the rows: `auto` knows LLaVA-CoT-100k, Mulberry-SFT, MathV360K, verl's parquet and chats of one
    question (MM-EUREKA, ms-swift, TRL) by their columns and takes one column per field otherwise; a name insists."""
    mapping: FieldMapping = FieldMapping()
    """Which column is what; wins over what `adapter` finds."""
    image_root: str = ""
    """Folder that relative picture paths start from; empty means the folder of the data file."""
    max_question_bytes: Annotated[int, Field(ge=1)] = 16384
    """Questions that are longer, with their options, are left out: one of 6,000 words makes a step of minutes."""
    image_store: str = ""
    """Folder into which embedded pictures are written, once each, under the hash of their bytes; empty means
    `$XDG_CACHE_HOME/srpo/images`."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Accept the short form: a path, `drawn`, or `drawn:<split>`; the latter two in place of a path too."""
        fields: Any = {"path": value} if isinstance(value, str) else value
        path = fields.get("path") if isinstance(fields, dict) else None
        if not isinstance(path, str) or path.partition(":")[0] != "drawn":
            return fields
        split = path.partition(":")[2]
        if split and split not in get_args(Split):
            raise ValueError(f"{path!r}: the splits of drawn problems are {', '.join(get_args(Split))}")
        others = {name: field for name, field in fields.items() if name != "path"}
        return {**others, "drawn": {**({"split": split} if split else {}), **(others.get("drawn") or {})}}

    @model_validator(mode="after")
    def _one_origin(self) -> "SourceConfig":
        """Exactly one of `path`, `hub` and `drawn`."""
        given = [name for name in ("path", "hub", "drawn") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"give one of path, hub and drawn, not {' and '.join(given)}")
        if not given:
            raise ValueError("no problems named: give path (a file or folder), hub (owner/name) or drawn")
        return self

    @property
    def label(self) -> str:
        """What to call this source in tables and messages."""
        if self.drawn is not None:
            return f"drawn:{self.drawn.split}"
        return self.path or f"hub:{self.hub}"
