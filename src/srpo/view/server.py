"""The socket of the live view: the standard library's server on loopback, or elsewhere behind a token.

    with open_server(Site(index), "127.0.0.1", 8321) as server:
        print(server.address)
        server.serve_forever()

Who can reach the port can read the runs. On loopback only names of loopback are answered, so that no web page can
point a name of its own at this machine and read along; elsewhere every request needs the token, once as `?token=` and
then as a cookie. Replies forbid the page every request but those to this server.
"""

import hmac
import ipaddress
import secrets
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from srpo.view.site import Reply, Site

COOKIE: Final = "srpo_view"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self' 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TEXT: Final = "text/plain; charset=utf-8"
_PATIENCE_S: Final = 30


def is_loopback(host: str) -> bool:
    """Whether a host name or address can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ViewServer(ThreadingHTTPServer):
    """See the module."""

    daemon_threads = True
    """A browser that holds a connection open keeps nobody from ending the server."""

    def __init__(self, site: Site, host: str, port: int) -> None:
        self.site = site
        self.host = host
        self.token = None if is_loopback(host) else secrets.token_urlsafe(24)
        """What a request has to bring; None on loopback."""
        super().__init__((host, port), Handler)

    @property
    def address(self) -> str:
        """What a browser opens."""
        where = f"http://{self.host}:{self.server_address[1]}/"
        return where if self.token is None else f"{where}?{urlencode({'token': self.token})}"


def open_server(site: Site, host: str, port: int) -> ViewServer:
    """Take the port; port 0 takes any that is free.

    Raises:
        ValueError: the port is taken, or the host is not this machine's.
    """
    try:
        return ViewServer(site, host, port)
    except OSError as error:
        raise ValueError(
            f"--host {host} --port {port}: {error.strerror}; choose another --port (0 takes a free one)"
        ) from error


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: ViewServer
    server_version, sys_version = "srpo", ""
    timeout = _PATIENCE_S

    def do_GET(self) -> None:
        """Answer a request."""
        url = urlsplit(self.path)
        if self.server.token is None:
            if not is_loopback(urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""):
                self._send(_plain(HTTPStatus.FORBIDDEN, "This server answers to the names of loopback alone."))
                return
        elif not self._has_cookie(self.server.token):
            self._let_in(url.path, url.query, self.server.token)
            return
        self._send(self.server.site.answer(url.path, url.query))

    def _has_cookie(self, token: str) -> bool:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), token.encode())

    def _let_in(self, path: str, query: str, token: str) -> None:
        """Turn a token in the address into a cookie, so that it is in no link and no history any more."""
        pairs = parse_qsl(query)
        given = dict(pairs).get("token", "")
        if not hmac.compare_digest(given.encode(), token.encode()):
            words = "Open the address with the token that `srpo view` printed."
            self._send(_plain(HTTPStatus.UNAUTHORIZED, words))
            return
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        # One slash alone in front: two would be the name of another machine.
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"/{quote(path.lstrip('/'))}{'?' if rest else ''}{rest}")
        self.send_header("Set-Cookie", f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing: the terminal is for whoever trains, and an address may hold a token."""


def _plain(status: HTTPStatus, words: str) -> Reply:
    return Reply(status, _TEXT, words.encode())
