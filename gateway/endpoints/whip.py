"""WHIP (RFC 9725) and WHEP: publish and play one stream by one HTTP exchange.

    POST   /whip/<room>/<user>        offer → 201, answer, Location of the session
    POST   /whep/<room>/<publisher>   the same for a player
    PATCH  /whip/s/<id>               trickled candidates → 204; ICE restart → 200 and a fragment of the answer
    DELETE /whip/s/<id>               the end

The bearer is a privateMapKey: of the publishing user, or of anybody who may enter and receive. The session URL needs
the same bearer. A publisher is a member of its room while it publishes; a player never is. A player whose publisher is
in the room but not on air yet gets its connection at once and the media when it comes.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from typing import Final, get_args

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway.base.clock import Clock, monotonic
from gateway.base.errors import (
    BadRequest,
    BadTicket,
    NoCommonCodec,
    NoSuchStream,
    NotPermitted,
    SdpError,
    TooLarge,
    TooMany,
)
from gateway.base.log import Tagged
from gateway.endpoints.entry import Entry, Flow, Kinds, PushGrant, Start
from gateway.endpoints.entry.grants import play_grant
from gateway.endpoints.entry.links import DownLink, Kind, TrackKey, UpLink, Viewer, WebRtc, read_offer
from gateway.rooms.privileges import Privilege, to_send
from gateway.rooms.room import Member, StreamKind, check_user_id
from gateway.rooms.tickets import token
from gateway.rooms.tickets.mapkey import RoomTicket
from gateway.wire import sdp

SDP: Final = "application/sdp"
FRAGMENT: Final = "application/trickle-ice-sdpfrag"
MAX_OFFER: Final = 128 * 1024
MAX_FRAGMENT: Final = 16 * 1024
MAX_SESSIONS: Final = 4000
READ_TIMEOUT_S: Final = 10.0

_UFRAG: Final = re.compile(r"^a=ice-ufrag:([A-Za-z0-9+/]{4,256})\s*$", re.MULTILINE)
_PWD: Final = re.compile(r"^a=ice-pwd:([A-Za-z0-9+/]{22,256})\s*$", re.MULTILINE)


@dataclasses.dataclass(eq=False, slots=True)
class _Session(Viewer):
    """One WHIP or WHEP session. `etag` names its ICE generation."""

    id: str
    bearer: bytes
    description: str
    etag: str = ""
    up: UpLink | None = None
    down: DownLink | None = None
    flow: Flow | None = None
    """Of a player."""
    user_id: str = ""
    member: Member | None = None
    plan: Mapping[str, PushGrant] = dataclasses.field(default_factory=dict)
    missing: dict[TrackKey, str] = dataclasses.field(default_factory=dict)
    """What the player cannot take, in words; only the answer to its offer can tell it."""
    owner: Whip | None = None

    def unsupported(self, key: TrackKey, text: str) -> None:
        self.missing[key] = text
        if self.owner is not None:
            self.owner.cannot_take(self, text)

    def ended(self, reason: str) -> None:
        if self.owner is not None:
            self.owner.end(self, reason)

    def allow(self, kinds: Kinds) -> None:
        """As the gate of a player's flow: what its user may receive has changed."""
        if self.down is not None:
            for key in self.down.tracks:
                self.down.hold(key, not (kinds.video if key.kind == "video" else kinds.audio))

    def cut(self, reason: str) -> None:
        """As the gate of a player's flow: its user has been thrown out."""
        self.ended(reason)


