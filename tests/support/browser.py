"""Chromium without a window, asked by its DevTools protocol: for pictures, times and checks of our own pages."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp


class Tab:
    """One page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        """The result of one call."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            told: dict[str, Any] = await self._socket.receive_json()
            if told.get("id") == self._number:
                assert "result" in told, told
                return dict(told["result"])

    async def go(self, address: str) -> None:
        """Open an address and wait for its `load` event."""
        await self.ask("Page.enable")
        await self.ask("Page.navigate", url=address)
        while (await self._socket.receive_json()).get("method") != "Page.loadEventFired":
            pass

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited."""
        told = await self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")


class Browser:
    """A running one."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session, self._address = session, address

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """A new tab, closed at the end."""
        async with self._session.put(f"{self._address}/json/new?about:blank") as reply:
            found = await reply.json(content_type=None)
        async with self._session.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            yield tab
            await tab.ask("Page.close")


@asynccontextmanager
async def browsing(program: str, profile: Path) -> AsyncIterator[Browser]:
    """Start `program` with a profile of its own; it is ended with the block."""
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"]
    process = await asyncio.create_subprocess_exec(
        program, *words, f"--user-data-dir={profile}", "about:blank", stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = await process.stderr.readline()
            assert line, f"{program} ended before it listened"
            found = re.search(rb"ws://[\d.:]+", line)
        async with aiohttp.ClientSession() as session:
            yield Browser(session, found[0].decode().replace("ws://", "http://"))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
