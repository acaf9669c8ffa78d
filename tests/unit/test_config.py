"""Configuration files and flags: what is accepted, and what is said about the rest."""

from pathlib import Path
from typing import Literal, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from srpo.config.fields import fields_of, type_text
from srpo.config.help import render_fields
from srpo.config.load import ConfigError, load_config, to_yaml
from srpo.config.nodes import dump_yaml, parse_yaml
from srpo.core.records import Record


class Optim(Record):
    """The optimizer."""

    lr: float = Field(default=1e-5, gt=0)
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows."""
    betas: tuple[float, float] = (0.9, 0.99)


class Source(Record):
    path: str
    """Where the data is. A second sentence."""
    weight: float = 1.0


class Config(Record):
    """A stage."""

    model: str
    """Checkpoint directory."""
    sources: tuple[Source, ...] = ()
    names: tuple[str, ...] = ()
    optim: Optim = Optim(lr=1e-6, schedule="constant")
    """The optimizer of this stage."""
    extra: Optim | None = None
    steps: int = Field(default=10, ge=1)
    """Number of steps."""
    freeze: bool = True
    """Freeze it."""
    note: str | None = None
    out: Path | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.steps > 1000:
            raise ValueError(f"steps {self.steps} are too many; use at most 1000")
        return self


def load(tmp_path: Path, text: str, *flags: str) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(Config, path, flags)


def error(tmp_path: Path, text: str, *flags: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, *flags)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_file_then_flags(tmp_path: Path) -> None:
    config = load(tmp_path, "model: m\nsteps: 3\noptim:\n  lr: 1e-4\n", "--steps", "4", "--optim.betas=[0.8, 0.9]")
    assert config == Config(model="m", steps=4, optim=Optim(lr=1e-4, schedule="constant", betas=(0.8, 0.9)))


def test_a_partly_given_tree_keeps_the_rest_of_its_own_default(tmp_path: Path) -> None:
    assert load(tmp_path, "model: m\noptim: {betas: [0.5, 0.6]}").optim == Optim(
        lr=1e-6, schedule="constant", betas=(0.5, 0.6)
    )
    assert load(tmp_path, "model: m", "--optim.lr", "2").optim == Optim(lr=2, schedule="constant")
    assert load(tmp_path, "model: m", "--extra.lr", "2").extra == Optim(lr=2)


def test_yaml_surprises(tmp_path: Path) -> None:
    config = load(tmp_path, "model: no\nnote: 2026-11-22\noptim: {lr: 1e-4}\nnames: [on, 1.10, 0x1F, ~x, 'null']\n")
    assert (config.model, config.note, config.optim.lr) == ("no", "2026-11-22", 1e-4)
    assert config.names == ("on", "1.10", "0x1F", "~x", "null")
    assert load(tmp_path, "model: m\nfreeze: off\nsteps: 010\n").model_dump(include={"freeze", "steps"}) == {
        "freeze": False,
        "steps": 10,
    }
    assert load(tmp_path, "\ufeffmodel: m\nnote: 中文\n").note == "中文"
    assert load(tmp_path, "model: m\nextra: null\nnote:\n").note is None


def test_all_errors_of_a_file_at_once_with_their_places(tmp_path: Path) -> None:
    text = "model: m\nstep: 3\noptim:\n  lr: -1\n  schedule: cosi\nfreeze: perhaps\nsources:\n- weight: x\n"
    assert error(tmp_path, text).splitlines() == [
        "c.yaml: 6 problems",
        "  c.yaml:2:1: step: unknown field; did you mean 'steps'?",
        "  c.yaml:4:7: optim.lr: -1 is not allowed: should be greater than 0",
        (
            "  c.yaml:5:13: optim.schedule: 'cosi' is not allowed: should be 'cosine' or 'constant'; "
            "did you mean 'cosine'?"
        ),
        "  c.yaml:6:9: freeze: 'perhaps' is not allowed: should be a valid boolean, unable to interpret input",
        "  c.yaml:8:3: sources.0.path: is missing, and it has no default. Where the data is.",
        (
            "  c.yaml:8:11: sources.0.weight: 'x' is not allowed: should be a valid number, "
            "unable to parse string as a number"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps: 3", "c.yaml:1:1: model: is missing, and it has no default. Checkpoint directory."),
        ("", "c.yaml:1:1: model: is missing"),
        ("model: m\nlr: 3", "c.yaml:2:1: lr: unknown field; did you mean 'optim.lr' or 'extra.lr'?"),
        ("model: m\nzzz: 3", "zzz: unknown field (fields here: model, sources,"),
        ("model: m\nsteps: 2000", "c.yaml:1:1: steps 2000 are too many; use at most 1000"),
        ("model: m\nmodel: n", "c.yaml:2:1: 'model' stands twice; the first one is at c.yaml:1:1"),
        ("model: m\noptim: {lr: 1, lr: 2}", "c.yaml:2:16: 'lr' stands twice"),
        ("- model", "c.yaml:1:1: the top level must be `field: value` lines, not ['model']"),
        ("model: [m", "c.yaml:1:10: not valid YAML: while parsing a flow sequence"),
        ("\tmodel: m", "c.yaml:1:1: not valid YAML: while scanning"),
        ("model: m\n---\nmodel: n", "c.yaml:2:1: not valid YAML: expected a single document"),
        (
            "model: !!python/name:os.system x",
            "c.yaml:1:8: tag 'tag:yaml.org,2002:python/name:os.system' is not allowed",
        ),
        ("model: &a [*a]", "c.yaml:1:8: an alias inside of what it stands for"),
        ("model: m\x00", "c.yaml: not valid YAML: unacceptable character #x0000"),
        ("model: null", "c.yaml:1:8: model: None is not allowed: should be a valid string"),
        ("model: {a: 1}", "c.yaml:1:8: model: {'a': 1} is not allowed: should be a valid string"),
        ("model: m\noptim: 3", "c.yaml:2:8: optim: 3 is not allowed"),
    ],
)
def test_one_error(tmp_path: Path, text: str, expected: str) -> None:
    message = error(tmp_path, text)
    assert message.startswith(expected) or expected in message
    assert "\n" not in message


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml' cannot be read: No such file"):
        load_config(Config, tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(Config, tmp_path)
    (tmp_path / "latin").write_bytes(b"model: \xe9t\xe9")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_config(Config, tmp_path / "latin")


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (["--no-freeze"], "freeze", False),
        (["--freeze"], "freeze", True),
        (["--freeze", "false"], "freeze", False),
        (["--freeze=no"], "freeze", False),
        (["--note", "5"], "note", "5"),
        (["--note", "1e-4"], "note", "1e-4"),
        (["--note", "a: b #c"], "note", "a: b #c"),
        (["--note", "#5"], "note", "#5"),
        (["--note", "-"], "note", "-"),
        (["--note", "- a"], "note", "- a"),
        (["--note", "5 # five"], "note", "5 # five"),
        (["--note", "[x"], "note", "[x"),
        (["--note", "*x"], "note", "*x"),
        (["--note", "'7'"], "note", "7"),
        (["--note="], "note", ""),
        (["--note", "null"], "note", None),
        (["--note", "-1"], "note", "-1"),
        (["--names", "a"], "names", ("a",)),
        (["--names", "3"], "names", ("3",)),
        (["--names", "[a, 3]"], "names", ("a", "3")),
        (["--out", "x/y"], "out", Path("x/y")),
        (["--out", "7"], "out", Path("7")),
        (["--sources.0.weight", "3"], "sources", (Source(path="p", weight=3.0),)),
    ],
)
def test_flag_values(tmp_path: Path, flags: list[str], field: str, value: object) -> None:
    assert getattr(load(tmp_path, "model: m\nsources: [{path: p}]", *flags), field) == value


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--steps", "many"], "--steps: 'many' is not allowed: should be a valid integer"),
        (["--steps"], "--steps: needs a value"),
        (["--steps", "--freeze"], "--steps: needs a value"),
        (["--optim.schedul", "x"], "--optim.schedul: unknown field; did you mean 'schedule'?"),
        (["--lr=3"], "--lr: unknown field; did you mean 'optim.lr' or 'extra.lr'?"),
        (["--model.x", "3"], "--model.x: cannot set 'x' in what c.yaml:1:8 gives as 'm', which has no fields"),
        (["--sources.1.path", "p"], "--sources.1.path: cannot set '1' in what c.yaml:2:10 gives as a list of 1"),
        (["stray"], "'stray' is not a flag"),
    ],
)
def test_flag_errors(tmp_path: Path, flags: list[str], expected: str) -> None:
    assert error(tmp_path, "model: m\nsources: [{path: p}]", *flags).startswith(expected)


def test_without_a_file() -> None:
    assert load_config(Config, None, ["--model", "m"]) == Config(model="m")
    with pytest.raises(ConfigError, match="command line: --model: is missing"):
        load_config(Config, None)


def test_help_shows_every_field_with_type_limits_default_and_docstring() -> None:
    text = render_fields(Config, width=100)
    for expected in (
        "--model text  (required)\n        Checkpoint directory.",
        "--optim.lr number > 0  (default: 1e-06)\n        Peak learning rate.",
        "--optim.schedule cosine|constant  (default: constant)",
        "--extra.lr number > 0  (default: 1e-05)",
        "--steps int >= 1  (default: 10)",
        "--freeze true|false  (default: true)",
        "--names [text, ...]  (default: [])",
        "--sources.N.path text  (required)",
        "--note text|null  (default: null)",
    ):
        assert expected in text
    assert all(f"{field.path}" in text for field in fields_of(Config))
    assert max(map(len, text.splitlines())) <= 100


def test_types_for_people() -> None:
    assert type_text(dict[str, int | None]) == "{text: int|null}"
    assert type_text(list[float]) == "[number, ...]"
    assert type_text(Path | None) == "path|null"


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ["no", "1e-4", "1_000", "0x1", "null", "~", "", "y", "1:30", "=", "<<", ".inf", "2026-11-22", "true"]
)


@given(
    st.builds(
        Config,
        model=TEXTS,
        note=st.none() | TEXTS,
        names=st.lists(TEXTS).map(tuple),
        steps=st.integers(1, 1000),
        optim=st.builds(Optim, lr=st.floats(1e-300, 1e300), betas=st.tuples(st.floats(0, 1), st.floats(0, 1))),
        out=st.none(),
    )
)
def test_a_dumped_configuration_is_read_back_unchanged(config: Config) -> None:
    node = parse_yaml(to_yaml(config), "dump")
    assert node is not None
    assert Config.model_validate(node.plain) == config


@given(st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner, max_size=3)))
def test_dump_and_parse_are_inverse(value: object) -> None:
    node = parse_yaml(dump_yaml({"value": value}), "dump")
    assert node is not None
    assert node.plain == {"value": value}
