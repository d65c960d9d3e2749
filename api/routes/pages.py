"""The dashboard, and a page that lists all calls. Both work without an internet connection."""

from html import escape
from importlib.resources import files

from fastapi import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from api.routing import thread_router

router = thread_router(include_in_schema=False)

DASHBOARD = "dashboard"


@router.get("/")
def index() -> Response:
    """The dashboard."""
    page = str(files(DASHBOARD) / "dist" / "index.html")
    return FileResponse(page, headers={"Cache-Control": "no-cache"})


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """All calls on one page, from the OpenAPI description at /openapi.json."""
    rows = []
    for path, methods in request.app.openapi()["paths"].items():
        for method, call in methods.items():
            rows.append(
                f"<tr><td><code>{method.upper()}</code></td><td><code>{escape(path)}</code></td>"
                f"<td>{escape(call.get('description', ''))}</td></tr>"
            )
    return HTMLResponse(
        "<!doctype html><html lang=en><meta charset=utf-8><title>BabyLM API</title>"
        '<link rel=stylesheet href="/static/style.css"><main><h1>BabyLM API</h1>'
        '<p>The whole description, for tools: <a href="/openapi.json">/openapi.json</a>.</p>'
        "<table><thead><tr><th>Method<th>Path<th>What it does</thead><tbody>"
        + "".join(rows)
        + "</tbody></table></main></html>"
    )
