"""Writes the OpenAPI document: `python -m api.openapi`. The dashboard's types are made from it."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api.app import create_app
from jobs.settings import Settings


def openapi_document() -> dict[str, Any]:  # any JSON value
    """The document that a running service sends as /openapi.json."""
    with TemporaryDirectory() as folder:
        app = create_app(Settings(runs_dir=Path(folder)))
    return app.openapi()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(openapi_document(), indent=1, sort_keys=True) + "\n")
