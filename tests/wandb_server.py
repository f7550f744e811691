"""As much of a W&B server on loopback as wandb needs, and ways in which it fails."""

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4


class Server:
    """What it was told, and how it answers."""

    def __init__(self) -> None:
        self.lines: dict[str, dict[int, dict[str, Any]]] = {}
        """Of each run the lines of its history by their offsets, as W&B keeps them."""
        self.runs: dict[str, dict[str, Any]] = {}
        """What runs said of themselves: the variables of their `upsertBucket`s."""
        self.summaries: dict[str, dict[str, Any]] = {}
        self.exits: dict[str, int] = {}
        self.requests: list[str] = []
        self.asked: list[dict[str, str]] = []
        """The headers of GET requests, which ask only whether it is there."""
        self.status = 200
        """Of every answer from now on; 0: none, the socket hangs."""
        self.hanging = 0
        """Requests that wait for an answer."""
        self.deleted = ""
        """Id of a run that somebody has deleted, which W&B does not take again."""
        self.mended = threading.Event()
        self.then: Callable[[], object] = lambda: None
        """Happens when a run's first rows arrive."""
        self.sweep: dict[str, Any] | None = None
        """What `wandb sweep` sent."""
        self.commands: list[dict[str, Any]] = []
        """For an agent, one a heartbeat."""
        self.views: list[dict[str, Any]] = []
        self.server = _Listener(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def rows(self, run_id: str) -> list[dict[str, Any]]:
        """Without what W&B adds (`_step`, `_runtime`, `_timestamp`)."""
        found = [line for _, line in sorted(self.lines.get(run_id, {}).items())]
        return [{k: v for k, v in line.items() if not k.startswith("_")} for line in found]

    def kill(self) -> None:
        """Nobody answers at its address from now on."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()
        self.mended.set()


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.kill()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a hanging request would be waited for


class _Handler(BaseHTTPRequestHandler):
    state: Server

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/file_stream"):
            self.state.then()
        if self._well():
            known = self.path.endswith(("/graphql", "/file_stream"))
            self._send(200, self._answer(json.loads(body)) if known else {})

    def do_PUT(self) -> None:
        self._body()
        if self._well():
            self._send(200, {})

    def do_GET(self) -> None:
        self.state.asked.append(dict(self.headers))
        if self._well():
            self._send(200, {})

    def _well(self) -> bool:
        if self.state.mended.is_set():  # killed
            return False
        if self.state.status == 0:
            self.state.hanging += 1
            self.state.mended.wait()
            return False
        if self.state.status != 200:
            self._send(self.state.status, {"errors": [{"message": "as the test wants it"}]})
        return self.state.status == 200

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.state.requests.append(body.decode(errors="replace"))
        return body

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.path.endswith("/file_stream"):
            return self._file_stream(self.path.split("/")[-2], request)
        operation = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
        answer = getattr(self, f"_{operation[1]}", None) if operation else None
        variables = request.get("variables") or {}
        if variables.get("name") == self.state.deleted:
            gone = f"run {variables['name']} was previously created and deleted"
            return {"errors": [{"message": gone}], "data": None}
        if answer:
            return {"data": answer(variables)}
        return {"data": {}}

    def _file_stream(self, run_id: str, request: dict[str, Any]) -> dict[str, Any]:
        files = request.get("files") or {}
        if summary := files.get("wandb-summary.json"):
            self.state.summaries[run_id] = json.loads(summary["content"][-1])
        if history := files.get("wandb-history.jsonl"):
            lines = self.state.lines.setdefault(run_id, {})
            lines |= enumerate(map(json.loads, history["content"]), history["offset"])
        if request.get("complete"):
            self.state.exits[run_id] = request["exitcode"]
        return {}

    def _project(self) -> dict[str, Any]:
        return {"id": "p", "name": "degradation", "entity": {"id": "e", "name": "student"}}

    def _UpsertBucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        said = {key: value for key, value in variables.items() if value is not None}
        self.state.runs[variables["name"]] = self.state.runs.get(variables["name"], {}) | said
        bucket = {"id": "b", "name": variables["name"], "config": "{}", "project": self._project()}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _RunResumeStatus(self, variables: dict[str, Any]) -> dict[str, Any]:
        lines = self.state.lines.get(variables["name"])
        if lines is None:
            return {"model": self._project() | {"bucket": None}}
        last = json.dumps(lines[max(lines)])
        bucket = {"id": "b", "name": variables["name"], "config": "{}", "eventsTail": "[]"}
        bucket |= {"historyTail": json.dumps([last]), "historyLineCount": max(lines) + 1}
        bucket |= {"wandbConfig": '{"t": {}}', "summaryMetrics": "{}"}
        bucket |= {"logLineCount": 0, "eventsLineCount": 0}
        return {"model": self._project() | {"bucket": bucket}}

    def _CreateRunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        host = self.headers["Host"]
        names = variables["files"]
        files = [{"name": name, "uploadUrl": f"http://{host}/{name}"} for name in names]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _UpsertSweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.state.sweep = variables
        sweep = {"name": "sweep1", "project": self._project(), "id": "s"}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def _SweepWithRuns(self, variables: dict[str, Any]) -> dict[str, Any]:
        assert self.state.sweep
        sweep = {"id": "s", "name": "sweep1", "state": "RUNNING", "runs": {"edges": []}}
        return {"project": {"sweep": sweep | {"config": self.state.sweep["config"]}}}

    def _CreateAgent(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"createAgent": {"agent": {"id": "a"}}}

    def _Heartbeat(self, variables: dict[str, Any]) -> dict[str, Any]:
        busy = json.loads(variables["runState"])
        ended = {"type": "exit"}
        commands = [] if busy else [self.state.commands.pop(0) if self.state.commands else ended]
        return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": json.dumps(commands)}}

    def _UpsertView2(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.state.views.append(variables)
        project = {"id": "p", "name": "degradation", "entityName": variables["entityName"]}
        view = {"id": f"v{len(self.state.views)}", "project": project}
        view |= {key: variables[key] for key in ("name", "type", "displayName", "description")}
        return {"upsertView": {"view": view | {"spec": variables["spec"]}, "inserted": True}}

    _upsertView = _UpsertView2

    def _GetDefaultEntity(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "u", "entity": "student"}}

    def _GetProjects(self, variables: dict[str, Any]) -> dict[str, Any]:
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"pageInfo": page, "edges": []}}

    def _Viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "u", "username": "student", "entity": "student", "flags": "{}"}}

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
