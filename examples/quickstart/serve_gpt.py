"""Serve the trained GPT over HTTP with nothing but the standard library and torch, to this machine only.

    python serve_gpt.py --model output/gpt --port 8100     # Suanli gives both as SUANLI_MODEL_DIR and PORT
    curl -d '{"prompt": "def main(", "max_tokens": 40}' http://127.0.0.1:8100/generate

GET /healthz answers 503 until the model is loaded, then 200. SIGTERM ends it at once: whoever drains a service stops
sending to it first.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from suanli.serving.runtime.generation import Generation

HOST = "127.0.0.1"
HOW_TO = 'POST /generate {"prompt": "def main(", "max_tokens": 40, "temperature": 0.8, "seed": 0}'
BODY_BYTES_MAX = 64 * 1024
TOKENS_MAX = 512
AT_ONCE = 4


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the GPT of the quickstart.")
    parser.add_argument("--model", type=Path, default=Path(os.environ.get("SUANLI_MODEL_DIR", "output/gpt")))
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8100")))
    arguments = parser.parse_args()
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: os._exit(0))
    try:
        server = Server((HOST, arguments.port), Handler)
    except OSError as error:
        sys.exit(f"cannot listen on {HOST}:{arguments.port}: {error}")
    threading.Thread(target=server.load, args=(arguments.model,), daemon=True).start()
    print(f"listening on http://{HOST}:{server.server_port}", flush=True)
    server.serve_forever()


@dataclass(frozen=True)
class Wish:
    """What a request may say."""

    prompt: str
    max_tokens: int = 64
    temperature: float = 0.8
    seed: int = 0

    @classmethod
    def read(cls, body: bytes) -> "Wish":
        """Raises ValueError with what is wrong, in words for whoever sent it."""
        try:
            given = json.loads(body)
        except (ValueError, RecursionError):
            raise ValueError("the body must be JSON") from None
        if not isinstance(given, dict) or not isinstance(given.get("prompt"), str):
            raise ValueError("the body must be a JSON object with a text as its prompt")
        known = [field.name for field in fields(cls)]
        if unknown := sorted(given.keys() - set(known)):
            raise ValueError(f"unknown field {unknown[0]!r}; known are {', '.join(known)}")
        wish = cls(**given)
        wish.prompt.encode()  # half of a surrogate pair is no text, and raises ValueError too
        _check("max_tokens", wish.max_tokens, int, 1, TOKENS_MAX)
        _check("temperature", wish.temperature, int | float, 0, 10)
        _check("seed", wish.seed, int, 0, 2**63 - 1)
        return wish


def _check(name: str, value: Any, kind: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number from {least} to {most}")


class Model:
    """The newest checkpoint of a folder. Importing torch takes seconds, so it is part of loading."""

    def __init__(self, folder: Path) -> None:
        from gpt.serving import Gpt

        self.gpt = Gpt()
        self.gpt.load(folder)
        self.step = self.gpt.step

    def generate(self, wish: Wish) -> dict[str, Any]:
        started_s = time.monotonic()
        params = Generation(max_tokens=wish.max_tokens, temperature=wish.temperature, seed=wish.seed)
        made = list(self.gpt.continuation(wish.prompt, params))
        speed = len(made) / (time.monotonic() - started_s)
        text = self.gpt.tokenizer.decode(made)
        return {"text": text, "tokens": len(made), "tokens_per_s": round(speed, 1), "model_step": self.step}


class Server(ThreadingHTTPServer):
    """Answers from the start, so that it can say that it is loading."""

    daemon_threads = True
    model: Model | None = None
    seats = threading.BoundedSemaphore(AT_ONCE)

    def load(self, folder: Path) -> None:
        try:
            self.model = Model(folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, a service without a model must end and say so
            print(f"the model in {folder} cannot be served: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        print(f"serving step {self.model.step} of {folder}", flush=True)


class Handler(BaseHTTPRequestHandler):
    """One connection, one request."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]
    server_version, sys_version = "quickstart", ""
    timeout = 30

    def do_GET(self) -> None:
        match self.path:
            case "/healthz":
                loaded = self.server.model is not None
                self.answer(200 if loaded else 503, {"status": "ready" if loaded else "loading"})
            case "/":
                self.answer(200, HOW_TO)
            case _:
                self.answer(404, {"error": "only /, /healthz and /generate exist"})

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/generate":
            self.answer(404, {"error": "only /generate takes a POST"})
        elif not length.isdecimal():
            self.answer(411, {"error": "Content-Length is needed"})
        elif len(length) > 9 or int(length) > BODY_BYTES_MAX:
            self.answer(413, {"error": f"the body may have {BODY_BYTES_MAX} bytes at most"})
        else:
            self.generate(self.rfile.read(int(length)))

    def generate(self, body: bytes) -> None:
        try:
            wish = Wish.read(body)
        except ValueError as error:
            return self.answer(400, {"error": str(error)})
        model = self.server.model
        if model is None or not self.server.seats.acquire(blocking=False):
            return self.answer(503, {"error": "busy" if model else "the model is loading"})
        try:
            answer = model.generate(wish)
        finally:
            self.server.seats.release()
        return self.answer(200, answer)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if "/healthz" not in self.requestline:  # asked every few seconds
            super().log_request(code, size)

    def answer(self, status: int, content: dict[str, Any] | str) -> None:
        plain = isinstance(content, str)
        body = (content if plain else json.dumps(content)).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if plain else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    main()
