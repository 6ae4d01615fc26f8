"""Members who have the browser library, before a scripted server or outside of any room."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser

from tests.e2e.browser import PROBE, Member, Tab
from tests.e2e.content import Maker
from tests.e2e.fake_gateway import FakeGateway

ALICE = Maker(ident=7, tone=660)
TICKETS = {"userId": "alice", "userSig": "sig", "privateMapKey": "key", "roomId": 1001, "sdkAppId": 1}


async def join(browser: Browser, fake: FakeGateway, **options: Any) -> Member:
    return await Member.join(browser, fake.url, TICKETS, **options)


async def outside(browser: Browser, fake: FakeGateway, **options: Any) -> Member:
    """Somebody who has the library and is in no room."""
    tab = await Tab.open(browser, fake.url + "/")
    await tab.page.evaluate(PROBE)
    await tab.page.evaluate("(options) => probe.create('me', options).then(() => 0)", options)
    return Member(tab, "alice", {})


async def refusal(member: Member, call: str) -> list[int]:
    """Return code and extraCode of the error that a call of the library ends with."""
    tried = f"(async () => trtc.{call})().then(() => [0, 0], (error) => [error.code, error.extraCode])"
    found: list[int] = await member.call(tried)
    return found


def has(events: list[Any], **fields: Any) -> bool:
    return any(fields.items() <= (detail or {}).items() for _, detail in events)


async def has_events(member: Member, name: str, **fields: Any) -> bool:
    return has(await member.events(name), **fields)
