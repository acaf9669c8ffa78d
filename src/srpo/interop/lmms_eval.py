"""lmms-eval runs our models: a checkpoint or a server, reflective or plain, found through an entry point.

    lmms-eval --model srpo --model_args pretrained=runs/rl/model,trace_dir=runs/lmms --tasks mathvista_testmini
    lmms-eval --model srpo --model_args model=NAME,base_url=http://localhost:8000/v1,trace_dir=runs/lmms --tasks mmstar

lmms-eval gets the bare final answer; the whole text is kept in `trace_dir`, a run directory that `srpo show` reads. Its
`until` is ignored (a blank line ends no reflective response), and so is a `max_new_tokens` smaller than ours.

Nothing here needs lmms-eval before it is used; written against version 0.7.3.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from srpo.core.prompts import PromptName, prompt_named, user_text
from srpo.core.records import Grade, Problem, Record, Sampling, TokenCounts, Trace
from srpo.grading import bare_answer, is_plain_number
from srpo.interop.questions import has_lettered_options, listed_options
from srpo.models.config import ServerConfig
from srpo.models.protocol import Completion, InspectingGenerator, Message, Request
from srpo.policy.precision import AutoDtype
from srpo.runs.directory import RunDir
from srpo.runs.progress import note, progress

MODEL_ID = "srpo"
CLASS_NAME = "SrpoModel"
_MISSING = "lmms-eval is not installed in this environment (docs/interop.md says how to install it beside srpo)"
_TOOK_OVER = "lmms-eval grades this answer"


class LmmsConfig(Record):
    """What `--model_args` may say."""

    pretrained: str = ""
    """Checkpoint directory; or give `model`."""
    model: str = ""
    """Name of a model behind an OpenAI-compatible server."""
    base_url: str = ""
    """Address of the server, up to `/v1`."""
    api_key_env: str = "OPENAI_API_KEY"
    """Variable that holds the server's key."""
    concurrency: Annotated[int, Field(ge=1)] = 32
    """Requests to the server under way at once."""
    trace_dir: Path = Path("srpo-lmms")
    """A new run directory for the whole texts."""
    prompt: PromptName = "reflective"
    """Prompt around the task's own text; `bare` adds nothing."""
    style: Literal["reflective", "single"] = "reflective"
    """What the traces say about the responses' form."""
    max_tokens: Annotated[int, Field(ge=1)] = 2048
    """Longest response; a task that asks for more gets more."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Ours counts, whatever a task asks for."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int = 0
    batch_size: Annotated[int, Field(ge=1)] = 1
    """Problems that a checkpoint answers together."""
    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Larger pictures are scaled down to this area."""
    device: str = "auto"
    dtype: AutoDtype = "auto"

    @model_validator(mode="after")
    def _one_model(self) -> "LmmsConfig":
        if bool(self.pretrained) == bool(self.model):
            raise ValueError("give either pretrained=CHECKPOINT or model=NAME of a server")
        return self

    @property
    def name(self) -> str:
        """The model's name in traces."""
        return self.pretrained or self.model

    def opened(self) -> str | ServerConfig:
        """The model as the rest of srpo names it."""
        if self.pretrained:
            return self.pretrained
        return ServerConfig(
            model=self.model,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            concurrency=self.concurrency,
            max_pixels=self.max_pixels,
        )


class Asked(NamedTuple):
    """One request of lmms-eval, in our terms."""

    request: Request
    max_tokens: int
    is_lettered: bool
    is_number: bool


class Answered(NamedTuple):
    """What lmms-eval gets for a request."""

    text: str
    """The bare final answer."""
    num_prompt: int
    num_generated: int


