"""What all shims pay by: a problem out of a trainer's columns, lengths in tokens, the reward.

The length term compares the tokens of the whole response with those of its first attempt. Where the trainer gives the
token ids, the tokenizer finds the first attempt in them, exactly as local RL does. Where it gives the text alone, the
tokenizer encodes it once more, and a response counts one token for its end. Without a tokenizer the term is left out of
the reward, and that is said once: characters are no tokens.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from srpo.core.records import OUTCOME_KEYS, Problem, Reward, Style, TokenCounts, outcome_of
from srpo.core.response import first_attempt_end, leading_tokens
from srpo.core.rewards import Preset, RewardCase, pay, weights_of
from srpo.grading import RULES_ONLY, Grader, case_of
from srpo.runs.progress import note


class Tokenizer(Protocol):
    """What is used of a tokenizer, of `transformers` or of `tokenizers`."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> Any:
        """Token ids, or an object that has them as `ids`."""
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = ...) -> str:
        """The text of token ids."""
        ...


class Earned(NamedTuple):
    """What one response earned, with what a trainer logs of it."""

    case: RewardCase
    reward: Reward | None
    """None when the response has no grade."""

    @property
    def total(self) -> float:
        """The reward as a number.

        Raises:
            ValueError: the response has no grade.
        """
        if self.reward is None:
            grade = self.case.final if self.case.first.counts else self.case.first
            problem = self.case.problem
            raise ValueError(
                f"problem {problem.id!r}: its gold {problem.answer!r} is {grade.verdict} ({grade.reason}), and this "
                "trainer cannot leave a response out; take the problem out (`srpo data check` finds such golds)"
            )
        return self.reward.total

    @property
    def metrics(self) -> dict[str, float]:
        """Score of every term, unweighted, both accuracies and the transition; empty when there is no grade."""
        outcome = outcome_of(self.case.first, self.case.final)
        if self.reward is None or outcome is None:
            return {}
        return {
            **{term.name: term.score for term in self.reward.terms},
            "first_accuracy": float(self.case.first.is_correct),
            "final_accuracy": float(self.case.final.is_correct),
            **{key: float(outcome == name) for name, key in OUTCOME_KEYS.items()},
        }


class Payer:
    """The reward of one configuration. Safe to call from many threads."""

    def __init__(
        self,
        preset: Preset = "paper",
        *,
        tokenizer: "str | Path | Tokenizer | None" = None,
        style: Style = "reflective",
        weights: Mapping[str, float] | None = None,
        length_floor: int = 0,
        symbolic: bool = False,
        rounded: float | None = None,
        reward: str | None = None,
    ) -> None:
        """Check the settings; they mean what they mean in `srpo rl --help`.

        Args:
            preset: Which reward.
            tokenizer: The policy's, or its checkpoint directory; None leaves the length term out.
            style: Which blocks are wanted.
            weights: Of terms that are to weigh other than the preset says.
            length_floor: Tokens below which the length term asks for no less.
            symbolic: Ask math-verify, in a worker process, where the rules cannot tell; `srpo reward` does not. Where
                it runs out of time, the rules decide.
            rounded: Relative tolerance for decimals that answer an exact gold.
            reward: `module:function` that pays in place of the preset; it needs a tokenizer.

        Raises:
            ValueError: A setting is unknown, or there is no tokenizer.
        """
        if reward is not None and tokenizer is None:
            raise ValueError(f"reward {reward!r} is told lengths in tokens, and no tokenizer was given")
        self.weights = weights_of(preset, weights or {}) if reward is None else dict(weights or {})
        self.preset, self.style, self.length_floor = preset, style, length_floor
        self._own = _own_reward(reward, self.weights) if reward is not None else None
        self._tokenizer = load_tokenizer(str(tokenizer)) if isinstance(tokenizer, str | Path) else tokenizer
        self._grader = Grader(symbolic=symbolic, rounded=rounded) if symbolic or rounded else RULES_ONLY
        if self._tokenizer is None and "length" in self.weights:
            _say_without_length()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """From a trainer's keyword arguments; ValueError names those that there are."""
        known = ("preset", "tokenizer", "style", "weights", "length_floor", "symbolic", "rounded", "reward")
        if unknown := sorted(settings.keys() - set(known)):
            raise ValueError(f"srpo's reward has no setting {unknown[0]!r}; it has {', '.join(known)}")
        return cls(**settings)

    def pay(
        self, problem: Problem, text: str, *, token_ids: Sequence[int] | None = None, num_tokens: int | None = None
    ) -> Earned:
        """What `text` earns.

        Args:
            problem: What was asked.
            text: The response without special tokens.
            token_ids: The response, its end token included, where the trainer has them.
            num_tokens: How many they are, where it has the number alone.
        """
        tokens = self._count(text, token_ids, num_tokens)
        case = case_of(problem, text, tokens, self.style, self._grader.grade_response)
        if "undecided" in (case.first.verdict, case.final.verdict):
            case = case_of(problem, text, tokens, self.style)
        if self._own is not None:
            return Earned(case, self._own(case))
        reward = pay(case, self.preset, weights=self.weights, length_floor=self.length_floor)
        if reward is not None and self._tokenizer is None:
            reward = Reward(terms=tuple(term for term in reward.terms if term.name != "length"))
        return Earned(case, reward)

    def _count(self, text: str, token_ids: Sequence[int] | None, num_tokens: int | None) -> TokenCounts:
        total = num_tokens if token_ids is None else len(token_ids)
        if self._tokenizer is None:
            return TokenCounts(prompt=0, total=total or 0)
        if token_ids is None:
            token_ids = encode(self._tokenizer, text)
            total = len(token_ids) + 1 if total is None else total
        end = first_attempt_end(text)
        assert total is not None, "ids or text give it"
        first = 0 if end is None else leading_tokens(self._decode, token_ids, end)
        return TokenCounts(prompt=0, total=total, first=total if self.style == "single" else first)

    def _decode(self, token_ids: Sequence[int]) -> str:
        assert self._tokenizer is not None, "lengths are counted with a tokenizer alone"
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)


