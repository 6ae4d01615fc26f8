"""RoomService: `/roomservice/weapp/<kind>/<call>` and `/weapp/<kind>/<call>`, with the kinds' one set of handlers.

    login ──▶ token ──▶ [create_room] ──▶ get_push_url ──▶ RTMP ──▶ add_pusher ──▶ get_pushers, heartbeats …

The three kinds differ by their room policy (rooms/room.py) and by nothing here. A room is one room for everybody: a
browser that enters it by signaling counts against its size and, while it publishes, is one of its pushers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from aiohttp import web

from gateway.base.clock import wall
from gateway.base.errors import BadRequest, BadTicket
from gateway.endpoints.cors import Access
from gateway.endpoints.entry import Entry
from gateway.endpoints.room_service.addresses import Addresses
from gateway.endpoints.room_service.book import Book, NoBook
from gateway.endpoints.room_service.calls import BAD_AUTH, LOGIN_MISSING, Answer, Call, Refuse, endpoint
from gateway.endpoints.room_service.kinds import KINDS
from gateway.endpoints.room_service.live import LiveCalls
from gateway.endpoints.room_service.notices import GAP_S, Notices, PusherNotices
from gateway.endpoints.room_service.pushers import PusherCalls
from gateway.endpoints.room_service.sessions import Sessions
from gateway.endpoints.room_service.utils import UtilCalls
from gateway.rooms.room import check_user_id

BASES: Final = ("/roomservice/weapp", "/weapp")
UNREADABLE: Final = frozenset({1, 2, 3, 4, 5, 6, 7})
"""Codes of a userSig that cannot even be parsed."""

Handler = Callable[[str, Call], Answer]


class RoomService:
    """`notices` are the groups of the rooms, `book` is what outlasts a restart."""

    def __init__(
        self,
        entry: Entry,
        access: Access,
        notices: Notices,
        wall: Callable[[], float] = wall,
        *,
        book: Book | None = None,
        notice_gap_s: float = GAP_S,
    ) -> None:
        self._entry = entry
        book = book or NoBook()
        self.sessions = Sessions(entry.random, book, entry.tickets.apps, entry.clock)
        for room, user_id in book.awaited:
            entry.await_pusher(room, user_id)
        addresses = Addresses(entry)
        told = PusherNotices(entry.directory, notices, wall, notice_gap_s)
        self._pushers = PusherCalls(entry, self.sessions, addresses, told, book)
        self._live = LiveCalls(entry.directory, self.sessions, self._pushers)
        entry.messages.events.on("event", self._live.on_group_event)
        self._utils = UtilCalls(entry, access, self.sessions, addresses, wall)

    def routes(self) -> list[web.RouteDef]:
        common: dict[str, Handler] = {
            "logout": lambda kind, call: self._logout(call),
            "get_push_url": self._pushers.get_push_url,
            "get_room_list": self._pushers.get_room_list,
            "get_pushers": self._pushers.get_pushers,
            "create_room": self._pushers.create_room,
            "destroy_room": self._pushers.destroy_room,
            "add_pusher": self._pushers.add_pusher,
            "delete_pusher": self._pushers.delete_pusher,
            "pusher_heartbeat": self._pushers.pusher_heartbeat,
            "add_anchor": self._pushers.add_pusher,
            "delete_anchor": self._pushers.delete_pusher,
            "get_anchors": self._pushers.get_pushers,
            "anchor_heartbeat": self._pushers.anchor_heartbeat,
        }
        live: dict[str, Handler] = {
            "merge_stream": self._live.merge_stream,
            "get_custom_info": self._live.get_custom_info,
            "set_custom_field": self._live.set_custom_field,
            "add_audience": self._live.add_audience,
            "delete_audience": self._live.delete_audience,
            "get_audiences": self._live.get_audiences,
        }
        routes: list[web.RouteDef] = []
        for base in BASES:
            for kind in KINDS:
                routes.append(web.post(f"{base}/{kind}/login", endpoint(self._login, body=False)))
                calls = common | live if kind == "live_room" else common
                for name, handler in calls.items():
                    routes.append(web.post(f"{base}/{kind}/{name}", endpoint(functools.partial(handler, kind))))
            routes += self._util_routes(f"{base}/utils")
        return routes

    def _util_routes(self, base: str) -> list[web.RouteDef]:
        utils = self._utils
        calls = {
            "get_login_info": endpoint(utils.get_login_info, body=False),
            "get_test_pushurl": endpoint(utils.get_test_pushurl, body=False, bare=True),
            "get_test_rtmpaccurl": endpoint(utils.get_test_rtmpaccurl, body=False, bare=True),
            "report": endpoint(utils.report, body=False),
            "check_config": endpoint(utils.check_config, body=False),
            "logfilelist": endpoint(utils.no_logs, body=False),
            "getlogfile": endpoint(utils.no_logs, body=False),
        }
        return [
            web.route(method, f"{base}/{name}", handler)
            for method in ("GET", "POST")
            for name, handler in calls.items()
        ]

    def _login(self, call: Call) -> Answer:
        """The ticket is in the query, with an older token perhaps, which counts for nothing."""
        app_id, user_id, user_sig = call.query("sdkAppID"), call.query("userID"), call.query("userSig")
        if not app_id or not user_id or not user_sig:
            raise Refuse(LOGIN_MISSING)
        tickets = self._entry.tickets
        try:
            check_user_id(user_id)
            if not (app_id.isascii() and app_id.isdecimal() and len(app_id) <= 10):
                raise BadRequest("sdkAppID: a number is needed")
            app = tickets.app(int(app_id))
            tickets.user(app, user_id, user_sig)
        except BadRequest as error:
            raise Refuse(LOGIN_MISSING, error) from None
        except BadTicket as error:
            if error.code in UNREADABLE:
                raise Refuse(LOGIN_MISSING, error) from None
            raise Refuse((BAD_AUTH[0], f"鉴权失败, {error.message}"), error) from None
        token = self.sessions.login(app.sdk_app_id, user_id, tickets.is_guest_ticket(user_sig))
        return {"userID": user_id, "token": token}

    def _logout(self, call: Call) -> Answer:
        self.sessions.logout(self.sessions.of(call))
        return {}
