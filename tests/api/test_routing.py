"""The check that excludes the routers whose routes do not match a path."""

import asyncio
import re

import httpx2 as httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match

from api.app import PARTS, create_app

ROUTES = [
    (part.router, route)
    for part in PARTS
    for route in part.router.routes
    if isinstance(route, APIRoute)
]


@pytest.mark.parametrize("root", ["", "/lab"])
@pytest.mark.parametrize(
    ("router", "route"), ROUTES, ids=[f"{part.path} {min(part.methods)}" for _, part in ROUTES]
)
def test_a_router_is_not_excluded_for_the_paths_of_its_routes(router, route, root):
    path = re.sub(r"\{\w+\}", "one", re.sub(r"\{\w+:path\}", "a/b c\n.txt", route.path))
    assert router.is_candidate(f"{root}/v1{path}")


def test_most_routers_are_excluded_for_a_path():
    parts = [part.router for part in PARTS if part.router.is_candidate("/v1/workers")]
    assert len(parts) == 1
    assert not any(part.router.is_candidate("/v1/nothing") for part in PARTS)
    scope = {"type": "http", "path": "/v1/nothing"}
    assert all(part.router.matches(scope) == (Match.NONE, {}) for part in PARTS)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1/workers", 200), ("/v1/jobs", 200), ("/v1/nothing", 404)],
)
def test_a_service_behind_a_root_path_finds_its_routes(settings, path, status):
    async def ask() -> int:
        transport = httpx.ASGITransport(create_app(settings), root_path="/lab")
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get(f"/lab{path}")).status_code

    assert asyncio.run(ask()) == status
