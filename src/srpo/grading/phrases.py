"""Word lists as regular expressions, written so that people can read and extend them."""


def any_of(*lists: str) -> str:
    """Join phrases, separated by semicolons, into one group: `any_of("so; thus")` is `(?:so|thus)`."""
    return "(?:" + "|".join(phrase.strip(" \n") for part in lists for phrase in part.split(";") if phrase.strip()) + ")"


def words(text: str) -> list[str]:
    """The words of a list that is written as one string."""
    return text.split()
