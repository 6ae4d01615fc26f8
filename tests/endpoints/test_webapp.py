"""webapp, page, metrics, cors: what holds for every answer."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from gateway.base.config import HttpConfig, PublicConfig, RoomApiConfig
from gateway.base.errors import NoSuchRoom, Overloaded
from gateway.endpoints import cors
from tests.endpoints.world import ADMIN, World


@pytest.fixture
def static(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "sdk").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>page</title>", encoding="utf-8")
    (folder / "sdk" / "trtc.js").write_text("export {};", encoding="utf-8")
    (folder / ".secret.js").write_text("no", encoding="utf-8")
    (folder / "data.sqlite").write_text("no", encoding="utf-8")
    (tmp_path / "outside.js").write_text("no", encoding="utf-8")
    (folder / "link.js").symlink_to(tmp_path / "outside.js")
    return folder


async def test_the_page_has_its_type_its_policy_and_is_revalidated(static: Path) -> None:
    async with World(static=static) as world:
        async with world.client.get("/") as answer:
            assert answer.status == 200 and answer.content_type == "text/html"
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-cache"
            etag = answer.headers["ETag"]
        async with world.client.get("/", headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304
        for path in ("/sdk/trtc.js", "/static/sdk/trtc.js", "/static//sdk///trtc.js"):
            async with world.client.get(path) as answer:
                assert answer.status == 200 and answer.content_type == "text/javascript"
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert "Content-Security-Policy" not in answer.headers
        async with world.client.get("/exe?type=LiveRoom&userSig=secret") as answer:
            assert answer.status == 200 and "<title>page" in await answer.text()
            assert "img-src 'self' https:" in answer.headers["Content-Security-Policy"]
        async with world.client.head("/sdk/trtc.js") as answer:
            assert answer.status == 200 and await answer.read() == b"" and answer.headers["Content-Length"] == "10"


@pytest.mark.parametrize(
    "path",
    [
        "/.secret.js",
        "/data.sqlite",
        "/link.js",
        "/../outside.js",
        "/static/..%2foutside.js",
        "/static/%2e%2e/outside.js",
        "/static/sdk",
        "/nothing.js",
        "/static/sdk/trtc.js%00.js",
    ],
)
async def test_nothing_outside_the_folder_is_served(static: Path, path: str) -> None:
    async with World(static=static) as world:
        base = str(world.client.make_url("")).rstrip("/")
        async with world.client.session.get(URL(base + path, encoded=True)) as answer:
            assert answer.status in (400, 404) and "no" != await answer.text()


async def test_errors_are_json_and_unexpected_ones_tell_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def refused(_: web.Request) -> web.Response:
        raise NoSuchRoom("there is no room 7")

    async def busy(_: web.Request) -> web.Response:
        raise Overloaded("too much")

    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("the secret inside")

    async def reads(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    routes = (
        web.get("/x/refused", refused),
        web.get("/x/busy", busy),
        web.get("/x/broken", broken),
        web.post("/x/reads", reads),
    )
    async with World(more_routes=routes, http=HttpConfig(max_body_bytes=1000)) as world:
        async with world.client.get("/x/refused") as answer:
            assert answer.status == 404
            assert await answer.json() == {"code": 1203, "name": "no_such_room", "message": "there is no room 7"}
        async with world.client.get("/x/busy") as answer:
            assert answer.status == 503 and answer.headers["Retry-After"] == "2"
        with caplog.at_level(logging.ERROR):
            async with world.client.get("/x/broken?token=ticket") as answer:
                assert answer.status == 500 and await answer.json() == {"code": 500, "name": "internal_error"}
        assert "the secret inside" in caplog.text and "ticket" not in caplog.text
        async with world.client.post("/x/reads", data=b"x" * 1001) as answer:
            assert answer.status == 413 and (await answer.json())["name"] == "too_large"
        async with world.client.post("/x/reads", data=b"x" * 1000) as answer:
            assert await answer.text() == "1000"
        async with world.client.get("/nowhere") as answer:
            assert answer.status == 404 and (await answer.json())["name"] == "not_found"
        async with world.client.put("/x/reads") as answer:
            assert answer.status == 405 and answer.headers["Allow"] == "POST"


async def test_health_and_readiness() -> None:
    async with World() as world:
        async with world.client.get("/healthz") as answer:
            assert answer.status == 200
        async with world.client.get("/readyz") as answer:
            assert answer.status == 200
        world.ready = "store"
        async with world.client.get("/readyz") as answer:
            assert answer.status == 503 and (await answer.json())["missing"] == "store"


async def test_metrics_are_for_the_operator() -> None:
    async with World() as world:
        world.metrics.gauge("rooms", "Rooms", lambda: len(world.directory.rooms))
        world.metrics.counter("things", "Things", lambda: {("a",): 2, ("b",): 3}, labels=("which",))
        with pytest.raises(ValueError):
            world.metrics.gauge("rooms", "Rooms", lambda: 0)
        world.metrics.gauge("broken", "Broken", lambda: 1 / 0)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {ADMIN}"}):
            async with world.client.get("/metrics", headers=headers) as answer:
                assert answer.status == 401 and "Bearer" in answer.headers["WWW-Authenticate"]
        async with world.client.get("/metrics", headers={"Authorization": f"Bearer {ADMIN}"}) as answer:
            text = await answer.text()
        assert "gateway_rooms 0.0" in text and 'gateway_things_total{which="b"} 3.0' in text
        assert 'gateway_http_requests_total{method="GET",status="401"} 3.0' in text


async def test_options_and_cors_headers() -> None:
    async with World() as world:
        for path in ("/webrtc/weapp/webrtc_room/create_room", "/webrtc//weapp/webrtc_room/create_room"):
            async with world.client.options(path, headers={"Origin": "https://app.example"}) as answer:
                assert answer.status == 204
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET"
                assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
                assert answer.headers["Access-Control-Max-Age"] == "3600"
        async with world.client.options("/nowhere") as answer:
            assert answer.status == 404
        async with world.client.options("/healthz") as answer:
            assert answer.status == 204 and "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gw.example", ("gw.example", None)),
        ("GW.example.:8080", ("gw.example", 8080)),
        ("[::1]:80", ("::1", 80)),
        ("127.0.0.1", ("127.0.0.1", None)),
        ("", None),
        ("a b", None),
        ("evil/..", None),
        ("a:70000", None),
        ("user@host", None),
        ("a:b", None),
    ],
)
def test_host_headers_are_read_or_refused(text: str, value: object) -> None:
    assert cors.split_host(text) == value


GUESTS = ("127.0.0.0/8",)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Host": "localhost:9"}, True),
        ({"Host": "127.0.0.1"}, True),
        ({"Host": "gw.example"}, True),
        ({"Host": "evil.example"}, False),
        ({"Host": "10.0.0.9"}, False),
        ({"Origin": "https://app.example"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Host": "localhost", "Origin": "http://localhost"}, True),
        ({"Host": "localhost", "Origin": "http://localhost:81"}, False),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, False),
        ({"X-Forwarded-For": "203.0.113.5"}, True),  # the peer is no trusted proxy
    ],
)
async def test_guest_answers_need_our_name_and_no_foreign_page(headers: dict[str, str], allowed: bool) -> None:
    http = HttpConfig(origins=("https://app.example",))
    async with World(guests=GUESTS, http=http, public=PublicConfig(http="https://gw.example")) as world:
        answer = await world.call("get_login_info", {}, headers=headers)
        assert answer["code"] == (0 if allowed else 4001)


@pytest.mark.parametrize(
    ("forwarded", "guest"),
    [(None, True), ("203.0.113.5", False), ("127.0.0.1", True), ("203.0.113.5, 127.0.0.1", False), ("x", True)],
)
async def test_behind_a_trusted_proxy_the_forwarded_address_counts(forwarded: str | None, guest: bool) -> None:
    http = HttpConfig(trusted_proxies=("127.0.0.0/8",))
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    async with World(guests=GUESTS, http=http) as world:
        assert (await world.call("get_login_info", {}, headers=headers))["code"] == (0 if guest else 4001)


async def test_without_guests_in_the_configuration_nobody_is_one() -> None:
    assert RoomApiConfig().guests == ()
    async with World() as world:
        assert (await world.call("get_login_info", {}))["code"] == 4001
