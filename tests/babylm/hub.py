"""A stand-in for the Hugging Face Hub. It answers the calls of huggingface_hub.

For an upload, large files arrive first, by Git LFS. The other files arrive in the request that
creates the commit. The stand-in can fail at chosen commits.
"""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

LARGE_SUFFIX = ".safetensors"


@dataclass
class HubDataset:
    """A dataset: the commit of each branch and tag, and the files of each commit."""

    revisions: dict[str, str]
    files: dict[str, dict[str, bytes]]
    card: dict = field(default_factory=dict)


@dataclass
class Hub:
    url: str = ""
    token: str = "hf_secret"
    branches: dict[str, dict[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    """Large objects in the order of their arrival. An object that is sent twice occurs twice."""
    commits: list[str] = field(default_factory=list)
    failing_commits: set[int] = field(default_factory=set)
    """Numbers of the commits that are answered with 500."""
    attempts: int = 0
    datasets: dict[str, HubDataset] = field(default_factory=dict)
    downloads: list[str] = field(default_factory=list)
    """Paths of the dataset files that were downloaded."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_PUT(self) -> None:
        name, content = self.path.rsplit("/", 1)[1], self._body()
        assert sha256(content).hexdigest() == name
        self.hub.uploads.append(name)
        self.hub.objects[name] = content
        self._answer({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        if parts[:2] == ["api", "datasets"]:
            self._dataset("/".join(parts[2:4]), parts[5] if len(parts) > 4 else "main")
            return
        if parts[0] == "datasets":
            self._file("/".join(parts[1:3]), commit=parts[4], path="/".join(parts[5:]))
            return
        self._answer({"sha": "0" * 40, "id": "user/small", "siblings": []})

    def _dataset(self, name: str, revision: str) -> None:
        found = self.hub.datasets.get(name)
        if found is None:
            self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        commit = found.revisions.get(revision, revision)
        if commit not in found.files:
            self._answer({"error": "Invalid rev"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        files = found.files[commit].items()
        siblings = [{"rfilename": path, "size": len(content)} for path, content in files]
        self._answer({"id": name, "sha": commit, "siblings": siblings, "cardData": found.card})

    def _file(self, name: str, *, commit: str, path: str) -> None:
        content = self.hub.datasets[name].files[commit][path]
        self.send_response(200)
        self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.hub.downloads.append(path)
            self.wfile.write(content)

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._answer({"error": "Invalid credentials"}, 401)
            return
        parts = self.path.split("/")
        if self.path == "/api/repos/create":
            self._create()
        elif self.path == "/api/validate-yaml":
            self._answer({"warnings": [], "errors": []})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif parts[5] == "branch":
            is_new = parts[6] not in self.hub.branches
            self.hub.branches.setdefault(parts[6], dict(self.hub.branches["main"]))
            self._answer({}, 200 if is_new else 409)
        elif parts[5] == "preupload":
            self._preupload(json.loads(body), parts[6])
        else:
            assert parts[5] == "commit", self.path
            self._commit(body, parts[6])

    def _create(self) -> None:
        is_new = not self.hub.branches
        self.hub.branches.setdefault("main", {})
        self._answer({"url": f"{self.hub.url}/user/small"}, 200 if is_new else 409)

    def _preupload(self, asked: dict, branch: str) -> None:
        files = []
        for file in asked["files"]:
            path = file["path"]
            entry = {"path": path, "shouldIgnore": False}
            known = self.hub.branches[branch].get(path)
            entry["uploadMode"] = "lfs" if path.endswith(LARGE_SUFFIX) else "regular"
            if known is not None:
                entry["oid"] = self._oid(known, path)
            files.append(entry)
        self._answer({"files": files})

    def _oid(self, content: bytes, path: str) -> str:
        from core.export.submission.git_objects import blob_id

        return sha256(content).hexdigest() if path.endswith(LARGE_SUFFIX) else blob_id(content)

    def _batch(self, asked: dict) -> None:
        objects = []
        for each in asked["objects"]:
            entry = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.hub.objects:
                href = f"{self.hub.url}/store/{each['oid']}"
                entry["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(entry)
        self._answer({"objects": objects, "transfer": "basic"})

    def _commit(self, body: bytes, branch: str) -> None:
        self.hub.attempts += 1
        if self.hub.attempts in self.hub.failing_commits:
            self._answer({"error": "Internal error"}, 500)
            return
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                content = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                content = self.hub.objects[value["oid"]]
            else:
                continue
            self.hub.branches[branch][value["path"]] = content
        self.hub.commits.append(branch)
        self._answer({"commitUrl": f"{self.hub.url}/user/small/commit/1", "commitOid": "1" * 40})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, body: dict, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def hub() -> Iterator[Hub]:
    """Runs the stand-in on a free port."""
    made = Hub()
    handler = type("Handler", (_Handler,), {"hub": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