class Bridge:
    """Answers requests of lmms-eval with a generator of ours, and keeps the traces. Knows nothing of lmms-eval."""

    def __init__(self, config: LmmsConfig, generator: InspectingGenerator | None = None) -> None:
        """Open the model; `generator` stands in for it.

        Raises:
            ValueError: the model cannot be opened, or `trace_dir` holds something already.
        """
        from srpo.models.pool import ModelPool
        from srpo.runs.origin import make_origin

        if config.trace_dir.exists() and any(config.trace_dir.iterdir()):
            raise ValueError(f"trace_dir {str(config.trace_dir)!r} is not empty; choose a new directory")
        self._config = config
        self._stack = ExitStack()
        try:
            pool = ModelPool(
                self._stack, cache=None, device=config.device, dtype=config.dtype, max_pixels=config.max_pixels
            )
            self._generator = generator if generator is not None else pool.open(config.opened())
            self._run = self._stack.enter_context(RunDir.open(config.trace_dir, config, "eval"))
        except BaseException:
            self._stack.close()
            raise
        self._origin = make_origin(self._run, "eval", config.name, config.prompt, self._sampling(config.max_tokens))

    def answer(self, asked: Sequence[Asked]) -> list[Answered]:
        """Generate, write the traces, and take the bare answers out."""
        found: list[Answered] = []
        size = self._config.batch_size if self._config.pretrained else 4 * self._config.concurrency
        with progress(len(asked), "lmms-eval") as bar:
            for start in range(0, len(asked), size):
                batch = asked[start : start + size]
                found += self._batch(batch)
                bar.advance(len(batch))
        return found

    def close(self) -> None:
        """Finish the run directory and let the model go."""
        if not self._run.finished:
            self._run.finish({"num_traces": sum(1 for _ in self._run.traces())})
        self._stack.close()

    def _batch(self, batch: Sequence[Asked]) -> list[Answered]:
        infos = [self._generator.inspect(one.request) for one in batch]
        taken = [one for one, info in zip(batch, infos, strict=True) if info.reason is None]
        most = max((one.max_tokens for one in taken), default=1)
        done = iter(self._generator.generate([one.request for one in taken], self._sampling(most)) if taken else [])
        found, traces = [], []
        for one, info in zip(batch, infos, strict=True):
            completion = next(done)[0] if info.reason is None else Completion("", 0, truncated=False, error=info.reason)
            if completion.error is not None:
                note(f"srpo: {one.request.problem.id}: no answer: {completion.error}")
            bare = bare_answer(
                completion.text,
                choices=listed_options(one.request.problem.question),
                lettered=one.is_lettered,
                number=one.is_number,
            )
            found.append(Answered(bare, info.num_tokens, completion.num_tokens))
            traces.append(self._trace(one, completion, bare, info.num_tokens))
        self._run.append_traces(traces)
        return found

    def _trace(self, asked: Asked, completion: Completion, bare: str, num_prompt: int) -> Trace:
        from srpo.grading import grade_with

        reason = _TOOK_OVER if completion.error is None else f"no answer: {completion.error}"

        def keep(answer: str) -> Grade:
            return Grade(verdict="ungradable", extracted=bare_answer(answer) or None, reason=reason)

        graded = grade_with(keep, completion.text, self._config.style)
        final = graded.final_grade.model_copy(update={"extracted": bare or None})
        return Trace.of(
            graded._replace(final_grade=final),
            origin=self._origin,
            problem=asked.request.problem,
            style=self._config.style,
            text=completion.text,
            tokens=TokenCounts(prompt=num_prompt, total=completion.num_tokens, truncated=completion.truncated),
        )

    def _sampling(self, max_tokens: int) -> Sampling:
        config = self._config
        return Sampling(temperature=config.temperature, top_p=config.top_p, max_tokens=max_tokens, seed=config.seed)

    def ask(self, key: str, messages: Iterable[Mapping[str, Any]], limits: Mapping[str, Any], gold: str) -> Asked:
        """One request in our terms.

        Args:
            key: Identifies the task's item.
            messages: As lmms-eval's chat tasks give them: role, and parts of type text, image, video or audio.
            limits: The task's generation settings; only a larger `max_new_tokens` counts.
            gold: The item's gold answer where the task shows it; it decides no more than whether a unit is dropped.

        Raises:
            ValueError: there is a part that is neither text nor a picture.
        """
        images: list[str] = []
        turns = [(str(one["role"]), self._text(key, one["content"], images)) for one in messages]
        question = "\n".join(text for role, text in turns if role == "user")
        problem = Problem(id=key, question=question, answer=gold, images=tuple(images), source="lmms-eval")
        wrapped = _wrap(turns, self._config.prompt)
        lettered = has_lettered_options(question)
        asked_for = limits.get("max_new_tokens")
        most = max(self._config.max_tokens, asked_for if isinstance(asked_for, int) else 0)
        return Asked(Request(problem=problem, messages=wrapped), most, lettered, not lettered and is_plain_number(gold))

    def _text(self, key: str, content: Any, images: list[str]) -> str:
        if isinstance(content, str):
            return content
        parts = []
        for part in content:
            if part["type"] == "text":
                parts.append(str(part["text"]))
            elif part["type"] == "image":
                images.append(self._picture(part["url"]))
            else:
                raise ValueError(f"{key}: srpo answers questions about pictures; this one has a part of {part['type']}")
        return "\n".join(text for text in parts if text)

    def _picture(self, picture: Any) -> str:
        """A PIL image, or a path, as a reference of ours."""
        from srpo.data.images import store_image

        if isinstance(picture, str):
            return picture
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return str(store_image(buffer.getvalue(), self._config.trace_dir / "pictures").resolve())


