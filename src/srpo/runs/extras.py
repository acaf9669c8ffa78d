"""Which extra brings a module that a light installation does not have.

`pip install srpo` is enough for grades, rewards and the shims of `srpo.engines`, so that it fits into the environments
of other trainers. All else is in extras, and what misses one says so.
"""

from importlib.util import find_spec

EXTRAS = {
    "data": ("PIL", "pyarrow"),
    "report": ("rich", "jinja2", "plotly"),
    "remote": ("openai", "httpx2", "aiohttp", "genai_prices"),
    "train": ("torch", "transformers", "tokenizers", "huggingface_hub", "peft", "safetensors"),
    "qlora": ("bitsandbytes",),
    "ray": ("ray",),
}
"""Extra -> what we import of it."""


def is_installed(module: str) -> bool:
    """Whether a module can be imported. A bare folder of its name, as Ray and wandb leave behind, is none."""
    spec = find_spec(module)
    return spec is not None and spec.origin is not None


def what_is_missing(error: ModuleNotFoundError) -> str | None:
    """What to tell a user whose installation lacks a module; None when no extra of ours brings it.

    >>> what_is_missing(ModuleNotFoundError(name="plotly.offline"))
    "this needs plotly, which is not installed; install the extra: pip install 'srpo[report]' (or 'srpo[all]')"
    """
    module = (error.name or "").partition(".")[0]
    extra = next((extra for extra, modules in EXTRAS.items() if module in modules), None)
    if extra is None:
        return None
    return (
        f"this needs {module}, which is not installed; install the extra: pip install 'srpo[{extra}]' (or 'srpo[all]')"
    )
