"""What goes to vLLM and comes back, and whether the server follows; no torch, no server."""

from typing import Any

import pytest
from pydantic import ValidationError

from srpo.core.records import Sampling
from srpo.rl.config import RlConfig
from srpo.rl.vllm.agreement import Agreement, Scores
from srpo.rl.vllm.config import SamplerConfig
from srpo.rl.vllm.wire import AnswerError, Ask, Drawn, Rules, generate_body, read_drawn, read_scores

RULES = Rules(end_id=9, banned_ids=(7, 8))
ASK = Ask(prompt_ids=(1, 5, 2), whole_ids=(1, 5, 5, 5, 2), picture_urls=("data:x",), given=(3,), seed=11)


def choice(index: int, token_ids: list[int], **changes: Any) -> dict[str, Any]:
    content = [{"token_id": token, "logprob": -0.5} for token in token_ids]
    return {"index": index, "token_ids": token_ids, "logprobs": {"content": content}, **changes}


def answer(*choices: dict[str, Any], **changes: Any) -> dict[str, Any]:
    whole = {"prompt_token_ids": [1, 5, 5, 5, 2, 3], "mm_placeholders": {"image": [{"offset": 1, "length": 3}]}}
    return {**whole, "choices": list(choices), **changes}


def read(found: Any) -> list[Drawn]:
    return read_drawn(found, ASK, 2, 4, RULES)


def test_a_request_holds_ids_pictures_seed_and_every_setting_that_a_checkpoint_could_bring() -> None:
    body = generate_body("policy", ASK, 2, Sampling(temperature=0.7, top_p=0.9, max_tokens=4), RULES)
    assert body["token_ids"] == [1, 5, 2, 3]
    assert body["content_parts"] == [{"type": "image_url", "url": "data:x"}]
    settings = body["sampling_params"]
    assert (settings["n"], settings["seed"], settings["max_tokens"], settings["temperature"]) == (2, 11, 3, 0.7)
    assert (settings["top_k"], settings["min_p"], settings["repetition_penalty"], settings["top_p"]) == (0, 0, 1, 0.9)
    assert settings["logit_bias"] == {"7": -1e9, "8": -1e9}
    assert settings["stop_token_ids"] == [9]


