"""Named attacks: each gets an expected error status, sees no secret file, and changes no file.

The kinds of attacks are those of a threat model: paths, archives, bodies, specs, queries,
headers, keys, browsers, and text that another program may interpret.
"""

import gzip
import json
import shutil
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest

from api.app import create_app
from api.errors import MEDIA_TYPE
from jobs.database import Database
from jobs.settings import DATABASE_FILE, Settings
from tests.api.conftest import SPEC, World, local_client, write_corpus
from tests.api.raw import RawClient
from tests.api.sending import tree
from tests.api.test_archives import DAMAGED, DAMAGED_ZIPS, NOT_REGULAR
from tests.api.test_downloads import BAD_RANGES
from tests.api.test_lists import CURSORS
from tests.api.test_problems import BODIES, NAMES
from tests.api.test_uploaded_archives import HOSTILE

CANARY = "canary-7f3a"
JOB = "JOB"
"""Placeholder for the id of an existing job."""


@dataclass(frozen=True)
class Attack:
    """A request, and the statuses with which the service may answer it."""

    kind: str
    name: str
    method: str
    target: str
    statuses: tuple[int, ...]
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def paths() -> list[Attack]:
    places = {
        "job": "/v1/jobs/{}",
        "file": f"/v1/jobs/{JOB}/checkpoints/last/files/{{}}",
        "dataset": "/v1/datasets/{}",
        "dashboard": "/static/{}",
    }
    return [
        Attack("path", f"{name[:70]} as {place}", "GET", target.format(name), (400, 404, 422))
        for place, target in places.items()
        for name in NAMES
    ]


def archives() -> list[Attack]:
    found = {name: (file, content) for name, (file, content, _) in HOSTILE.items()}
    found |= {f"tar with {name}": ("a.tar", content) for name, content in DAMAGED.items()}
    found |= {f"tar with {name}": ("a.tar", content) for name, content in NOT_REGULAR.items()}
    found |= {f"zip with {name}": ("a.zip", content) for name, content in DAMAGED_ZIPS.items()}
    found["gzip of nothing"] = ("a.tgz", gzip.compress(b"", mtime=0))
    found["gzip of gzip"] = ("a.tgz", gzip.compress(gzip.compress(bytes(1024), mtime=0)))
    return [
        Attack(
            *("archive", name, "POST", f"/v1/datasets/hostile/files?name={file}", (413, 422)),
            content,
        )
        for name, (file, content) in found.items()
    ]


def bodies() -> list[Attack]:
    return [
        Attack("body", f"{name} at {path}", "POST", path, (400, 413, 422), content)
        for name, content in BODIES.items()
        for path in ("/v1/jobs", f"/v1/jobs/{JOB}/checkpoints/last/generate")
    ]


SPECS: dict[str, dict[str, object]] = {
    "heads that do not divide the width": {"model": {"num_attention_heads": 5}},
    "key-value heads that do not divide the heads": {
        "model": {"num_attention_heads": 4, "num_key_value_heads": 3}
    },
    "an odd head": {"model": {"num_attention_heads": 4, "head_dim": 7}},
    "no heads": {"model": {"num_attention_heads": 0}},
    "no layers": {"model": {"num_hidden_layers": 0}},
    "a million layers": {"model": {"num_hidden_layers": 10**6}},
    "a negative width": {"model": {"hidden_size": -32}},
    "a width of 2^63": {"model": {"hidden_size": 2**63}},
    "a vocabulary of 10^12": {"tokenizer": {"vocab_size": 10**12}},
    "a vocabulary of one": {"tokenizer": {"vocab_size": 1}},
    "a batch of 10^12": {"training": {"batch_size": 10**12}},
    "no epochs": {"training": {"epochs": 0, "max_steps": 0}},
    "a sequence of 0": {"training": {"seq_length": 0}},
    "a sequence beyond the positions": {
        "training": {"seq_length": 4096},
        "model": {"max_position_embeddings": 128},
    },
    "a learning rate of 0": {"training": {"learning_rate": 0}},
    "a negative learning rate": {"training": {"learning_rate": -1}},
    "a dataset that is an address": {"data": {"dataset": "http://169.254.169.254/"}},
    "a dataset that is a file": {"data": {"dataset": "/etc/passwd"}},
    "a source that climbs": {"data": {"sources": ["../../secret"]}},
    "validation that is the training text": {"data": {"validation": "words"}},
    "a tokenizer of a path": {"tokenizer": {"from_job": "../../runs"}},
    "a tokenizer of nothing": {"tokenizer": {"from_job": "0" * 32}},
    "a name with a line break": {"name": "a\nb"},
    "a name with an escape": {"name": "\x1b]0;owned\x07"},
    "a name of 10,000 letters": {"name": "a" * 10_000},
    "a device that does not exist": {"training": {"device": "tpu"}},
    "a code to run": {"model": {"architecture": "__import__('os').system('id')"}},
    "an unknown section": {"callbacks": ["os.system"]},
}


