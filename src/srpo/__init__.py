"""srpo: multimodal LLMs that reason, reflect on their own answer and correct it (SRPO, arXiv 2506.01713)."""

__version__ = "0.1.0"
