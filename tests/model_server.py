"""A real HTTP server that speaks the protocols of OpenAI and Anthropic, with replies from a script."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One reply; `missing` bytes are promised and never sent."""

    body: Any = ""
    status: int = 200
    delay: float = 0.0
    missing: int = 0
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=lambda: {"retry-after-ms": "1"})


class ModelServer:
    """What the server got, and where it is.

    Attributes:
        url: base URL, as OpenAI's clients want it.
        requests: path, headers and parsed body of each request.
    """

    def __init__(self, replies: list[Reply]) -> None:
        self._replies = iter(replies)
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers["content-length"])
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append((handler.path, headers, json.loads(handler.rfile.read(length))))
        reply = next(self._replies, Reply({"error": {"message": "the script is over"}}, 400))
        time.sleep(reply.delay)
        body = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
        try:
            handler.send_response(reply.status)
            handler.send_header("content-type", reply.content_type)
            handler.send_header("content-length", str(len(body) + reply.missing))
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            pass  # whoever asked waits no longer


@contextmanager
def serving(*replies: Reply) -> Iterator[ModelServer]:
    """Serves until the block ends."""
    script = ModelServer(list(replies))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            script.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()


def said(text: str | None, stop: str = "stop") -> Reply:
    """A chat completion."""
    choice = {"index": 0, "finish_reason": stop, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return Reply(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "toy-1", "choices": [choice], "usage": usage}
    )


def anthropic_said(text: str, stop: str = "end_turn") -> Reply:
    """A message of Anthropic's."""
    usage = {"input_tokens": 100, "output_tokens": 20}
    content = [{"type": "text", "text": text}]
    return Reply(
        {
            "id": "1", "type": "message", "role": "assistant", "model": "claude-toy", "content": content,
            "stop_reason": stop, "stop_sequence": None, "usage": usage,
        }
    )  # fmt: skip


def refused(status: int, message: str) -> Reply:
    """An error, as both protocols have them."""
    return Reply({"type": "error", "error": {"type": "some_error", "message": message}}, status)