def specs() -> list[Attack]:
    found = []
    for name, change in SPECS.items():
        spec = {
            key: {**SPEC[key], **value} if isinstance(SPEC.get(key), dict) else value
            for key, value in (SPEC | change).items()
        }
        body = json.dumps(spec).encode()
        found.append(Attack("spec", name, "POST", "/v1/jobs", (422,), body))
    return found


INJECTIONS = [
    *("'; DROP TABLE job; --", "' OR '1'='1", "1; SELECT pg_sleep(9)", "%' UNION SELECT 1--", "\\"),
    *("${jndi:ldap://x}", "{{7*7}}", "$(id)", "`id`", "<script>alert(1)</script>", "\r\nX: y"),
]


def queries() -> list[Attack]:
    found = [
        Attack("query", f"status is {text[:30]!a}", "GET", f"/v1/jobs?status={quote(text)}", (422,))
        for text in INJECTIONS
    ]
    found += [
        Attack(
            "query",
            f"type is {text[:30]!a}",
            "GET",
            f"/v1/jobs/{JOB}/events?types={quote(text)}",
            (422,),
        )
        for text in INJECTIONS
    ]
    found += [
        Attack("cursor", name, "GET", f"/v1/jobs?after={quote(cursor)}", (422,))
        for name, cursor in CURSORS.items()
    ]
    numbers = ("-1", "0", "1001", "1e3", "NaN", "99999999999999999999", "0x10", "1;2", "%00")
    return found + [
        Attack("query", f"limit is {number}", "GET", f"/v1/jobs?limit={number}", (422,))
        for number in numbers
    ]


def headers() -> list[Attack]:
    file = f"/v1/jobs/{JOB}/checkpoints/last/files/config.json"
    found = [
        Attack("header", f"Range {given[:30]}", "GET", file, (400, 416), headers={"range": given})
        for given in BAD_RANGES
    ]
    hosts = ("evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io", "[::1", "testserver")
    found += [
        Attack("rebinding", f"Host {host!r}", "GET", "/v1/jobs", (400,), headers={"host": host})
        for host in hosts
    ]
    stream = f"/v1/jobs/{JOB}/events/stream"
    found += [
        Attack(
            "header",
            f"Last-Event-ID {seen}",
            "GET",
            stream,
            (422,),
            headers={"last-event-id": seen},
        )
        for seen in ("-1", "x", "1e9", "9" * 30)
    ]
    upload = "/v1/datasets/hostile/files?name=a.txt"
    return found + [
        Attack(
            "header",
            f"Content-Range {given}",
            "POST",
            upload,
            (400,),
            b"text\n",
            {"content-range": given},
        )
        for given in ("bytes 5-2/9", "bytes 0-9/5", "bytes -1-2/3", "x", "bytes 0-4/*")
    ]


