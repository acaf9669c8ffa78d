"""Texts of responses."""


def reflective(first: str, second: str) -> str:
    """All five blocks, with these answers."""
    return (
        f"<think>a</think> <answer>{first}</answer> <reflection>Look at (A) again.</reflection> "
        f"<think>b</think> <answer>{second}</answer>"
    )
