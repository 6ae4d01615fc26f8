"""The addresses that these rooms hand out and take: push URLs, play URLs, and whose stream a push URL names."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs

from gateway.base.errors import BadTicket
from gateway.endpoints.entry import Bases, Entry, PlayForm
from gateway.endpoints.room_service.calls import BAD_AUTH, Call, Refuse
from gateway.endpoints.room_service.sessions import Session
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import Member, Room, RoomKey, StreamKind
from gateway.rooms.tickets import urlsig

FRESH_S: Final = 86_400.0
"""A remembered URL of one who is no member is handed out again for so long."""
MAX_URL: Final = 2048


class Addresses:
    """A viewer need be no member here: what it was given is then remembered by its session."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def bases(self, call: Call) -> Bases:
        return self._entry.urls.bases(call.request.headers.get(hdrs.HOST), secure=call.request.secure)

    def push(self, session: Session, room: RoomKey | None, bases: Bases) -> str:
        """Return the session's push URL, for that room or for one that it names later in `add_pusher`."""
        entry, user_id = self._entry, session.user_id
        member = None if room is None else entry.find_member(room, user_id)
        if member is not None:
            return entry.push_url(member, StreamKind.MAIN, bases)
        if room is None:
            stream = entry.directory.roomless_stream_id(session.app, user_id, lambda: entry.random(8).hex())
        else:
            stream = entry.stream_id(room, user_id, StreamKind.MAIN)
        known = self._known(session, f"push:{stream}")
        if known:
            return known
        url = entry.urls.push(entry.tickets.app(session.app), stream, user_id, Privilege.ALL, bases)
        session.remember(f"push:{stream}", url, entry.clock())
        return url

    def play(self, session: Session, room: Room, stream: str, form: PlayForm, bases: Bases, *, keep: bool) -> str:
        """Return the URL by which the caller plays `stream`: the same before, in, and after its stay as a member.

        `keep` False, for lists of many rooms: one that is not known yet is not remembered.
        """
        if not stream:
            return ""
        entry, purpose = self._entry, f"{form}:{stream}"
        member = room.members.get(session.user_id)
        known = self._known(session, purpose)
        if member is not None:
            if known and member.privileges == Privilege.ALL and purpose not in member.urls:
                entry.directory.remember_url(member, purpose, known)
            url = entry.play_url(member, stream, bases, form)
        else:
            app = entry.tickets.app(session.app)
            url = known or entry.urls.play(app, stream, session.user_id, Privilege.ALL, form, bases)
        if keep and url != known:
            session.remember(purpose, url, entry.clock())
        return url

    def stream_of(self, member: Member) -> str:
        """Return the id of the member's main stream, "" if it never had one."""
        info = member.streams.get(StreamKind.MAIN)
        if info is not None:
            return info.stream_id
        return self._entry.directory.find_stream_id(member.key, member.user_id, StreamKind.MAIN) or ""

    def claimed(self, session: Session, push_url: str) -> str:
        """Return the stream id of a push URL that we gave to this user; host and path do not count. Raises Refuse (7).

        Without this anybody could take another's stream as its own.
        """
        path, mark, query = push_url.partition("?")
        stream = path.rpartition("/")[2]
        if not mark or len(push_url) > MAX_URL or not urlsig.is_stream_name(stream):
            raise Refuse(BAD_AUTH)
        tickets, directory = self._entry.tickets, self._entry.directory
        try:
            grant = tickets.url(tickets.app(session.app), stream, dict(parse_qsl(query)), urlsig.PUBLISH)
        except (BadTicket, ValueError) as error:
            raise Refuse(BAD_AUTH, error if isinstance(error, BadTicket) else None) from None
        owner = directory.lookup_stream(stream)
        if (
            directory.issued_to(stream) != (session.app, session.user_id)
            or grant.user_id not in (None, session.user_id)
            or (owner is not None and owner.kind is not StreamKind.MAIN)
        ):
            raise Refuse(BAD_AUTH)
        return stream

    def _known(self, session: Session, purpose: str) -> str:
        url, since = session.urls.get(purpose, ("", 0.0))
        return url if url and self._entry.clock() - since < FRESH_S else ""
