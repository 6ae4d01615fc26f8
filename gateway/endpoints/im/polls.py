"""The two long polls. They are held clearly shorter than clients are told, and end well when nothing has happened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.base.errors import BadRequest, BadTicket
from gateway.endpoints.im import answers
from gateway.endpoints.im.group_keys import BATCH, MAX_NUMBER
from gateway.endpoints.im.requests import Who, number
from gateway.endpoints.im.sessions import KICKED, Session
from gateway.endpoints.im.waiters import Waiters

if TYPE_CHECKING:
    from gateway.endpoints.im.server import Im

Body = Mapping[str, Any]

MAX_HELD: Final = 40000
"""Held polls of all users: beyond, they are held shortly."""
MAX_REPEATS: Final = 3
"""Answers in a row without anything new: a client that does not say what it has must not spin."""
EARLY: Final = 5 / 6
"""A poll is held for this part of what its client asks for."""


def is_there(request: web.Request) -> Callable[[], bool]:
    transport = request.transport
    return lambda: transport is not None and not transport.is_closing()


async def _hold(im: Im, waiters: Waiters, there: Callable[[], bool], hold_s: float) -> None:
    if im.stopping or im.held >= MAX_HELD:
        hold_s = min(hold_s, im.times.error_s / 2)
    im.held += 1
    try:
        await waiters.wait(hold_s, there)
    finally:
        im.held -= 1


# --- the user's own


async def ended(im: Im, request: web.Request, session: Session) -> web.Response:
    """A request of a login that is over. Its client may have logged out just now, and polls once more."""
    if session.ended == KICKED:
        return await im.late(answers.KICKED, "logged in elsewhere")
    if request.match_info["command"] == "longpolling":
        await _hold(im, im.idle, is_there(request), im.times.hold_s)
        return answers.failure(answers.QUIET, "logged out")
    raise BadTicket("a2: logged out", code=3)


async def personal_poll(im: Im, request: web.Request, who: Who, body: Body) -> web.Response:
    session = who.session
    if session is None:
        raise BadTicket("a2: not logged in", code=3)
    cookie = body.get("Cookie")
    read = number(cookie, "NoticeSeq", MAX_NUMBER, 0) if isinstance(cookie, dict) else 0
    im.delivery.acknowledge(session, read)
    # What is still there with a smaller number is what this client could not read before.
    events = im.delivery.personal_events(session, 0, BATCH)
    there = is_there(request)
    if not events:
        await _hold(im, session.waiters, there, _asked_hold(im, body))
        if there():
            events = im.delivery.personal_events(session, session.given, BATCH)
        else:
            session.waiters.wake()  # another poll may be there
    elif session.repeats > MAX_REPEATS:
        await asyncio.sleep(im.times.error_s)
    if session.ended:
        if session.ended == KICKED:
            return answers.failure(answers.KICKED, "logged in elsewhere")
        return answers.failure(answers.QUIET, "logged out")
    if not events:
        return answers.failure(answers.QUIET, "nothing new")
    return answers.answer_list({}, "EventArray", events)


def _asked_hold(im: Im, body: Body) -> float:
    """A client may ask for less than it was told (`Timeout`, seconds)."""
    asked = body.get("Timeout")
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 1:
        return min(im.times.hold_s, asked * EARLY)
    return im.times.hold_s


# --- a group's


async def group_poll(im: Im, request: web.Request, body: Body) -> web.Response:
    """Answer a poll by `Key`. Those of keys that are not known, or whose groups are gone, are held and end empty."""
    name = body.get("Key")
    if not isinstance(name, str) or not 0 < len(name) <= 128 or not name.isascii():
        raise BadRequest("Key: the LongPollingKey is needed")
    start = number(body, "StartSeq", MAX_NUMBER, 0)
    key, there = im.delivery.keys.find(name), is_there(request)
    if key is None:
        await _hold(im, im.idle, there, im.times.hold_s)
        return _group_answer(im, name, max(1, start), [])
    im.delivery.touch(key)
    im.delivery.polled(key, start)
    key.acknowledge(start)
    entries, next_seq = key.give(again=True)
    if not entries:
        await _hold(im, key.waiters, there, im.times.hold_s)
        if there():
            entries, next_seq = key.give(again=False)
        else:
            key.waiters.wake()
    elif key.repeats > MAX_REPEATS:
        await asyncio.sleep(im.times.error_s)
    return _group_answer(im, name, next_seq, entries)


def _group_answer(im: Im, name: str, next_seq: int, entries: list[bytes]) -> web.Response:
    """Key, NextSeq and HoldTime are used in the next request. Nothing new is an answer that is well and empty: old
    clients take every error of this poll for being kicked."""
    # Written by hand: under load this is half of what the answer costs.
    head = f'{{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"","Key":{json.dumps(name)},"NextSeq":{next_seq}'
    head += f',"HoldTime":{im.times.told_s}'
    if not entries:
        return answers.written(f"{head}}}".encode())
    return answers.written(b"".join((head.encode(), b',"RspMsgList":[', b",".join(entries), b"]}")))
