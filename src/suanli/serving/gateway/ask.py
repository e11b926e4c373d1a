"""What a client wants of a service, as the gateway has understood it."""

from suanli.serving.gateway.request import Request


class Ask:
    """What is wanted of a service: the request, under which path, by when, and what its own words decide.

    `tokens_max` is the most it may use, `tokens_in` what its prompt is thought to be. `metered`: the answer's usage is
    looked for; `generates` tells completions from embeddings. `session` and `affinity` are hashes. `name` is how the
    client called the service: by a model, or (`by_model` is False) by its own name.
    """

    __slots__ = (
        "affinity", "by_model", "deadline_s", "generates", "metered", "name", "path", "request", "session", "tokens_in",
        "tokens_max",
    )  # fmt: skip

    def __init__(self, request: Request, path: bytes, deadline_s: float) -> None:
        self.request = request
        self.path = path
        self.deadline_s = deadline_s
        self.name = ""
        self.by_model = False
        self.session: int | None = None
        self.affinity: int | None = None
        self.tokens_max = 0
        self.tokens_in = 0
        self.generates = False
        self.metered = False

    def message(self, head: bytes) -> bytes:
        """The request as a replica gets it, without its body. `head` are the lines that are the same for all."""
        request = self.request
        length = (
            b""
            if request.length == 0 and not _says_length(request)
            else b"content-length: %d\r\n" % len(request.body)
        )
        return b"".join(
            (
                request.method,
                b" ",
                self.path,
                b" HTTP/1.1\r\n",
                head,
                *request.lines,
                length,
                b"x-request-id: %b\r\n\r\n" % request.id,
            )
        )


def _says_length(request: Request) -> bool:
    return b"content-length" in request.kept
