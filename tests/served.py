"""An application on a free loopback port, which answers from a thread while a block lasts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import uvicorn
from starlette.types import ASGIApp


class Served:
    """What the scripted servers are: each says what its `app` is, and is a context manager.

    Within the block it is at `host`; `url` is the address there that ends in `path`.
    """

    path: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {"lifespan": "off", "ws": "none"}
    """Options of uvicorn."""

    def app(self) -> ASGIApp:
        """What is served."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}{self.path}"
        config = uvicorn.Config(
            self.app(), log_level="critical", timeout_graceful_shutdown=1, **self.options
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._listening],))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._listening.close()
