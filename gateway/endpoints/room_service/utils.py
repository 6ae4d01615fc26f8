"""The calls under `/weapp/utils/`: a login for guests, addresses to try, diagnostics, statistics that nobody keeps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from gateway.base.errors import BadRequest, BadTicket
from gateway.endpoints.cors import Access
from gateway.endpoints.entry import Entry, PlayForm
from gateway.endpoints.room_service.addresses import Addresses
from gateway.endpoints.room_service.calls import BAD_AUTH, BUSY, NEEDS_SIG, NO_LOGS, NO_PUSHERS, Answer, Call, Refuse
from gateway.endpoints.room_service.sessions import Sessions
from gateway.rooms.privileges import Privilege
from gateway.rooms.room import check_user_id
from gateway.rooms.tickets import usersig
from gateway.rooms.tickets.keys import AppKeys

log = logging.getLogger(__name__)

SIG_SECONDS: Final = 30 * 86400
PLAY_KEYS: Final[Mapping[str, PlayForm]] = {"rtcplay_key": "rtc", "play_key": "flv"}


class UtilCalls:
    """`wall` gives unix seconds."""

    def __init__(
        self, entry: Entry, access: Access, sessions: Sessions, addresses: Addresses, wall: Callable[[], float]
    ) -> None:
        self._entry = entry
        self._access = access
        self._sessions = sessions
        self._addresses = addresses
        self._wall = wall

    def get_login_info(self, call: Call) -> Answer:
        """A userSig for guests; who has one already gets it back, verified."""
        tickets, user_id, user_sig = self._entry.tickets, call.query("userID"), call.query("userSig")
        app = tickets.default
        if user_sig:
            try:
                app = tickets.app_of(user_sig)
                user_id = tickets.user(app, user_id or None, user_sig)
            except BadTicket as error:
                raise Refuse(NEEDS_SIG, error) from None
        else:
            if not self._access.is_guest(call.request):
                raise Refuse(NEEDS_SIG)
            user_id = user_id or self._entry.draw_user_id()
            try:
                check_user_id(user_id)
            except BadRequest as error:
                raise Refuse(BAD_AUTH, error) from None
            if self._entry.is_protected(app.sdk_app_id, user_id):
                raise Refuse(NEEDS_SIG)
            try:
                user_sig = tickets.mint_user(app, user_id, SIG_SECONDS)
            except ValueError as error:
                log.warning("! no userSig for app %d: %s", app.sdk_app_id, error)
                raise Refuse((NO_PUSHERS[0], "请求失败，签名生成失败")) from None
        return {"sdkAppID": app.sdk_app_id, "accType": "0", "userID": user_id, "userSig": user_sig}

    def get_test_pushurl(self, call: Call) -> Answer:
        """Addresses of a stream that is nobody's: to push to, and to play in every form."""
        app, entry, bases = self._app(call), self._entry, self._addresses.bases(call)
        stream, user_id = f"{app.bizid}_{entry.random(8).hex()}", entry.draw_user_id()
        push = entry.urls.push(app, stream, user_id, Privilege.ALL, bases)
        if not push or not app.bizid:
            raise Refuse(BUSY)

        def play(form: PlayForm) -> str:
            return entry.urls.play(app, stream, user_id, Privilege.ALL, form, bases)

        flv = play("flv")
        return {
            "url_push": push,
            "url_play_flv": flv,
            "url_play_rtmp": play("rtmp"),
            "url_play_hls": flv.replace(f"/live/{stream}.flv", f"/live/{stream}.m3u8"),
            "url_play_acc": play("rtc"),
        }

    def get_test_rtmpaccurl(self, call: Call) -> Answer:
        app, entry, bases = self._app(call), self._entry, self._addresses.bases(call)
        stream = f"{app.bizid}_testclock_rtmpacc"
        return {"url_rtmpacc": entry.urls.play(app, stream, entry.draw_user_id(), Privilege.ALL, "rtc", bases)}

    def report(self, call: Call) -> Answer:
        """Statistics of a phone's connection: taken, and thrown away."""
        return {}

    def check_config(self, call: Call) -> Answer:
        """What the app lacks, in the old answer's words; keys themselves are never told."""
        app, urls, bases = self._app(call), self._entry.urls, self._addresses.bases(call)
        live: Answer = {"bizid": app.bizid, "push_key": urls.push(app, "x", "x", Privilege.ALL, bases)}
        live |= {key: urls.play(app, "x", "x", Privilege.ALL, form, bases) for key, form in PLAY_KEYS.items()}
        im: Answer = {"private_key": _signs(app, self._wall())}
        wrong = {
            part: {key: f"请检查 {key} 的填写是否正确" for key, works in keys.items() if not works}
            for part, keys in (("live", live), ("im", im))
        }
        wrong = {part: keys for part, keys in wrong.items() if keys}
        return {"result": "检查失败" if wrong else "检查正确", **wrong}

    def no_logs(self, call: Call) -> Answer:
        """The old server showed its log files to everybody."""
        raise Refuse(NO_LOGS)

    def _app(self, call: Call) -> AppKeys:
        """The app of whoever is logged in, the default one for guests: an address to push to is not for everybody."""
        if call.query("token"):
            return self._entry.tickets.app(self._sessions.of(call).app)
        if not self._access.is_guest(call.request):
            raise Refuse(NEEDS_SIG)
        return self._entry.tickets.default


def _signs(app: AppKeys, now: float) -> bool:
    """Whether a userSig that the app's keys sign holds: the two halves of a key pair may not belong together."""
    try:
        usersig.verify(usersig.mint(app, "check_config", now, 60), app, "check_config", now)
    except (ValueError, BadTicket):
        return False
    return True