def _own_reward(name: str, weights: Mapping[str, float]) -> Callable[[RewardCase], Reward | None]:
    from srpo.rl.reward import own_reward  # the settings of RL come with it, and few pay by one

    return own_reward(name, weights)


def payer_of(settings: Mapping[str, Any]) -> Payer:
    """The payer of a trainer that hands its settings over at every call: made once, and kept."""
    return _kept_payer(json.dumps(settings, sort_keys=True))


@lru_cache(maxsize=4)
def _kept_payer(settings: str) -> Payer:
    return Payer.of(json.loads(settings))


@lru_cache(maxsize=8)
def load_tokenizer(place: str) -> Tokenizer:
    """The tokenizer of a checkpoint directory, by the `tokenizers` package: no torch.

    Raises:
        ValueError: there is none.
    """
    from tokenizers import Tokenizer as Fast

    path = Path(place)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"tokenizer {place!r}: there is no {str(file)!r}; name a checkpoint directory that has one")
    tokenizer: Tokenizer = Fast.from_file(str(file))
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text, without any that a template adds."""
    found = tokenizer.encode(text, add_special_tokens=False)
    return list(getattr(found, "ids", found))


def problem_of(row: Mapping[str, Any], gold: str = "gold") -> Problem:
    """The problem in a row of an export, whose gold is called `gold`; others may lack id, question, kind and choices.

    Raises:
        ValueError: the gold is missing.
    """
    answer = row.get(gold)
    name = str(row.get("id") or "")
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        raise ValueError(f"problem {name!r} has no {gold!r}; the columns are {', '.join(sorted(row))}")
    choices = row.get("choices")
    return Problem(
        id=name,
        question=str(row.get("question") or ""),
        answer=str(answer),
        kind=row.get("kind") or None,
        choices=() if choices is None else tuple(str(choice) for choice in choices),
    )


def unpacked(label: str) -> Problem:
    """The problem in a label: what `srpo export` packs (`export.problems`), or a plain gold.

    >>> unpacked('{"gold": "B", "choices": ["3", "4"]}').choices, unpacked("12 cm").answer
    (('3', '4'), '12 cm')
    """
    try:
        row = json.loads(label)
    except json.JSONDecodeError:
        row = None
    return problem_of(row if isinstance(row, dict) and "gold" in row else {"gold": label})


@lru_cache(maxsize=1)
def _say_without_length() -> None:
    note(
        "srpo: the reward goes without its length term: it needs lengths in tokens, and no tokenizer was given "
        "(tokenizer=CHECKPOINT)"
    )
