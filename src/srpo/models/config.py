"""Settings of a model behind an OpenAI-compatible server: vLLM, SGLang, a vendor.

teacher:
  model: {model: Qwen/Qwen2.5-VL-72B-Instruct, base_url: "http://localhost:8000/v1", concurrency: 64}
"""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, JsonValue, Tag, field_validator, model_validator

from srpo.core.records import Record
from srpo.models.secret_fields import check_address, check_no_key

ImageFormat = Literal["jpeg", "png", "as-is"]

OWN_FIELDS = ("model", "messages", "n", "seed", "stream", "temperature", "top_p", "max_tokens", "max_completion_tokens",
              "response_format")  # fmt: skip
"""Fields of a request that srpo sets itself, from other settings; `extra_body` must not fight with them."""


class ServerConfig(Record):
    """A served model, how to reach it, how hard to press it, and what it costs.

    Azure and most vendors need no more than `base_url` and a key. Run by us: our own loopback server; no vendor.
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a misplaced key must not come back in a message

    model: Annotated[str, Field(min_length=1)]
    """Name under which the server knows the model."""
    base_url: str = ""
    """Address up to `/v1`; empty means OpenAI's own, or `$OPENAI_BASE_URL`. A key in its query is written as the name
    of a variable: `?api-key=$NAME`."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; never the key itself. It may be unset for servers on this
    machine."""
    concurrency: Annotated[int, Field(ge=1)] = 32
    """Requests under way at once."""
    rpm: Annotated[int, Field(ge=1)] | None = None
    """Requests per minute that the server allows; null means no limit of our own."""
    tpm: Annotated[int, Field(ge=1)] | None = None
    """Tokens per minute that the server allows, prompt and answer together; null means no limit of our own."""
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Seconds until a request without an answer is given up and sent again."""
    max_retries: Annotated[int, Field(ge=0)] = 6
    """How often a request is sent again at least, after 429, 5xx, a timeout, a lost connection or a damaged answer."""
    patience_s: Annotated[float, Field(ge=0)] = 300.0
    """Seconds for which such a request is sent again, at least; then the run stops and can go on. A server that starts
    anew takes minutes."""
    skip_failing: bool = True
    """A request that fails all that time while others like it are answered is rejected with the server's words; at most
    8, and 1% of those answered. False: the run stops there, and the same command asks again."""
    max_retry_after_s: Annotated[float, Field(gt=0)] = 120.0
    """Longest wait that a server's Retry-After is believed."""
    backoff_s: Annotated[float, Field(ge=0)] = 0.5
    """Seconds before the first retry; twice as long before each further one, up to a minute. A Retry-After
    goes before."""
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Larger pictures are scaled down to this area before they are sent."""
    image_format: ImageFormat = "jpeg"
    """How pictures are sent; `as-is` sends the file's own bytes where it is a JPEG, PNG, WebP or GIF and small
    enough."""
    structured: bool = False
    """Ask for JSON by schema where the request wants the blocks of a reflection; not every server has it."""
    sends_images: bool = True
    """False for a text-only model: the problem's caption goes in place of its pictures."""
    n: bool = True
    """Whether one request may ask for several samples; false for servers that ignore it."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """How the server calls the bound on generated tokens; OpenAI's reasoning models want the longer name."""
    omit: tuple[Literal["temperature", "top_p", "seed"], ...] = ()
    """Fields that this server refuses and that are therefore not sent."""
    usd_per_million_in: Annotated[float, Field(ge=0)] | None = None
    """Price of a million prompt tokens; null looks the model up."""
    usd_per_million_out: Annotated[float, Field(ge=0)] | None = None
    """Price of a million generated tokens; null looks the model up."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the request's JSON, for instance `{top_k: 20}`. A key among them is written as the name of a
    variable: `{user_token: $NAME}`."""

    @model_validator(mode="before")
    @classmethod
    def _no_key(cls, value: Any) -> Any:
        """A key in a config ends up in run directories and reports; what looks like one is not repeated here."""
        if isinstance(value, dict) and "api_key" in value:
            raise ValueError("a key does not belong in a config; export it and name the variable in api_key_env")
        if isinstance(value, dict) and not str(value.get("api_key_env", "OPENAI_API_KEY")).isidentifier():
            raise ValueError("api_key_env must be the name of a variable, such as OPENAI_API_KEY, and not the key")
        if isinstance(value, dict):
            check_address(str(value.get("base_url", "")), "base_url")
            check_no_key(value.get("extra_body"), "extra_body")
        return value

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is no address; it begins with http:// or https:// and ends mostly with /v1")
        return value

    @field_validator("extra_body")
    @classmethod
    def _not_ours(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(value.keys() & set(OWN_FIELDS)):
            raise ValueError(
                f"{', '.join(taken)}: srpo sets this itself; use the setting of the stage or of the server"
            )
        return value

    @model_validator(mode="after")
    def _both_prices(self) -> Self:
        if (self.usd_per_million_in is None) != (self.usd_per_million_out is None):
            raise ValueError("give both usd_per_million_in and usd_per_million_out, or neither")
        return self


LOCAL = "local:"
"""A teacher with this beginning is a checkpoint directory."""


Model = Annotated[
    Annotated[str, Tag("text")] | Annotated[ServerConfig, Tag("server")],
    Discriminator(lambda value: "server" if isinstance(value, dict | ServerConfig) else "text"),
]
"""A name, or a model behind a server. The discriminator keeps errors of the one apart from those of the other."""


MAY_CHANGE = (
    *(f"budget.{name}" for name in ("max_usd", "confirm_usd", "pilot")),
    "engine",
    "ray.address",
    "ray.num_workers",
    *(
        f"{place}.{name}"
        for place in ("model", "teacher.model", "judge.model")
        for name in ("base_url", "api_key_env", "concurrency", "rpm", "tpm", "timeout_s", "max_retries", "backoff_s",
                     "patience_s", "skip_failing", "max_retry_after_s",
                     "usd_per_million_in", "usd_per_million_out")
    ),
)  # fmt: skip
"""Settings that decide how a run gets on, not what comes out: a stopped run may go on with others."""


class BudgetConfig(Record):
    """How much money a run may spend; only models behind servers cost any."""

    max_usd: Annotated[float, Field(gt=0)] | None = None
    """The run stops before it has spent more, and can go on; null means no limit."""
    confirm_usd: Annotated[float, Field(ge=0)] | None = 10.0
    """Ask before going on with a run that is estimated above this; null never asks."""
    pilot: Annotated[int, Field(ge=0)] = 20
    """Problems, from everywhere in the data, by which the cost is estimated before the others are begun; 0: none."""

    @field_validator("pilot")
    @classmethod
    def _has_spread(cls, value: int) -> int:
        if value == 1:
            raise ValueError("a pilot of one problem has no spread to estimate from; use at least 2, or 0 for none")
        return value


Engine = Literal["local", "ray"]
"""Where the work between the requests is done: in this process, or by workers on a Ray cluster."""


class RayConfig(Record):
    """The cluster of `engine: ray` (docs/scale.md)."""

    address: str = ""
    """`auto` is the cluster that this machine belongs to, `local` starts one on this machine; empty takes the first
    that there is."""
    num_workers: Annotated[int, Field(ge=1)] | None = None
    """Workers, a CPU each; null: as many as the cluster has CPUs."""

    @field_validator("address")
    @classmethod
    def _of_a_member(cls, value: str) -> str:
        if value.startswith("ray://"):
            raise ValueError(
                f"{value!r} is for clients from outside; run the command on a machine of the cluster, with address auto"
            )
        return value


def check_local(value: str, what: str, others: str) -> None:
    """Raise ValueError unless `value` names a checkpoint."""
    if len(value.removeprefix(LOCAL)) in {0, len(value)}:
        raise ValueError(
            f"unknown {what} {value!r}; use {others}, {LOCAL}<checkpoint directory>, or a server: "
            "{model: NAME, base_url: ...}"
        )
