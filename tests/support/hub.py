"""A stand-in of the Hugging Face hub: repositories in memory, over the hub's own HTTP API."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_ThisIsASecret"
SHA = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by name, each with its files; `/` in a name ends its owner.

    Attributes:
        owner: Whose repositories the token may write.
        files: Repository to path to content.
        private: Which repositories are not open to all.
        address: Of the server.
        asked: Requests, as method and path.
    """

    owner: str = "me"
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    address: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Answer requests for a hub in a thread of this process."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, data: object = None, status: int = 200, **headers: str) -> None:
            body = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:  # noqa: N802
            path = self.enter()
            if path is None:
                return
            if path.startswith("api/models/"):
                repo, _, rest = path.removeprefix("api/models/").partition("/revision/")
                repo, tree, _ = repo.partition("/tree/")
                self.about(repo, bool(tree))
            else:
                repo, _, rest = path.partition("/resolve/")
                self.content(repo, rest.partition("/")[2])

        do_HEAD = do_GET  # noqa: N815

        def about(self, repo: str, tree: bool) -> None:
            if repo not in hub.files:
                return self.answer({"error": "Repository not found"}, 404,
                                   X_Error_Code="RepoNotFound")  # fmt: skip
            names = [{"type": "file", "path": name, "size": len(data), "oid": name}
                     for name, data in hub.files[repo].items()]  # fmt: skip
            siblings = [{"rfilename": name} for name in hub.files[repo]]
            about = {"id": repo, "sha": SHA, "private": repo in hub.private, "siblings": siblings}
            self.answer(names if tree else about)

        def content(self, repo: str, name: str) -> None:
            data = hub.files.get(repo, {}).get(name)
            if data is None:
                return self.answer({}, 404, X_Error_Code="EntryNotFound")
            self.answer(data, ETag=f'"{hash(data)}"', X_Repo_Commit=SHA)

        def do_POST(self) -> None:  # noqa: N802
            path = self.enter()
            if path is None:
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if path == "api/validate-yaml":
                return self.answer({"errors": [], "warnings": []})
            if path == "api/repos/create":
                return self.create(json.loads(body))
            repo, _, action = path.removeprefix("api/models/").rpartition("/")
            repo, _, verb = repo.rpartition("/")
            if verb == "preupload":
                names = [file["path"] for file in json.loads(body)["files"]]
                return self.answer({"files": [
                    {"path": name, "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                    for name in names
                ]})  # fmt: skip
            self.commit(repo, [json.loads(line) for line in body.splitlines()])

        def create(self, asked: dict) -> None:
            repo = f"{asked['organization']}/{asked['name']}"
            if asked["organization"] != hub.owner:
                return self.answer({"error": "Forbidden"}, 403)
            if repo in hub.files:
                return self.answer({"error": "exists", "url": f"{hub.address}/{repo}"}, 409)
            hub.files[repo] = {}
            if asked.get("visibility") == "private":
                hub.private.add(repo)
            self.answer({"url": f"{hub.address}/{repo}"})

        def commit(self, repo: str, lines: list[dict]) -> None:
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    hub.files[repo][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del hub.files[repo][value["path"]]
            url = f"{hub.address}/{repo}/commit/{SHA}"
            self.answer({"success": True, "commitOid": SHA, "commitUrl": url})

        def enter(self) -> str | None:
            """Return the path that is asked for, or refuse the token."""
            path = unquote(urlsplit(self.path).path).lstrip("/")
            hub.asked.append(f"{self.command} {path}")
            given = self.headers.get("Authorization")
            if given not in (None, f"Bearer {TOKEN}") or (given is None and self.command == "POST"):
                said = f"Invalid credentials in Authorization header: {given}"
                self.answer({"error": said}, 401)
                return None
            return path

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
