"""What the remote generator is made of: settings, requests, pictures, limits, replies as JSON."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from srpo.config.load import ConfigError, load_config
from srpo.core.records import Problem, Sampling
from srpo.models.config import ServerConfig
from srpo.models.meter import Meter
from srpo.models.protocol import Message, Request
from srpo.models.remote import RemoteGenerator
from srpo.models.remote_client import completions_url
from srpo.models.remote_limits import MAX_BACKOFF_S, Rate, backoff_s, retry_after_s
from srpo.models.remote_request import Prepared, RequestBuilder, base_url
from srpo.models.secret_fields import filled
from srpo.models.structured import ATTEMPT_BLOCKS, blocks_in_tags
from srpo.runs.secrets import hidden

URL = "http://localhost/v1"
SAMPLING = Sampling(max_tokens=50)


def picture(folder: Path, size: tuple[int, int] = (40, 20), name: str = "a.png", colour: str = "red") -> str:
    Image.new("RGB", size, colour).save(folder / name)
    return str(folder / name)


def request(*images: str, caption: str = "", text: str = "How many?", num_samples: int = 1) -> Request:
    problem = Problem(id="1", question=text, answer="1", images=images, caption=caption)
    messages = (Message(role="system", text="Be brief."), Message(role="user", text=text))
    return Request(problem=problem, messages=messages, num_samples=num_samples)


def build(asked: Request, sampling: Sampling = SAMPLING, url: str = URL, **fields: object) -> Prepared:
    (prepared,) = RequestBuilder(ServerConfig(**{"model": "m", **fields}), ()).build(asked, sampling, url)
    return prepared


def opened(content: Any) -> Image.Image:
    head, _, data = content["image_url"]["url"].partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{(image.format or '').lower()};base64"
    return image


def test_pictures_stand_before_the_text_of_the_first_user_turn(tmp_path: Path) -> None:
    system, user = build(request(picture(tmp_path), picture(tmp_path, name="b.png"))).body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "text"]
    assert opened(user["content"][0]).size == (40, 20)
    assert user["content"][-1]["text"] == "How many?"


@pytest.mark.parametrize(("image_format", "kind"), [("jpeg", "JPEG"), ("png", "PNG"), ("as-is", "PNG")])
def test_picture_formats_and_scaling(tmp_path: Path, image_format: str, kind: str) -> None:
    ref = picture(tmp_path, (80, 40))
    whole = build(request(ref), image_format=image_format).body["messages"][1]["content"][0]
    assert (opened(whole).format, opened(whole).size) == (kind, (80, 40))
    small = build(request(ref), image_format=image_format, max_pixels=800).body["messages"][1]["content"][0]
    assert (opened(small).format, opened(small).size) == (kind, (40, 20))
    if image_format == "as-is":
        assert base64.b64decode(whole["image_url"]["url"].partition(",")[2]) == Path(ref).read_bytes()


def test_a_text_only_model_gets_the_caption() -> None:
    asked = request("missing.png", caption="Three bars.")
    assert build(asked, sends_images=False).body["messages"][1]["content"] == (
        "Description of the picture:\nThree bars.\n\nHow many?"
    )
    generator = RemoteGenerator(ServerConfig(model="m", sends_images=False), cache=None, meter=Meter())
    assert generator.inspect(asked).reason is None
    reason = generator.inspect(request("missing.png")).reason
    assert reason == "the model takes no pictures, and the problem has no caption to send in their place"


def test_inspect_needs_no_server(tmp_path: Path) -> None:
    generator = RemoteGenerator(ServerConfig(model="m"), cache=None, meter=Meter())
    text, seen = generator.inspect(request()), generator.inspect(request(picture(tmp_path, (280, 280))))
    assert seen.num_tokens == text.num_tokens + 100
    assert generator.inspect(request("missing.png")).reason == "missing.png: no such file"
    assert generator.inspect(request(picture(tmp_path, (3, 900), "thin.png"))).notes[0].startswith("3x900 padded")


def test_the_key_names_all_that_shapes_the_answer(tmp_path: Path) -> None:
    ref, other = picture(tmp_path), picture(tmp_path, name="b.png", colour="blue")
    same = picture(tmp_path, name="c.png")
    asked = request(ref)
    key = build(asked).key
    assert build(request(same)).key == key, "the content counts, not the name"
    assert build(asked, concurrency=3, rpm=5, timeout_s=9).key == key
    others = [
        build(request(other)),
        build(request(ref, text="How much?")),
        build(request(ref, num_samples=2)),
        build(asked, Sampling(max_tokens=51)),
        build(asked, Sampling(max_tokens=50, seed=1)),
        build(asked, Sampling(max_tokens=50, temperature=0)),
        build(asked, url="http://other/v1"),
        build(asked, model="m2"),
        build(asked, max_pixels=100),
        build(asked, extra_body={"top_k": 20}),
    ]
    assert len({key, *(one.key for one in others)}) == len(others) + 1


def test_fields_that_a_server_refuses() -> None:
    fields: dict[str, Any] = {
        "omit": ("seed", "temperature"),
        "max_tokens_field": "max_completion_tokens",
        "extra_body": {"top_k": 5},
    }
    body = build(request(), Sampling(max_tokens=50, top_p=0.9), **fields).body
    del body["messages"]
    assert body == {"model": "m", "max_completion_tokens": 50, "top_p": 0.9, "top_k": 5}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"api_key": "sk-1"}, "a key does not belong in a config"),
        ({"api_key_env": "sk-secret"}, "must be the name of a variable"),
        ({"base_url": "localhost:8000"}, "begins with http://"),
        ({"base_url": "https://me:sk-1@host/v1"}, "name or password"),
        ({"base_url": "https://host/v1?api-version=1&api-key=sk-1"}, "base_url holds a key"),
        ({"base_url": "https://host/sk-1234567890abcd/v1"}, "base_url holds a key"),
        ({"extra_body": {"user": {"access_token": "sk-1"}}}, "extra_body.user.access_token holds a key"),
        ({"extra_body": {"api_key:sk-1234567890abcd": None}}, "extra_body holds a key"),
        ({"extra_body": {"headers": ["Bearer sk-1"]}}, "extra_body.headers holds a key"),
        ({"extra_body": {"seed": 1}}, "seed: srpo sets this itself"),
        ({"usd_per_million_in": 1}, "give both"),
    ],
)
def test_bad_settings(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        ServerConfig(model="m", **fields)
    assert "sk-" not in str(error.value)
    (tmp_path / "c.yaml").write_text("".join(f"{name}: {value}\n" for name, value in {"model": "m", **fields}.items()))
    with pytest.raises(ConfigError, match=message) as config_error:
        load_config(ServerConfig, tmp_path / "c.yaml")
    assert "sk-" not in str(config_error.value)


def test_an_address_of_the_environment_is_checked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:sk-1@host/v1")
    with pytest.raises(ValueError, match="OPENAI_BASE_URL holds a name or password") as error:
        base_url(ServerConfig(model="m"))
    assert "sk-1" not in str(error.value)


def test_keys_that_a_config_names_go_into_the_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = {"base_url": "https://host/v1?v=1&key=$GATE_KEY", "extra_body": {"a": [{"user_token": "${GATE_KEY}"}]}}
    found = ServerConfig(model="m", **server)
    with pytest.raises(ValueError, match=r"base_url's key names \$GATE_KEY, and the environment has none"):
        completions_url(found)
    keys = set()
    for value in ("first-5f8e&7d6c", "other-1a2b&3c4d"):
        monkeypatch.setenv("GATE_KEY", value)
        assert completions_url(found) == f"https://host/v1/chat/completions?v=1&key={value.replace('&', '%26')}"
        prepared = build(request(), url=base_url(found), extra_body=found.extra_body)
        assert value not in json.dumps(prepared.body), "only what is sent has it"
        assert filled(found.extra_body, "extra_body")["a"] == [{"user_token": value}]
        assert value not in found.model_dump_json()
        assert hidden(f"bad {value}") == "bad ***"
        keys.add(prepared.key)
    assert len(keys) == 1, "a new key does not buy old answers again"


def test_names_that_are_no_keys_are_sent_as_they_are() -> None:
    fields = {"prompt_cache_key": "a", "stop_token": "b", "max_tokens_per_page": 3, "price": "$5"}
    body = build(request(), extra_body=fields).body
    assert {name: body[name] for name in fields} == fields


def test_rate_is_even_from_the_first_second() -> None:
    rate = Rate(per_minute=120)
    assert [rate.take(1, now=100.0) for _ in range(5)] == [0, 0, 0, 0.5, 1.0], "a second's worth at once"
    assert rate.take(1, now=1000.0) == 0
    rate.take(600, now=1000.0)
    rate.correct(-600)
    assert rate.take(1, now=1000.5) == 0, "a guess that was too high is given back"
    sent, now = 0, 0.0
    busy = Rate(per_minute=600)
    while now < 60:
        now += busy.take(1, now)
        sent += 1
    assert 600 <= sent <= 612


def test_backoff() -> None:
    waits = [backoff_s(0.5, retry, b"a") for retry in range(12)]
    assert all(0.25 * 2**retry <= waits[retry] <= 0.5 * 2**retry for retry in range(6))
    assert max(waits) <= MAX_BACKOFF_S
    assert backoff_s(0.5, 3, b"a") != backoff_s(0.5, 3, b"b"), "each request has its own jitter"


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], wanted: float | None) -> None:
    assert retry_after_s(headers, now_s=40.0) == wanted


TAGGED = "<think>3+4</think>\n<answer>7</answer>"


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ('{"think": "3+4", "answer": "7"}', TAGGED),
        ('Sure!\n```json\n{"think": "3+4", "answer": 7,}\n```\nDone {1}.', TAGGED),
        ('{"answer": "7", "Think": "3+4", "confidence": {"high": true}}', TAGGED),
        ('{"result": {"think": "3+4", "answer": "7"}}', TAGGED),
        ('{"think": "<think>3+4</think>", "answer": "<answer>7</answer>"}', TAGGED),
        ('{"draft": 1} {"think": "3+4", "answer": "7"}', TAGGED),
        ('{"think": "a,]\nb", "answer": "7"}', "<think>a,]\nb</think>\n<answer>7</answer>"),
        (r'{"think": "\frac12 \times \neq\nSo", "answer": "\\pi"}',
         "<think>\\frac12 \\times \\neq\nSo</think>\n<answer>\\pi</answer>"),
        (r'{"think": "\"x\" \u2264 \( y \)", "answer": "7"}', "<think>\"x\" ≤ \\( y \\)</think>\n<answer>7</answer>"),
        (TAGGED, TAGGED),
        ("no blocks", "no blocks"),
        ('{"think": "3+4"}', '{"think": "3+4"}'),
        ('{"think": "3+4", "answer": ["7"]}', '{"think": "3+4", "answer": ["7"]}'),
        ('{"think": "3+4", "answer": "7', '{"think": "3+4", "answer": "7'),
        ('["think", "answer"]', '["think", "answer"]'),
    ],
)  # fmt: skip
def test_json_replies(reply: str, wanted: str) -> None:
    assert blocks_in_tags(reply, ATTEMPT_BLOCKS) == wanted


def test_hostile_replies_end() -> None:
    deep = '{"think": ' * 2_000 + '"answer"'
    assert blocks_in_tags(deep, ATTEMPT_BLOCKS) == deep
