"""A server that speaks the part of vLLM's protocol that RL uses, with a real policy in it, and fails on purpose.

    with VllmStandIn(checkpoint) as server:
        SamplerConfig(kind="vllm", base_url=server.base_url)

`python tests/support/vllm_server.py --model DIR --port N ...` serves from a process of its own, as vLLM's module does;
`as_vllm_module` makes it pass for that.
"""

import argparse
import base64
import io
import json
import os
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from PIL import Image

DIES_AT = "VLLM_STAND_IN_DIES_AT"
"""Variable of the environment, `N:FILE`: the process ends at its N-th request for completions, unless FILE is there."""
BASE = "policy"


@dataclass
class Faults:
    """What goes wrong."""

    ignores_handovers: bool = False
    """Answers that it has the weights, and goes on with those it had."""
    shift: float = 0.0
    """Added to every log-probability of a sampled token."""
    drops_pictures: bool = False
    adds_to_prompt: bool = False
    """Reads another token in front of the prompt."""
    forgets_at: int = -1
    """At its so many-th request for completions it has only the weights of its start, as after a restart."""
    draws: int = -1
    """A token that takes the place of the first one of every completion."""


@dataclass
class VllmStandIn:
    """The server; what it received may be read at any time."""

    model: str
    """Checkpoint."""
    faults: Faults = field(default_factory=Faults)
    name: str = BASE
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Paths and bodies."""

    def __post_init__(self) -> None:
        import torch

        from srpo.policy.load import load_policy

        torch.set_num_threads(1)
        self._load = load_policy
        self._start()
        self._lock = threading.Lock()
        self._http: ThreadingHTTPServer | None = None

    @property
    def base_url(self) -> str:
        """What goes into `SamplerConfig.base_url`."""
        assert self._http is not None
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def num_generated(self) -> int:
        """Requests for completions."""
        return sum(_draws(path, body) for path, body in self.received)

    def listen(self, port: int = 0) -> ThreadingHTTPServer:
        """Open the port."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, b"")

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stand_in._lock:
                    status, answer = stand_in.answer(self.path, body)
                self._answer(status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        return self._http

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.listen().serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and content of one answer."""
        self.received.append((path, body))
        match path:
            case "/inference/v1/generate":
                if _draws(path, body) and self.num_generated == self.faults.forgets_at:
                    self._start()
                policy = self._policies.get(body["model"])
                if policy is None:
                    words = f"The model `{body['model']}` does not exist. Valid aliases: {self.name}."
                    return 404, {"error": {"message": words, "type": "NotFoundError", "code": 404}}
                return 200, self._generate(policy, body)
            case "/v1/load_lora_adapter":
                source = self.model if self.faults.ignores_handovers else body["lora_path"]
                self._policies[body["lora_name"]] = self._load(source, trainable=False)
                return 200, f"Success: LoRA adapter '{body['lora_name']}' added successfully.".encode()
            case "/v1/unload_lora_adapter":
                del self._policies[body["lora_name"]]
                return 200, b"Success"
            case "/collective_rpc":
                assert body["method"] == "reload_weights"
                if not self.faults.ignores_handovers:
                    self._policies[self.name] = self._load(body["kwargs"]["weights_path"], trainable=False)
                return 200, {"results": [None]}
            case "/update_weight_version":
                self._version = body["new_version"]
                return 200, {"success": True}
            case "/reset_prefix_cache" | "/reset_mm_cache" | "/reset_encoder_cache":
                return 200, {"success": True}
        return 404, {"detail": "Not Found"}

    def _start(self) -> None:
        self._policies = {self.name: self._load(self.model, trainable=False)}
        self._version = "default"

    def _generate(self, policy: Any, body: dict[str, Any]) -> dict[str, Any]:
        import torch

        from srpo.core.records import Sampling
        from srpo.policy.decode import sample
        from srpo.rl.vllm.handover import own_scores

        settings = body["sampling_params"]
        if "prompt_logprobs" in settings:
            ids = body["token_ids"]
            scores = own_scores(policy, ids)
            places = [{str(token): {"logprob": one}} for token, one in zip(ids[1:], scores, strict=True)]
            return {"choices": [], "prompt_logprobs": [None, *places]}
        assert set(settings["logit_bias"]) == set(map(str, policy.banned_ids))
        prompt = _encoded(policy, body["token_ids"], body["content_parts"] or [])
        (completions,) = sample(
            policy,
            [prompt],
            num_samples=settings["n"],
            sampling=Sampling(temperature=settings["temperature"], max_tokens=settings["max_tokens"]),
            generator=torch.Generator().manual_seed(settings["seed"]),
        )
        ids = prompt.input_ids.tolist()
        num_pictures = 0 if self.faults.drops_pictures else len(body["content_parts"] or [])
        return {
            "prompt_token_ids": [ids[0], *ids] if self.faults.adds_to_prompt else ids,
            "mm_placeholders": {"image": [{"offset": 0, "length": 1}] * num_pictures},
            "choices": [self._choice(index, one) for index, one in enumerate(completions)],
        }

    def _choice(self, index: int, completion: Any) -> dict[str, Any]:
        ids = list(completion.token_ids)
        if self.faults.draws >= 0:
            ids[0] = self.faults.draws
        logprobs = [value + self.faults.shift for value in completion.logprobs]
        content = [{"token_id": token, "logprob": value} for token, value in zip(ids, logprobs, strict=True)]
        return {
            "index": index,
            "token_ids": ids,
            "finish_reason": "length" if completion.truncated else "stop",
            "logprobs": {"content": content},
            "weight_versions": [{"version": self._version, "start": 0, "end": len(ids)}],
        }


def _draws(path: str, body: dict[str, Any]) -> bool:
    return path == "/inference/v1/generate" and "prompt_logprobs" not in body["sampling_params"]


def _encoded(policy: Any, ids: list[int], parts: list[dict[str, Any]]) -> Any:
    """The prompt with its pictures, each image token in the place of as many as the picture has features."""
    pictures = [Image.open(io.BytesIO(base64.b64decode(part["url"].partition(",")[2]))) for part in parts]
    # The processor places pictures where its own template has them; only patches and grids are taken from it.
    encoded = policy.processor.encode([("user", "")], pictures)
    import torch

    from srpo.policy.processor import EncodedPrompt

    merged = policy.processor.image_processor.merge_size**2
    grids = encoded.image_grid_thw.tolist() if pictures else []
    features = iter(times * height * width // merged for times, height, width in grids)
    whole = [one for token in ids for one in [token] * (next(features, 1) if token == policy.image_token_id else 1)]
    return EncodedPrompt(
        input_ids=torch.tensor(whole),
        pixel_values=encoded.pixel_values,
        image_grid_thw=encoded.image_grid_thw,
        num_image_tokens=encoded.num_image_tokens,
    )


def as_vllm_module(folder: Path) -> dict[str, str]:
    """Write a package `vllm` whose server is this one; the environment in which a python finds it."""
    place = folder / "vllm" / "entrypoints" / "openai"
    place.mkdir(parents=True)
    (place / "api_server.py").write_text("from tests.support.vllm_server import main\n\nmain()\n")
    root = Path(__file__).parents[2]
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(root), str(root / "src")]), "OMP_NUM_THREADS": "1"}


def main() -> None:
    """Serve as vLLM's module would."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--served-model-name")
    parser.add_argument("--port", type=int)
    options, _ = parser.parse_known_args()
    print("stand-in:", *sys.argv[1:], flush=True)
    server = VllmStandIn(options.model, name=options.served_model_name)
    at, _, marker = os.environ.get(DIES_AT, "0:").partition(":")
    answer = server.answer

    def answer_or_die(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if server.num_generated + 1 == int(at) and not Path(marker).exists():
            Path(marker).touch()
            os._exit(9)
        return answer(path, body)

    server.answer = answer_or_die  # type: ignore[method-assign]
    server.listen(options.port).serve_forever()


if __name__ == "__main__":
    main()
