"""What a model or a data set may write, and what a web page elsewhere may ask: all of it stays inert in the view."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from srpo.core.visible import visible
from srpo.view.server import ViewServer, is_loopback, open_server
from tests.support.hostile import NASTY, hostile_trace
from tests.support.html import Page
from tests.support.report_runs import HOSTILE, trace, write_run
from tests.support.view_site import Viewed, viewed


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewed]:
    run = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(1)>"
    write_run(run, "rl", [hostile_trace(text, number) for number, text in enumerate(NASTY)])
    with viewed(run) as view:
        yield view


def pages_of(view: Viewed) -> Iterator[str]:
    of = quote(view.index.runs[0].label)
    yield view.html("/")
    for number in range(len(NASTY)):
        yield view.html("/trace", f"of={of}&n={number}")
        yield view.html("/group", f"of={of}&n={number}")
    for text in NASTY:
        yield view.html("/", f"q={quote(text, errors='replace')}&family={quote(text, errors='replace')}")
        yield view.html("/trace", f"of={quote(text, errors='replace')}&n=1", 400)
        yield view.html("/", f"sort={quote(text, errors='replace')}", 400)


def test_no_text_becomes_an_element_an_attribute_or_a_template(nasty: Viewed) -> None:
    for html in pages_of(nasty):
        page = Page(html)
        assert [attrs.get("src") for attrs in page.of("script")] == ["/view.js"]
        assert not page.of("style")
        assert not page.of("iframe")
        for tag, attrs in page.elements:
            assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
            for name in ("href", "src", "action"):
                assert (attrs.get(name) or "/").startswith(("/", "data:,", "?")), (tag, attrs)
        assert "49" not in "".join(page.lines[-1:])


def test_controls_and_marks_of_direction_are_named_and_never_sent(nasty: Viewed) -> None:
    for html in pages_of(nasty):
        seen = Page(html).text
        for char in "\x1b\x07\x9b\x00\u202e\u2066\u2069":
            assert char not in seen, (hex(ord(char)), seen[:300])
    assert "⟨1B⟩[2J" in nasty.page("/").text
    assert "⟨202E⟩gnp.exe" in nasty.page("/").text
    assert visible("a\tb\r\nc\u200dd") == "a\tb\nc\u200dd"


def test_every_hostile_trace_can_be_found_and_opened(nasty: Viewed) -> None:
    assert nasty.found("") == len(NASTY)
    assert nasty.found(f"q={quote('onmouseover=ALERT')}") == 1
    assert nasty.found(f"family={quote(HOSTILE)}") == 1


def test_an_answer_of_a_megabyte_does_not_swell_the_gallery(tmp_path: Path) -> None:
    long = "<b>" + "word " * 200_000 + "END"
    write_run(tmp_path / "run", "eval", [hostile_trace(long, 0, "n"), hostile_trace("short", 1)])
    with viewed(tmp_path / "run") as view:
        assert len(view.html("/")) < 100_000
        assert view.found("q=word+end") == 1
        full = view.html("/trace", "of=run&n=0")
        assert "word END" in full.split('class="raw"')[1]
        assert "<b>word" not in full


def test_lines_that_are_no_traces_are_counted_and_keep_nobody_from_the_rest(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "eval", [trace(1, True, True)])
    good = trace(2, True, True).model_dump_json().encode()
    broken = good.replace(b"fit.", b"fit.\xff\xfe\x80")
    assert broken != good
    future = json.dumps(json.loads(good) | {"schema_version": 99}).encode()
    with (tmp_path / "run" / "traces.jsonl").open("ab") as file:
        file.write(b"\n".join([b"\xff\xfe\x00", b"{}", b"[1]", broken, future, good]) + b"\n")
    with viewed(tmp_path / "run") as view:
        page = view.page("/")
        assert view.found("") == 3
        assert "run: 4 lines are no trace and left out: line 2, line 3, line 4, line 6 (schema version 99)" in page.text
        assert "fit.\ufffd" in page.text


def test_a_picture_is_made_anew_and_no_other_file_is_sent(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<script>alert(1)</script>")
    made = [trace(1, True, True, image=str(name)) for name in (page, "/etc/passwd", tmp_path / "none.png")]
    write_run(tmp_path / "run", "eval", made)
    with viewed(tmp_path / "run") as view:
        for number in range(3):
            reply = view.site.answer("/picture", f"of=run&n={number}&picture=0")
            assert reply.status == 400
            assert b"<script>alert" not in reply.body
            assert b"root:" not in reply.body
        assert view.site.answer("/picture", "of=run&n=0&picture=1").status == 404


# -- the socket


@contextmanager
def serving(view: Viewed, host: str = "127.0.0.1") -> Iterator[ViewServer]:
    with open_server(view.site, host, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: ViewServer, path: str, **headers: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply, reply.read().decode()
    finally:
        connection.close()


def test_every_reply_forbids_requests_elsewhere_and_code_of_others(nasty: Viewed) -> None:
    with serving(nasty) as server:
        for path in ("/", "/status", "/view.js", "/nope", "/trace?of=x"):
            reply, _ = ask(server, path)
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert "http" not in policy
            assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_on_loopback_a_name_of_somebody_else_is_refused(nasty: Viewed) -> None:
    with serving(nasty) as server:
        assert server.token is None
        assert ask(server, "/", Host="evil.example")[0].status == 403
        assert ask(server, "/", Host="127.0.0.1.evil.example:80")[0].status == 403
        for host in ("localhost:1", "127.0.0.1", "[::1]:8321"):
            assert ask(server, "/", Host=host)[0].status == 200


def test_elsewhere_every_request_needs_the_token(nasty: Viewed) -> None:
    with serving(nasty, "0.0.0.0") as server:
        token = server.token
        assert token is not None
        assert len(token) >= 32
        assert server.address.endswith(f"/?token={token}")
        for path in ("/", "/status", "/picture?n=0", "/?token=", "/?token=wrong", "/view.js"):
            reply, body = ask(server, path)
            assert (reply.status, "article" in body) == (401, False)
        assert ask(server, "/", Cookie="srpo_view=wrong")[0].status == 401
        assert ask(server, "/", Cookie="\x01=;;")[0].status == 401
        reply, _ = ask(server, f"//evil.example/x?outcome=w2r&token={token}")
        assert (reply.status, reply.headers["Location"]) == (303, "/evil.example/x?outcome=w2r")
        reply, _ = ask(server, f"/?outcome=w2r&token={token}")
        assert (reply.status, reply.headers["Location"]) == (303, "/?outcome=w2r")
        cookie = reply.headers["Set-Cookie"]
        assert cookie == f"srpo_view={token}; HttpOnly; SameSite=Strict; Path=/"
        assert ask(server, "/", Cookie=cookie.split(";")[0])[0].status == 200


def test_only_loopback_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9")] == [True] * 5
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil", "", "example.org")] == [
        False
    ] * 6
