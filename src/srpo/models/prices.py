"""What a served model costs: the user's own table first, then the genai-prices package.

>>> from srpo.models.config import ServerConfig
>>> find_price(ServerConfig(model="mine", usd_per_million_in=0.5, usd_per_million_out=1.5)).usd_per_million_out
1.5
"""

from urllib.parse import urlsplit

from srpo.core.budget import Price
from srpo.models.config import ServerConfig
from srpo.models.remote_request import base_url

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_MILLION = 1_000_000


def find_price(server: ServerConfig) -> Price:
    """Price of a million tokens. A server on this machine is free unless the config says otherwise.

    List prices of genai-prices, without discounts for cached prompts, batches or contracts.

    Raises:
        ValueError: nobody knows the price.
    """
    if server.usd_per_million_in is not None and server.usd_per_million_out is not None:
        return Price(usd_per_million_in=server.usd_per_million_in, usd_per_million_out=server.usd_per_million_out)
    if urlsplit(base_url(server)).hostname in _LOOPBACK:
        return Price(usd_per_million_in=0.0, usd_per_million_out=0.0)
    return _list_price(server)


def _list_price(server: ServerConfig) -> Price:
    from genai_prices import Usage, calc_price  # a large table

    usage = Usage(input_tokens=_MILLION, output_tokens=_MILLION)
    # By address first, since vendors charge differently for one model; then by name, for gateways.
    for address in (base_url(server), None):
        try:
            found = calc_price(usage, server.model, provider_api_url=address)
        except LookupError:
            continue
        return Price(usd_per_million_in=float(found.input_price), usd_per_million_out=float(found.output_price))
    raise ValueError(
        f"the price of {server.model!r} at {base_url(server)} is not known; give usd_per_million_in and "
        "usd_per_million_out beside its name (0 for your own machine)"
    )
