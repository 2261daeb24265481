"""A real S3 server on loopback (moto's) that counts its requests and fails as it is told.

``python -m tests.s3_server`` runs it on a free port, which it prints. It is a process of its own: pyarrow's destructors
hold the interpreter's lock while they upload, so that a server within the same process could never answer them.
"""

import json
import random
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

from pyarrow import fs

CONTROL = "/_control"
ACCESS_KEY, SECRET_KEY = "AKIALOOPBACK", "verysecretloopbackkey"
ERRORS = {
    "InternalError": "500 Internal Server Error",
    "SlowDown": "503 Slow Down",
    "AccessDenied": "403 Forbidden",
    "InvalidRequest": "400 Bad Request",
}
CUT = "cut"


@dataclass(frozen=True)
class Fault:
    """Which requests fail, and how.

    Attributes:
        answer: An S3 error code of ``ERRORS``; ``cut``: the connection ends in the middle of the body, of the
            request's where it has one, otherwise of the response's; empty: only the delay.
        kinds: Of ``kind_of``; every kind where it is empty.
        key: A regular expression that is looked for in ``bucket/key``.
        every: Each n-th of the requests that match.
        share: The share of these that fail, drawn with ``seed``.
        times: How often at most.
        seconds: Waited before the answer.
        message: Of the S3 error.
    """

    answer: str = "InternalError"
    kinds: tuple[str, ...] = ()
    key: str = ""
    every: int = 1
    share: float = 1.0
    seed: int = 0
    times: int | None = None
    seconds: float = 0.0
    message: str = "injected by a test"


def kind_of(method: str, path: str, query: Mapping[str, Any], copies: bool) -> str:
    """What is asked for: HEAD, GET, PUT, COPY, DELETE, LIST, BUCKET, and the steps of an upload in parts."""
    in_bucket = "/" in path.strip("/")
    if "uploadId" in query:
        return {"PUT": "UPLOAD_PART", "POST": "COMPLETE", "DELETE": "ABORT"}.get(method, "LIST_PARTS")
    if method == "POST":
        return "CREATE_UPLOAD" if "uploads" in query else "DELETE_MANY"
    if method == "GET" and not in_bucket:
        return "LIST"
    if not in_bucket:
        return "BUCKET"
    return "COPY" if copies else method


