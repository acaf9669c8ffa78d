"""Ids stand for rows wherever results are joined, so each is there once; one wording for one that comes again."""


def repeated_text(key: str, first: str) -> str:
    """Say where an id is used already."""
    return f"id {key!r} is already used at {first}"


def check_new(key: str, place: str, first: str | None, hint: str = "") -> None:
    """ValueError when the id at `place` stands at `first` already; `hint` says what may help."""
    if first is not None:
        raise ValueError(f"{place}: {repeated_text(key, first)}; ids must be unique{hint}")