def browsers() -> list[Attack]:
    writes = {
        "submit": ("POST", "/v1/jobs"),
        "cancel": ("POST", f"/v1/jobs/{JOB}/cancel"),
        "delete": ("DELETE", f"/v1/jobs/{JOB}"),
        "delete a dataset": ("DELETE", "/v1/datasets/words"),
        "upload": ("POST", "/v1/datasets/hostile/files?name=a.txt"),
        "start cleaning": ("GET", "/v1/datasets/words"),
    }
    foreign = {
        "fetch metadata": {"sec-fetch-site": "cross-site"},
        "another origin": {"origin": "https://evil.example"},
        "no origin at all": {"origin": "null"},
    }
    return [
        Attack("cross-site", f"{name} with {how}", method, target, (403,), b"{}", sent)
        for name, (method, target) in writes.items()
        for how, sent in foreign.items()
    ]


def names() -> list[Attack]:
    found = (
        "a.exe",
        "../a.txt",
        "a/b.txt",
        ".txt",
        "a.txt\n",
        "",
        "a.tar.xz",
        "a\0.txt",
        "..",
        "~/a.txt",
    )
    return [
        Attack(
            "file name",
            repr(name),
            "POST",
            f"/v1/datasets/hostile/files?name={quote(name)}",
            (422,),
            b"text\n",
        )
        for name in found
    ] + [
        Attack("text", name, "POST", "/v1/datasets/hostile/files?name=a.txt", (422,), content)
        for name, content in {
            "UTF-16": "text\n".encode("utf-16"),
            "a program": b"\x7fELF\0\0",
            "a NUL": b"a\0b",
            "half a character": b"text\n\xc3",
            "nothing": b"",
            "white space": b" \n\t",
        }.items()
    ]


ATTACKS = [
    *paths(),
    *archives(),
    *bodies(),
    *specs(),
    *queries(),
    *headers(),
    *browsers(),
    *names(),
]


@dataclass(frozen=True)
class Target:
    """A service with a running job that has a checkpoint."""

    raw: RawClient
    settings: Settings
    job_id: str

    def files(self) -> set[str]:
        return {name for name in tree(self.settings.data_dir) if not name.startswith(".uploads")}


@pytest.fixture(scope="module")
def target(tmp_path_factory, migrated):
    """One service for all attacks, because no attack may change it."""
    folder = tmp_path_factory.mktemp("target")
    settings = Settings(_env_file=None, data_dir=folder / "data", runs_dir=folder / "runs")
    write_corpus(settings.data_dir)
    settings.runs_dir.mkdir()
    shutil.copy(migrated, settings.runs_dir / DATABASE_FILE)
    database = Database(settings.database_url)
    world = World(database, settings)
    job_id = world.running()
    world.checkpoint(job_id, files={"config.json": b"{}"})
    for place in (settings.runs_dir, settings.data_dir):
        (place / "secret").write_text(CANARY)
    # No sweep during the tests: no worker sends heartbeats, so a sweep would requeue the job.
    app = create_app(settings.model_copy(update={"sweep_seconds": 3600.0}))
    with local_client(app, raise_server_exceptions=False):
        yield Target(RawClient(app), settings, job_id)
    database.dispose()


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_an_attack_is_refused(target, attack):
    before = target.files()
    path = attack.target.replace(JOB, target.job_id)
    answer = target.raw.send(attack.method, path, attack.body, **attack.headers)
    assert answer.status in attack.statuses, (answer.status, answer.body[:500])
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["status"] == answer.status
    text = answer.body.decode()
    folders = (str(target.settings.runs_dir), str(target.settings.data_dir))
    for secret in (CANARY, "Traceback", *folders):
        assert secret not in text
    assert target.files() == before
    [job] = target.raw.send("GET", "/v1/jobs").json()["data"]
    assert (job["id"], job["status"]) == (target.job_id, "running")
    assert job["cancel_requested_at"] is None


def test_the_number_of_attacks_is_as_documented_and_each_has_a_name():
    names = [str(attack) for attack in ATTACKS]
    assert len(names) == len(set(names))
    assert len(names) >= 150