def test_completions_come_in_order_and_those_without_an_end_token_are_truncated() -> None:
    found = read(answer(choice(1, [4, 4, 4]), choice(0, [4, 9])))
    assert found == [Drawn((4, 9), (-0.5, -0.5), truncated=False), Drawn((4, 4, 4), (-0.5,) * 3, truncated=True)]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (answer(choice(0, [9])), "1 completions in place of 2"),
        (answer(choice(0, [9]), choice(1, [9]), prompt_token_ids=[1, 5, 5, 2, 3]), "5 token ids in place of 6, the f"),
        (answer(choice(0, [9]), choice(1, [9]), prompt_token_ids=None), "no token ids in place of 6"),
        (answer(choice(0, [9]), choice(1, [9]), mm_placeholders=None), "saw 0 pictures in place of 1"),
        (answer(choice(0, [7, 9]), choice(1, [9])), r"drew ids \[7\], which no completion may hold"),
        (answer(choice(0, [9, 4, 9]), choice(1, [9])), r"end token 9 stands at \[0, 2\]"),
        (answer(choice(0, [4]), choice(1, [9])), "drew 1 tokens of at most 3"),
        (answer(choice(0, [4, 4, 4, 9]), choice(1, [9])), "drew 4 tokens of at most 3"),
        (answer(choice(0, []), choice(1, [9])), "cannot be read"),
        (answer(choice(0, [9], logprobs={"content": [{"token_id": 4, "logprob": 0}]}), choice(1, [9])), "other tokens"),
        (answer(choice(0, [9], logprobs=None), choice(1, [9])), "cannot be read"),
        ({"prompt_token_ids": [1, 5, 5, 5, 2, 3]}, "0 pictures in place of 1"),
        ("fine", "cannot be read"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_what_was_asked_for_is_refused(found: Any, message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        read(found)


def test_scores_are_those_of_the_tokens_that_were_sent() -> None:
    places = [None, {"2": {"logprob": -1.0}}, {"3": {"logprob": -2.0}}]
    assert read_scores({"prompt_logprobs": places}, [1, 2, 3]) == [-1.0, -2.0]
    with pytest.raises(AnswerError, match="scores of a text cannot be read"):
        read_scores({"prompt_logprobs": places}, [1, 2, 4])


TRAINER = [-1.0, -2.0, -3.0, -4.0]
SERVER = [-1.01, -1.99, -3.01, -3.99]


def moved(values: list[float], by: float) -> list[float]:
    return [value + by for value in values]


def test_a_server_that_moves_with_the_trainer_follows_whatever_lies_between_them() -> None:
    agreement = Agreement()
    steps = [Scores(moved(SERVER, 0.19 * step), moved(TRAINER, 0.2 * step)) for step in range(4)]
    assert [agreement.failure(scores) for scores in steps] == [None] * 4


def test_a_server_that_stays_where_it_was_is_found_out_once_the_trainer_has_moved_beyond_the_noise() -> None:
    agreement = Agreement()
    failures = [agreement.failure(Scores(SERVER, moved(TRAINER, 0.03 * step))) for step in range(4)]
    # The noise is 0.01 nats; 0.09 is more than eight times that.
    assert failures[:3] == [None] * 3
    assert failures[3] is not None
    assert failures[3].left == pytest.approx(failures[3].trainer) == pytest.approx(0.09)


def test_a_server_that_took_all_but_a_tenth_of_the_weights_is_found_out_where_the_noise_is_small() -> None:
    agreement = Agreement()
    assert agreement.failure(Scores(TRAINER, TRAINER)) is None
    failed = agreement.failure(Scores(moved(TRAINER, 0.09), moved(TRAINER, 0.1)))
    assert failed is not None
    assert failed.left == pytest.approx(0.01)


def test_what_did_not_move_cannot_be_judged() -> None:
    agreement = Agreement()
    assert agreement.failure(Scores(TRAINER, TRAINER)) is None
    assert agreement.failure(Scores(TRAINER, moved(TRAINER, 1e-5))) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"python": "x"}, "sampler.python is for kind: vllm"),
        ({"kind": "vllm", "base_url": "http://h:1/v1", "arguments": ["--x"]}, "sampler.arguments is for servers that"),
        ({"kind": "vllm", "model": "other"}, "sampler.model is for base_url"),
        ({"kind": "vllm", "base_url": "h:1"}, "is no address"),
        ({"kind": "vllm", "base_url": "http://me:secret@h/v1"}, "holds a name or password"),
        ({"kind": "vllm", "base_url": "http://h/v1", "api_key_env": "sk-1"}, "must be the name of a variable"),
    ],
)  # fmt: skip
def test_settings_that_nothing_reads_or_that_hold_a_key_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        SamplerConfig.model_validate(settings)
    assert "secret" not in str(refused.value)


def test_without_a_python_that_has_vllm_the_way_to_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SRPO_VLLM_PYTHON", raising=False)
    with pytest.raises(ValueError, match=r"set sampler.python or SRPO_VLLM_PYTHON, or give"):
        _ = SamplerConfig(kind="vllm").interpreter


def test_vllm_is_corrected_for_unless_the_config_says_otherwise() -> None:
    base: dict[str, Any] = {"model": "m", "data": "d.jsonl", "steps": 1}
    vllm = {"sampler": {"kind": "vllm"}}
    assert RlConfig.model_validate(base).loss.importance_cap is None
    assert RlConfig.model_validate(base | vllm).loss.importance_cap == 2.0
    assert RlConfig.model_validate(base | vllm | {"loss": {"variant": "dapo"}}).loss.importance_cap == 2.0
    assert RlConfig.model_validate(base | vllm | {"loss": {"importance_cap": None}}).loss.importance_cap is None
    # What a run directory holds says everything, and is read back as it was.
    stored = RlConfig.model_validate(base | vllm).model_dump(mode="json")
    assert RlConfig.model_validate(stored).loss.importance_cap == 2.0