class Whip:
    """All WHIP and WHEP sessions of this node."""

    def __init__(self, entry: Entry, rtc: WebRtc, clock: Clock = monotonic) -> None:
        self.entry = entry
        self.rtc = rtc
        self.clock = clock
        self.sessions: dict[str, _Session] = {}
        self.opened = 0
        """Sessions so far."""
        self._log = Tagged(logging.getLogger(__name__), "whip")

    def routes(self) -> list[web.RouteDef]:
        session = "/{kind:whip|whep}/s/{id:[0-9a-f]{32}}"
        routes = [
            web.patch(session, self._patch),
            web.delete(session, self._delete),
            web.post("/whip/{room}/{user}", self._publish),
            web.post("/whep/{room}/{user}", self._play),
        ]
        for path in ("/whip/{room}/{user}", "/whep/{room}/{user}"):
            routes.append(web.options(path, self._options))
        return routes

    async def start(self) -> None:
        return None

    async def aclose(self) -> None:
        for session in list(self.sessions.values()):
            self.end(session, "server stops")

    async def _options(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Accept-Post": SDP, hdrs.ALLOW: "POST, OPTIONS"})

    # --- opening

    async def _publish(self, request: web.Request) -> web.Response:
        bearer, ticket = self._ticket(request)
        user_id = check_user_id(request.match_info["user"])
        if ticket.user_id != user_id:
            raise BadTicket("the privateMapKey belongs to another user", code=token.WRONG_USER)
        # A moderator may have given more than the ticket; what it has taken away is held back, not refused.
        decided = self.entry.directory.moderation.decided_rights(ticket.room, user_id) or Privilege(0)
        rights = ticket.privileges | decided
        if not rights & Privilege.ENTER or not rights & (Privilege.SEND_AUDIO | Privilege.SEND_VIDEO):
            raise NotPermitted("publishing needs the rights 2 and (4 or 16)")
        offer = await _read(request, SDP, MAX_OFFER)
        offered = read_offer(offer)
        if not offered.sending:
            raise web.HTTPUnprocessableEntity(reason="the offer sends nothing")
        grant = self.entry.grant_push(ticket.room, user_id, StreamKind.MAIN, rights)
        for kind in offered.sending.values():
            needed = to_send(aux=False, video=kind == "video")
            if not rights & needed:
                raise NotPermitted(f"sending {kind} needs right {int(needed)}")
        present = self.entry.find_member(ticket.room, user_id)
        # Whoever is there by another way keeps its place and rights.
        member = present if present is not None else self.entry.join(ticket.room, user_id, ticket.privileges)
        try:
            session, answer = self._open_up(bearer, offer, dict.fromkeys(offered.sending, grant))
        except BaseException:
            if present is None:
                self.entry.leave(member, "left")
            raise
        session.user_id, session.member = user_id, member
        return self._created(session, answer, user_id, f"publishes as {user_id}")

    def _open_up(self, bearer: bytes, offer: str, plan: Mapping[str, PushGrant]) -> tuple[_Session, str]:
        session = self._make_session(bearer, offer)
        session.plan = plan
        session.up = UpLink(
            self.rtc,
            "whip",
            on_end=lambda reason: self.end(session, reason),
            on_taken=lambda _: self.end(session, "replaced"),
            on_cut=lambda reason: self.end(session, reason),
        )
        try:
            return session, session.up.accept(offer, plan)
        except BaseException:
            session.up.close()
            raise

    async def _play(self, request: web.Request) -> web.Response:
        bearer, ticket = self._ticket(request)
        publisher = check_user_id(request.match_info["user"])
        rights = self.entry.flows.rights(ticket.room, ticket.user_id, ticket.privileges)
        if not rights & Privilege.ENTER or not rights & (Privilege.RECEIVE_AUDIO | Privilege.RECEIVE_VIDEO):
            raise NotPermitted("playing needs the rights 2 and (8 or 32)")
        if self.entry.directory.is_banned(ticket.room, ticket.user_id):
            raise NotPermitted("the user is banned from this room")
        offer = await _read(request, SDP, MAX_OFFER)
        stream_id = self.entry.directory.find_stream_id(ticket.room, publisher, StreamKind.MAIN)
        present = self.entry.find_member(ticket.room, publisher) is not None
        if not present and (stream_id is None or not self.entry.directory.is_live(stream_id)):
            raise NoSuchStream(f"{publisher} is not in room {ticket.room.id}")
        stream_id = stream_id or self.entry.stream_id(ticket.room, publisher, StreamKind.MAIN)
        grant = play_grant(
            stream_id,
            StreamKind.MAIN,
            ticket.privileges,
            ticket.room,
            ticket.user_id,
            now=rights,
            start=Start.NEWEST_KEY,
        )
        session = self._make_session(bearer, offer)
        session.user_id = publisher
        session.down = DownLink(self.rtc, session)
        session.flow = self.entry.flows.follow(grant, session)
        try:
            for kind in get_args(Kind):
                allowed = session.flow.allowed.audio if kind == "audio" else session.flow.allowed.video
                session.down.hold(TrackKey(publisher, StreamKind.MAIN, kind), not allowed)
            answer = session.down.accept(offer, publisher, self.rtc.streams.open(stream_id))
            for text in session.missing.values():
                raise NoCommonCodec(text)
        except BaseException:
            session.flow.close()
            session.down.close()
            raise
        return self._created(session, answer, ticket.user_id, f"{ticket.user_id} plays {publisher}")

    def _ticket(self, request: web.Request) -> tuple[bytes, RoomTicket]:
        """Verify the bearer of a POST, for the room of the path. Raises BadTicket, BadRequest."""
        bearer = _bearer(request)
        _, ticket = self.entry.tickets.bearer(bearer)
        if ticket.room.id != request.match_info["room"]:
            raise BadTicket("the privateMapKey is for another room", code=token.BAD_USERBUF)
        return _digest(bearer), ticket

    def _make_session(self, bearer: bytes, offer: str) -> _Session:
        if len(self.sessions) >= MAX_SESSIONS:
            raise TooMany(f"{MAX_SESSIONS} sessions", retry_after_ms=5000)
        return _Session(self.entry.random(16).hex(), bearer, offer, self._etag(), owner=self)

    def _etag(self) -> str:
        return f'"{self.entry.random(8).hex()}"'

    def _created(self, session: _Session, answer: str, user_id: str, what: str) -> web.Response:
        self.sessions[session.id] = session
        self.opened += 1
        kind = "whip" if session.up is not None else "whep"
        self._log.info("%s %s: %s", kind, session.id[:8], what)
        headers = CIMultiDict(
            {
                hdrs.LOCATION: f"/{kind}/s/{session.id}",
                hdrs.ETAG: session.etag,
                "Accept-Patch": FRAGMENT,
                hdrs.CACHE_CONTROL: "no-store",
            }
        )
        for server in self.entry.ice_servers.for_user(user_id):
            headers.add(hdrs.LINK, server.link())
        return web.Response(status=201, text=answer, content_type=SDP, headers=headers)

    # --- a session

    def _session(self, request: web.Request) -> _Session:
        session = self.sessions.get(request.match_info["id"])
        known = session.bearer if session is not None else bytes(32)
        right = hmac.compare_digest(_digest(_bearer(request)), known)
        kind = "whip" if session is not None and session.up is not None else "whep"
        if session is None or kind != request.match_info["kind"]:
            raise web.HTTPNotFound
        if not right:
            raise BadTicket("the session needs the bearer that opened it")
        return session

    async def _delete(self, request: web.Request) -> web.Response:
        self.end(self._session(request), "deleted")
        return web.Response(status=200)

    async def _patch(self, request: web.Request) -> web.Response:
        session = self._session(request)
        fragment = await _read(request, FRAGMENT, MAX_FRAGMENT)
        ufrag, pwd = _UFRAG.search(fragment), _PWD.search(fragment)
        if (ufrag is None) != (pwd is None):
            raise BadRequest("ice-ufrag and ice-pwd belong together")
        same = ufrag is None or pwd is None or ufrag[1] == read_offer(session.description).ufrag
        condition = request.headers.get(hdrs.IF_MATCH)
        if condition is None:
            raise web.HTTPPreconditionRequired
        if condition.strip() == "*":
            if same:
                return web.Response(status=204)
        elif condition.strip() != session.etag:
            raise web.HTTPPreconditionFailed
        elif same:
            # We are ICE-lite and learn addresses from checks: a candidate tells us nothing.
            return web.Response(status=204)
        assert ufrag is not None and pwd is not None
        return self._restart(session, ufrag[1], pwd[1])

    def _restart(self, session: _Session, ufrag: str, pwd: str) -> web.Response:
        """ICE restart: as if the client had offered the same again with other credentials."""
        offer = sdp.parse(session.description)
        for section in offer.sections:
            if section.ice_ufrag:
                section.ice_ufrag, section.ice_pwd = ufrag, pwd
        text = offer.serialize()
        if session.up is not None:
            answer = session.up.accept(text, session.plan)
        else:
            assert session.down is not None
            stream = next(iter(session.down.tracks.values()), None)
            if stream is None:
                raise web.HTTPNotFound
            answer = session.down.accept(text, session.user_id, self.rtc.streams.open(stream))
        session.description, session.etag = text, self._etag()
        headers = {hdrs.ETAG: session.etag, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(status=200, text=_fragment(answer), content_type=FRAGMENT, headers=headers)

    def cannot_take(self, session: _Session, text: str) -> None:
        """A player has no decoder for what is published now."""
        self._log.info("%s: %s", session.id[:8], text)

    def end(self, session: _Session, reason: str) -> None:
        """End a session, by whomever. Idempotent. A publisher that is here by nothing else leaves its room."""
        if self.sessions.pop(session.id, None) is None:
            return
        self._log.info("%s ended: %s", session.id[:8], reason)
        if session.up is not None:
            session.up.close()
        if session.down is not None:
            session.down.close()
        if session.flow is not None:
            session.flow.close()
        member = session.member
        if member is None or reason == "replaced" or not self.entry.directory.is_present(member):
            return
        if member.session is None and not member.streams and member.last_seen == member.entered_at:
            self.entry.leave(member, "left")


def _fragment(answer: str) -> str:
    """Return what changes by an ICE restart: credentials and candidates. RFC 8840."""
    first = sdp.parse(answer).sections[0]
    lines = ["a=ice-lite", f"a=ice-ufrag:{first.ice_ufrag}", f"a=ice-pwd:{first.ice_pwd}"]
    lines += [f"m={first.kind} 9 {first.protocol} 0", f"a=mid:{first.mid}"]
    lines += [f"a=candidate:{candidate}" for candidate in first.candidates] + ["a=end-of-candidates"]
    return "\r\n".join(lines) + "\r\n"


def _bearer(request: web.Request) -> str:
    scheme, _, text = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise BadTicket("Authorization: Bearer <privateMapKey> is needed", code=token.EMPTY)
    return text.strip()


def _digest(bearer: str) -> bytes:
    return hashlib.sha256(bearer.encode("utf-8", "replace")).digest()


async def _read(request: web.Request, kind: str, limit: int) -> str:
    """Return the body. Raises HTTPUnsupportedMediaType, TooLarge, SdpError, TimeoutError."""
    if request.content_type != kind:
        raise web.HTTPUnsupportedMediaType(reason=f"Content-Type must be {kind}")
    if (request.content_length or 0) > limit:
        raise TooLarge(f"the description has {request.content_length} bytes, limit {limit}")
    async with asyncio.timeout(READ_TIMEOUT_S):
        body = await request.read()
    if len(body) > limit:
        raise TooLarge(f"the description has {len(body)} bytes, limit {limit}")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise SdpError("the description is not UTF-8") from None
