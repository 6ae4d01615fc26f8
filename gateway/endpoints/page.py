"""The page and the JS library: files of static/, as they are, revalidated at each load.

`/` is static/index.html, `/x/y.js` and `/static/x/y.js` are static/x/y.js; `/exe` is the same page again, in the role
of WebEXE (static/exe/exe.js). Nothing outside the folder, no hidden file, no listing. ETag and `Cache-Control:
no-cache` let a browser keep what has not changed and never keep what has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        "media-src 'self' blob: mediastream:; connect-src 'self' ws: wss:; manifest-src 'self'; "
        "worker-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
}
"""For HTML only. No inline script or style; the WebSocket of a page on another port of this host is allowed."""

TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".ts": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".wxml": "text/plain",
    ".wxss": "text/plain",
}


class Page:
    """Serves one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/exe", self.exe),
            web.get("/static/{path:.+}", self.file),
            web.get("/{path:.+\\.[a-z0-9]{2,11}}", self.file),
        ]

    async def index(self, _request: web.Request) -> web.StreamResponse:
        return self._respond("index.html")

    async def exe(self, _request: web.Request) -> web.StreamResponse:
        """Return the page in the role of WebEXE; what it was opened with is read in the browser, and never here."""
        response = self._respond("index.html")
        response.headers["Content-Security-Policy"] = PAGE_HEADERS["Content-Security-Policy"].replace(
            "img-src 'self'", "img-src 'self' https:"
        )
        return response

    async def file(self, request: web.Request) -> web.StreamResponse:
        return self._respond(request.match_info["path"])

    def _respond(self, name: str) -> web.StreamResponse:
        path = self._find(name)
        if path is None:
            raise web.HTTPNotFound
        kind = TYPES[path.suffix]
        text = kind.startswith("text/") or kind in ("application/json", "image/svg+xml")
        headers: dict[str, str] = {
            hdrs.CONTENT_TYPE: f"{kind}; charset=utf-8" if text else kind,
            hdrs.CACHE_CONTROL: "no-cache",
        }
        if kind == "text/html":
            headers.update(PAGE_HEADERS)
        else:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        return web.FileResponse(path, headers=headers)

    def _find(self, name: str) -> Path | None:
        """Return the file of that name inside the folder, or None."""
        parts = name.split("/")
        if "\0" in name or "\\" in name or len(name) > 512 or any(part.startswith(".") or not part for part in parts):
            return None
        path = self._folder.joinpath(*parts)
        if path.suffix not in TYPES or not path.is_file():
            return None
        real = path.resolve()
        return real if real.is_relative_to(self._folder) else None