class FaultyApplication:
    """A WSGI application around moto's that injects faults, counts, and answers ``/_control``."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.lock = Lock()
        self.requests: list[list[Any]] = []
        self.faults: list[_Rule] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, query = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
        if path.startswith(CONTROL):
            return self._control(environ, start_response)
        kind = kind_of(environ["REQUEST_METHOD"], path, query, "HTTP_X_AMZ_COPY_SOURCE" in environ)
        with self.lock:
            due = [rule.fault for rule in self.faults if rule.hits(kind, path.strip("/"))]
            self.requests.append([kind, path.strip("/"), due[0].answer if due else ""])
        time.sleep(sum(fault.seconds for fault in due))
        answers = [fault for fault in due if fault.answer]
        if not answers:
            return self.application(environ, start_response)
        if answers[0].answer == CUT:
            return self._cut(environ, start_response)
        return _error(answers[0], environ, start_response)

    def _cut(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        if (length := int(environ.get("CONTENT_LENGTH") or 0)) > 0:
            environ["wsgi.input"].read(length // 2)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        body = b"".join(self.application(environ, start_response))
        yield body[: len(body) // 2]
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)

    def _control(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            asked = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            with self.lock:
                self.faults = [_Rule(Fault(**fault)) for fault in asked["faults"]]
                self.requests = []
            for path in asked.get("empty", []):
                _put_empty(path)
        with self.lock:
            content = json.dumps(self.requests).encode()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
        return [content]


class _Rule:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.generator = random.Random(fault.seed)
        self.matched = self.done = 0

    def hits(self, kind: str, path: str) -> bool:
        fault = self.fault
        if (fault.kinds and kind not in fault.kinds) or not re.search(fault.key, path):
            return False
        self.matched += 1
        if self.matched % fault.every or self.generator.random() >= fault.share:
            return False
        if fault.times is not None and self.done >= fault.times:
            return False
        self.done += 1
        return True


def _put_empty(path: str) -> None:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    bucket, _, key = path.partition("/")
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, b"")


def _error(fault: Fault, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    # A request whose body is left unread would reset the connection, and the client never see the answer.
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    # As long as AWS's own: it matters where a client asks for fewer bytes than that.
    ids = f"<RequestId>{'4' * 16}</RequestId><HostId>{'h' * 76}</HostId>"
    document = f"<Error><Code>{fault.answer}</Code><Message>{fault.message}</Message>{ids}</Error>"
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode()
    head = environ["REQUEST_METHOD"] == "HEAD"
    headers = [("Content-Type", "application/xml"), ("Content-Length", "0" if head else str(len(content)))]
    start_response(ERRORS[fault.answer], headers)
    return [] if head else [content]


@dataclass(frozen=True)
class S3Server:
    """A running server, as tests use it."""

    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to use plain ``s3://bucket/key``."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def uri(self, path: str) -> str:
        """A URI of ``bucket/key`` that needs nothing of the environment: it reaches Ray's workers as it is."""
        return f"s3://{ACCESS_KEY}:{SECRET_KEY}@{path}?endpoint_override=127.0.0.1:{self.port}&scheme=http"

    def make_bucket(self, name: str) -> "Bucket":
        self.inject()
        filesystem, _ = fs.FileSystem.from_uri(f"{self.uri(name)}&allow_bucket_creation=true")
        filesystem.create_dir(name)
        return Bucket(self, name, filesystem)

    def inject(self, *faults: Fault) -> None:
        """Fail from now on as told, and count anew; without faults, work."""
        content = json.dumps({"faults": [asdict(fault) for fault in faults]}).encode()
        self._ask(Request(self.endpoint + CONTROL, data=content))

    def put_empty(self, paths: Sequence[str]) -> None:
        """Many empty objects at once."""
        self._ask(Request(self.endpoint + CONTROL, data=json.dumps({"faults": [], "empty": paths}).encode()))

    def requests(self) -> list[tuple[str, str, str]]:
        """Each request since the last ``inject``: its kind, ``bucket/key``, and the fault injected or nothing."""
        return [(kind, path, fault) for kind, path, fault in self._ask(Request(self.endpoint + CONTROL))]

    def counts(self, key: str = "") -> Counter[str]:
        """How many requests of each kind there were for keys that hold ``key``."""
        return Counter(kind for kind, path, _ in self.requests() if key in path)

    def _ask(self, request: Request) -> Any:
        with urlopen(request, timeout=60) as response:
            return json.loads(response.read())


@dataclass(frozen=True)
class Bucket:
    """A bucket, with a file system that is not the one under test."""

    server: S3Server
    name: str
    filesystem: fs.FileSystem

    def uri(self, key: str) -> str:
        return self.server.uri(f"{self.name}/{key}")

    def put(self, key: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(f"{self.name}/{key}") as stream:
            stream.write(content)

    def get(self, key: str) -> bytes:
        with self.filesystem.open_input_stream(f"{self.name}/{key}") as stream:
            return stream.read()

    def upload(self, folder: Path, key: str) -> None:
        for path in folder.rglob("*.*"):
            self.put(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects below a prefix, but for empty ones that stand for folders."""
        selector = fs.FileSelector(f"{self.name}/{prefix}".rstrip("/"), recursive=True, allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(info.path.partition("/")[2] for info in found if info.type == fs.FileType.File)


@contextmanager
def running_server() -> Iterator[S3Server]:
    """A server in a process of its own, on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield S3Server(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


def serve(arguments: Sequence[str]) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    application = FaultyApplication(DomainDispatcherApplication(create_backend_app))
    port = int(arguments[0]) if arguments else 0
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1:])
