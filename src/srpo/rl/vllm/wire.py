"""What goes to a vLLM server and comes back: token ids both ways, nothing that a tokenizer has to read again. Pure.

The prompt goes as the ids that the trainer learns from, its pictures beside them; the answer says which prompt the
server made of that, and it must be the same. Every setting that a checkpoint's generation_config.json may hold is sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from srpo.core.records import Sampling

GENERATE = "/inference/v1/generate"
_NEVER = -1e9
"""Added to the logit of a banned id: its probability is 0 in every type."""


class Ask(NamedTuple):
    """One prompt with what its completions begin with."""

    prompt_ids: tuple[int, ...]
    """As they go to the server: one image token for each picture."""
    whole_ids: tuple[int, ...]
    """As the trainer has them: as many image tokens as a picture has features."""
    picture_urls: tuple[str, ...] = ()
    """Data URLs, in the order of their places in the prompt."""
    given: tuple[int, ...] = ()
    """Tokens that every completion begins with."""
    seed: int = 0


class Rules(NamedTuple):
    """What holds for all completions of a policy."""

    end_id: int
    banned_ids: tuple[int, ...]


class Drawn(NamedTuple):
    """One completion, without what was given."""

    token_ids: tuple[int, ...]
    """The end token is the last one unless `truncated`."""
    logprobs: tuple[float, ...]
    """Under the temperature and without the banned ids."""
    truncated: bool


class AnswerError(ValueError):
    """The server's answer is not what was asked for, and learning from it would be wrong."""


def generate_body(model: str, ask: Ask, num_samples: int, sampling: Sampling, rules: Rules) -> dict[str, Any]:
    """The request for `num_samples` completions."""
    return {
        "model": model,
        "token_ids": [*ask.prompt_ids, *ask.given],
        "content_parts": [{"type": "image_url", "url": url} for url in ask.picture_urls] or None,
        "return_token_ids": True,
        "sampling_params": {
            "n": num_samples,
            "seed": ask.seed,
            "max_tokens": sampling.max_tokens - len(ask.given),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "logprobs": 0,
            "stop_token_ids": [rules.end_id],
            "ignore_eos": True,
            "logit_bias": {str(one): _NEVER for one in rules.banned_ids},
            "detokenize": False,
        },
    }


def score_body(model: str, token_ids: Sequence[int]) -> dict[str, Any]:
    """The request for the log-probabilities of a text without pictures."""
    settings = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
    return {"model": model, "token_ids": list(token_ids), "sampling_params": settings}


def read_scores(answer: Any, token_ids: Sequence[int]) -> list[float]:
    """The log-probability of every token but the first.

    Raises:
        AnswerError: the answer holds something else.
    """
    try:
        places = answer["prompt_logprobs"][1:]
        scores = [float(place[str(token)]["logprob"]) for place, token in zip(places, token_ids[1:], strict=True)]
    except (LookupError, TypeError, ValueError) as error:
        raise AnswerError(f"the server's scores of a text cannot be read ({type(error).__name__}: {error})") from error
    return scores


def read_drawn(answer: Any, ask: Ask, num_samples: int, max_tokens: int, rules: Rules) -> list[Drawn]:
    """The completions of an answer, in order.

    Raises:
        AnswerError: another prompt, another number of completions, ids that are banned or go on after the end,
            log-probabilities that are not there.
    """
    try:
        _check_prompt(answer, ask)
        choices = sorted(answer["choices"], key=lambda choice: int(choice["index"]))
        drawn = [_read_choice(choice, rules) for choice in choices]
    except AnswerError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise AnswerError(f"the server's answer cannot be read ({type(error).__name__}: {error})") from error
    if len(drawn) != num_samples:
        raise AnswerError(f"the server sent {len(drawn)} completions in place of {num_samples}")
    for one in drawn:
        _check_tokens(one, max_tokens - len(ask.given), rules)
    return drawn


def weight_versions(answer: Any) -> set[str]:
    """Versions of the weights with which an answer was drawn, where the server tells them."""
    spans = [span for choice in answer["choices"] for span in choice.get("weight_versions") or ()]
    return {str(span["version"]) for span in spans}


def _check_prompt(answer: Mapping[str, Any], ask: Ask) -> None:
    found = answer.get("prompt_token_ids")
    wanted = [*ask.whole_ids, *ask.given]
    if found != wanted:
        size = len(found) if isinstance(found, Sequence) else "no"
        place = next((at for at, pair in enumerate(zip(found or (), wanted, strict=False)) if pair[0] != pair[1]), None)
        raise AnswerError(
            f"the server read another prompt than the trainer: {size} token ids in place of {len(wanted)}"
            f"{'' if place is None else f', the first other one at place {place}'}. Model and picture settings "
            "(preprocessor_config.json) must be those of the checkpoint that is trained"
        )
    pictures = (answer.get("mm_placeholders") or {}).get("image") or []
    if len(pictures) != len(ask.picture_urls):
        raise AnswerError(
            f"the server saw {len(pictures)} pictures in place of {len(ask.picture_urls)}; it needs a vLLM whose "
            f"{GENERATE} takes content_parts (0.32 does)"
        )


def _read_choice(choice: Mapping[str, Any], rules: Rules) -> Drawn:
    token_ids = tuple(int(token) for token in choice["token_ids"])
    content = choice["logprobs"]["content"]
    if [int(place["token_id"]) for place in content] != list(token_ids):
        raise AnswerError("the server's log-probabilities are of other tokens than those that it drew")
    logprobs = tuple(float(place["logprob"]) for place in content)
    return Drawn(token_ids, logprobs, truncated=token_ids[-1] != rules.end_id)


def _check_tokens(drawn: Drawn, most: int, rules: Rules) -> None:
    if unwanted := set(drawn.token_ids) & set(rules.banned_ids):
        raise AnswerError(f"the server drew ids {sorted(unwanted)}, which no completion may hold")
    size = len(drawn.token_ids)
    if rules.end_id in drawn.token_ids[:-1] or size > most or (drawn.truncated and size < most):
        raise AnswerError(
            f"the server drew {size} tokens of at most {most}, and the end token {rules.end_id} stands at "
            f"{[at for at, token in enumerate(drawn.token_ids) if token == rules.end_id]}: it must be the last one, or "
            "missing where all tokens are used up"
        )
