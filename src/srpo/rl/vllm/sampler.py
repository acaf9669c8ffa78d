"""A vLLM server as `PolicySampler`: it follows the policy, is started again when it dies, and is checked throughout.

Before the first request after the weights moved they are handed over, each time under a new name: a LoRA adapter that
the server loads beside its base, or all weights as a checkpoint (`reload_weights`, on this machine alone, because vLLM
opens that way only in its development mode). A request can then not be answered by older weights without an error: the
name is the model's in the one case and the version that answers must carry in the other. What the server says of a
fixed text is compared with the trainer besides (`agreement.py`).
"""

import os
import random
import shutil
import time
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from srpo.core.records import Sampling
from srpo.models.failures import RequestRefused, UnavailableError
from srpo.policy.decode import SampledCompletion
from srpo.rl.sampler import Start
from srpo.rl.vllm import handover, wire
from srpo.rl.vllm.agreement import Agreement, Scores
from srpo.rl.vllm.client import UnknownModelError, VllmClient
from srpo.rl.vllm.config import SamplerConfig
from srpo.rl.vllm.server import Server, is_healthy
from srpo.runs.progress import note
from srpo.runs.secrets import keep_secret

if TYPE_CHECKING:
    from srpo.policy.policy import Policy

LOG = "vllm.log"
_TRIES = 3
"""How often a step is asked for, before a server that dies of it ends the run."""
_POLL_S = 1.0
_MOST_SEED_BITS = 62
"""vLLM counts on from a request's seed, one for each sample."""


class HandoverError(ValueError):
    """The server does not have the policy's weights, whatever it answered."""


class _ForgottenError(Exception):
    """The server has other weights than it was given: it was started anew behind our back."""