def _wrap(turns: Sequence[tuple[str, str]], prompt: PromptName) -> tuple[Message, ...]:
    """The turns as messages, our prompt around the last one of the user."""
    last = max((at for at, (role, _) in enumerate(turns) if role == "user"), default=-1)
    return tuple(
        Message(
            role="system" if role == "system" else "assistant" if role == "assistant" else "user",
            text=user_text(Problem(id="", question=text, answer=""), prompt) if at == last else text,
        )
        for at, (role, text) in enumerate(turns)
    )


def read_arguments(given: Mapping[str, Any]) -> LmmsConfig:
    """`--model_args` and what lmms-eval adds to them.

    Raises:
        ValueError: an argument is unknown or not allowed; names it and those that there are.
    """
    try:
        prompt_named(str(given.get("prompt", "reflective")))
        return LmmsConfig.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        what = first["msg"].removeprefix("Value error, ")
        known = f"; there are {', '.join(LmmsConfig.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise ValueError(f"--model_args: {name + ': ' if name else ''}{what}{known}") from error


def manifest() -> Any:
    """What lmms-eval's entry-point group `lmms_eval.models` loads: where the model's class is.

    Raises:
        ValueError: lmms-eval is not installed.
    """
    try:
        from lmms_eval.models.registry_v2 import ModelManifest  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise ValueError(_MISSING) from error
    return ModelManifest(model_id=MODEL_ID, chat_class_path=f"{__name__}.{CLASS_NAME}")


@lru_cache(maxsize=1)
def model_class() -> type:
    """The class that lmms-eval makes a model of; made on demand, for its base is lmms-eval's.

    Raises:
        ValueError: lmms-eval is not installed.
    """
    try:
        from lmms_eval.api.instance import GenerationResult  # type: ignore[import-not-found]
        from lmms_eval.api.instance import TokenCounts as TheirCounts
        from lmms_eval.api.model import lmms  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise ValueError(_MISSING) from error

    class SrpoModel(lmms):  # type: ignore[misc]
        """A checkpoint or server of ours under lmms-eval."""

        is_simple = False

        def __init__(self, generator: InspectingGenerator | None = None, **given: Any) -> None:
            super().__init__()
            # max_batch_size is lmms-eval's own, and it sends it to every model.
            self.bridge = Bridge(read_arguments({k: v for k, v in given.items() if k != "max_batch_size"}), generator)

        def generate_until(self, requests: Sequence[Any]) -> list[Any]:
            """Answer chat requests, in order."""
            return [
                GenerationResult(
                    text=one.text,
                    token_counts=TheirCounts(input_tokens=one.num_prompt, output_tokens=one.num_generated),
                )
                for one in self.bridge.answer([self._asked(request.args) for request in requests])
            ]

        def _asked(self, arguments: Sequence[Any]) -> Asked:
            _, messages_of, limits, doc_id, task, split = arguments
            doc = self.task_dict[task][split][doc_id]
            gold = doc.get("answer") if isinstance(doc, Mapping) else None
            return self.bridge.ask(
                f"{task}/{split}/{doc_id}", messages_of(doc), limits, "" if gold is None else str(gold)
            )

        def loglikelihood(self, requests: Sequence[Any]) -> list[Any]:
            """Refuse: there is no text to grade."""
            raise _refusal(requests, "asks for log-likelihoods; srpo only generates text")

        def generate_until_multi_round(self, requests: Sequence[Any]) -> list[Any]:
            """Refuse: a reflective response is one turn."""
            raise _refusal(requests, "asks for several rounds; srpo answers in one")

        def clean(self) -> None:
            """Close the traces and the model."""
            self.bridge.close()
            super().clean()

    return SrpoModel


def _refusal(requests: Sequence[Any], what: str) -> ValueError:
    task = getattr(requests[0], "task_name", "") if requests else ""
    return ValueError(f"task {task!r} {what}")


def __getattr__(name: str) -> Any:
    """`SrpoModel`, which lmms-eval imports by this name."""
    if name == CLASS_NAME:
        return model_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
