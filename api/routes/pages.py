"""The dashboard, and a page with the calls of the API. Both work without an internet connection."""

from importlib.resources import files

from starlette.responses import FileResponse, Response

from api.routing import ThreadRouter

router = ThreadRouter(include_in_schema=False)

DASHBOARD = "dashboard"


@router.get("/")
def index() -> Response:
    """The dashboard."""
    page = str(files(DASHBOARD) / "dist" / "index.html")
    return FileResponse(page, headers={"Cache-Control": "no-cache"})


@router.get("/docs")
def docs() -> Response:
    """Swagger UI, which shows the calls of /openapi.json and can send them."""
    page = str(files(DASHBOARD) / "dist" / "docs.html")
    return FileResponse(page, headers={"Cache-Control": "no-cache"})