class VllmSampler:
    """Implements `PolicySampler` on a server."""

    def __init__(
        self, config: SamplerConfig, policy: "Policy", *, base: str, max_pixels: int | None, run: Path
    ) -> None:
        """Nothing is started before the first `sample`.

        Args:
            config: How to get at a server.
            policy: What it follows.
            base: Checkpoint with which the run began.
            max_pixels: As prompts are encoded.
            run: Run directory; the server's log goes there.

        Raises:
            ValueError: no python with vLLM is named, or the weights cannot be handed over to this server.
        """
        self._config = config
        self._policy = policy
        self._max_pixels = max_pixels
        self._run = run
        self._adapts = handover.hands_over_adapters(policy)
        if not self._adapts and not config.is_on_this_machine:
            raise ValueError(
                f"sampler.base_url {config.base_url!r} is another machine, which takes adapters alone: add a lora "
                "block (without the vision tower), or let srpo start the server"
            )
        self._rules = wire.Rules(policy.end_id, policy.banned_ids)
        self._key = os.environ.get(config.api_key_env, "").strip() if config.base_url else ""
        keep_secret(self._key)
        self._base = handover.served_model(base)
        self._server = None if config.base_url else self._make_server()
        self._client: VllmClient | None = None
        self._folder: Path | None = None
        self._name = ""
        """The latest hand-over; empty where the server has none."""
        self._is_behind = True
        self._tag, self._num_handovers = uuid.uuid4().hex[:8], 0
        self._text = handover.fixed_text(policy)
        self._agreement = Agreement()

    def sample(
        self, starts_P: Sequence[Start], num_samples: int, sampling: Sampling, among: tuple[int, int] | None = None
    ) -> list[list[SampledCompletion]]:
        """See `PolicySampler`.

        Raises:
            ServerError: the server does not start.
            HandoverError: it does not follow the policy.
            AnswerError: it answers something else than what was asked for.
            AccountError: it refuses the key, or lacks what is needed.
            UnavailableError: it died again and again, or did not come back.
        """
        assert among is None, "a server samples for one process (RlConfig)"
        asks = [self._ask(start, place, sampling) for place, start in enumerate(starts_P)]
        for last in (*[False] * (_TRIES - 1), True):
            try:
                drawn_P_G = self._draw(asks, num_samples, sampling)
            except (UnavailableError, UnknownModelError, _ForgottenError) as error:
                if last:
                    raise self._ended(error) from error
                self._recover(error)
            except RequestRefused as error:
                raise wire.AnswerError(f"the server refuses a request: {error}") from error
            else:
                return [
                    [_completion(ask.given, drawn) for drawn in drawn_G]
                    for ask, drawn_G in zip(asks, drawn_P_G, strict=True)
                ]
        raise AssertionError("the last try returns or raises")

    def weights_moved(self) -> None:
        """See `PolicySampler`; the next `sample` hands them over."""
        self._is_behind = True

    def close(self) -> None:
        """End the server, if it is ours, and remove what was handed over."""
        if self._server is not None:
            self._server.stop()
        elif self._name and self._adapts and self._client is not None and is_healthy(self._root):
            self._client.post("/v1/unload_lora_adapter", {"lora_name": self._name})
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def server_pid(self) -> int | None:
        """The process that keeps a server of our own; None where none was started."""
        return None if self._server is None else self._server.pid

    @property
    def _root(self) -> str:
        return self._server.root if self._server is not None else self._config.base_url.removesuffix("/v1")

    def _make_server(self) -> Server:
        config, policy = self._config, self._policy
        dtype = str(policy.autocast_dtype or policy.model.dtype).removeprefix("torch.")
        words = ["--dtype", dtype, "--enable-scale-out", "--logprobs-mode", "processed_logprobs"]
        words += ["--generation-config", "vllm"]
        environment = {"VLLM_NO_USAGE_STATS": "1"}
        if self._adapts:
            rank = handover.room_for(max(config.r for config in policy.model.peft_config.values()))
            words += ["--enable-lora", "--max-loras", "1", "--max-lora-rank", str(rank)]
            environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
        else:
            environment["VLLM_SERVER_DEV_MODE"] = "1"
        return Server(
            config.interpreter,
            self._base,
            name=config.model,
            log=self._run / LOG,
            start_s=config.start_s,
            words=[*words, *config.arguments],
            environment=environment | config.environment,
        )

    def _ask(self, start: Start, place: int, sampling: Sampling) -> wire.Ask:
        if len(start.given) >= sampling.max_tokens:
            raise ValueError(f"{len(start.given)} given tokens leave no room within max_tokens {sampling.max_tokens!r}")
        seed = random.Random(f"vllm/{sampling.seed}/{start.problem.id}/{place}").getrandbits(_MOST_SEED_BITS)
        return wire.Ask(
            prompt_ids=handover.prompt_ids(self._policy, start.prompt),
            whole_ids=tuple(start.prompt.input_ids.tolist()),
            picture_urls=handover.picture_urls(self._policy, start.problem, self._max_pixels),
            given=start.given,
            seed=seed,
        )

    def _draw(self, asks: Sequence[wire.Ask], num_samples: int, sampling: Sampling) -> list[list[wire.Drawn]]:
        client = self._connected()
        if self._is_behind:
            self._hand_over(client)
            self._is_behind = False
        model = self._name if self._adapts else self._config.model
        bodies = [wire.generate_body(model, ask, num_samples, sampling, self._rules) for ask in asks]
        answers = client.post_all(wire.GENERATE, bodies)
        drawn_P_G = [
            wire.read_drawn(answer, ask, num_samples, sampling.max_tokens, self._rules)
            for answer, ask in zip(answers, asks, strict=True)
        ]
        versions = set[str]().union(*map(wire.weight_versions, answers))
        if not self._adapts and versions != {self._name}:
            raise _ForgottenError(f"weights {sorted(versions)} answered in place of {self._name!r}")
        return drawn_P_G

    def _connected(self) -> VllmClient:
        """The client of a server that runs; one of our own is started if need be."""
        server = self._server
        if server is not None and not server.is_running:
            note(f"srpo: starting vLLM with {self._base}; its output is in {self._run / LOG}")
            began_s = time.monotonic()
            server.start()
            note(f"srpo: vLLM is ready after {time.monotonic() - began_s:.0f} s")
            self._client = None
            self._name = ""
        if self._client is None:
            self._client = VllmClient(
                self._root,
                key=self._key,
                timeout_s=self._config.timeout_s,
                patience_s=self._config.patience_s,
                is_gone=(lambda: False) if server is None else (lambda: not server.is_running),
            )
        return self._client

    def _hand_over(self, client: VllmClient) -> None:
        if self._folder is None:
            self._folder = handover.handover_folder(self._config.handover_dir, self._run)
        self._num_handovers += 1
        old, name = self._name, f"srpo-{self._tag}-{self._num_handovers}"
        path = self._folder / name
        if self._adapts:
            handover.write_adapter(self._policy, path)
            client.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(path)})
            if old:
                client.post("/v1/unload_lora_adapter", {"lora_name": old})
        else:
            handover.write_weights(self._policy, path)
            self._reload(client, name, path)
        self._name = name
        for other in self._folder.iterdir():
            if other != path:
                shutil.rmtree(other, ignore_errors=True)
        self._check_followed(client)

    def _reload(self, client: VllmClient, name: str, path: Path) -> None:
        post = partial(client.post, "/collective_rpc")
        post({"method": "reload_weights", "kwargs": {"weights_path": str(path)}})
        # What was computed with the old weights must not answer for the new ones.
        for cache in ("prefix", "mm", "encoder"):
            answer = client.post(f"/reset_{cache}_cache")
            if isinstance(answer, dict) and answer.get("success") is False:
                raise HandoverError(f"the vLLM server keeps its {cache} cache of the weights before {name!r}")
        client.post("/update_weight_version", {"new_version": name})

    def _check_followed(self, client: VllmClient) -> None:
        model = self._name if self._adapts else self._config.model
        answer = client.post(wire.GENERATE, wire.score_body(model, self._text))
        now = Scores(wire.read_scores(answer, self._text), handover.own_scores(self._policy, self._text))
        if (failed := self._agreement.failure(now)) is not None:
            what = "nothing" if failed.left > failed.trainer / 2 else "not all that it should"
            raise HandoverError(
                f"hand-over {self._name!r} did {what}: the log-probabilities of a fixed text moved by "
                f"{failed.trainer:.2g} nats here, and the vLLM server's, at {self._root}, are {failed.left:.2g} away "
                "from that, although it answered that it has the weights. This vLLM loads them otherwise "
                "(docs/vllm.md); sampler.kind: local needs no hand-over"
            )

    def _recover(self, error: Exception) -> None:
        """Get a server to ask again: one of our own is ended, so that it is started anew; others are waited for."""
        self._is_behind = True
        self._name = ""
        if self._server is not None:
            note(f"srpo: the vLLM server failed ({error}); it is started again, and the step asked again")
            self._server.stop()
            return
        note(f"srpo: the vLLM server failed ({error}); waiting for it, then the step is asked again")
        give_up_at = time.monotonic() + self._config.patience_s
        while not is_healthy(self._root):
            if time.monotonic() > give_up_at:
                raise self._ended(error) from error
            time.sleep(_POLL_S)

    def _ended(self, error: Exception) -> UnavailableError:
        words = f"; {self._server.last_words()}" if self._server is not None else ""
        return UnavailableError(f"the vLLM server at {self._root} failed {_TRIES} times: {error}{words}")


def _completion(given: tuple[int, ...], drawn: wire.Drawn) -> SampledCompletion:
    # What was given was not drawn: it has no log-probability of the server's, and nothing reads one.
    return SampledCompletion(
        (*given, *drawn.token_ids), (*(0.0 for _ in given), *drawn.logprobs), truncated=drawn.truncated
    )
