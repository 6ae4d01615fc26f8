"""A creator mutes, removes and bans a member that pushes by RTMP, mutes everybody, and ends the room: by content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser

from tests.e2e import player
from tests.e2e.browser import Member, Tab, until
from tests.e2e.content import Maker
from tests.e2e.gateway_process import Gateway
from tests.e2e.page import PHONE, Visits, place, says, settled, shown, state, visiting
from tests.e2e.player import Playing
from tests.e2e.pusher import Pusher

ALICE = Maker(ident=51, tone=440)
BOB = Maker(ident=52, tone=660)
PHONE_SHOWS = Maker(ident=53, tone=880)
ROOM = 6100


@pytest_asyncio.fixture(loop_scope="session")
async def visits(browser: Browser) -> AsyncIterator[Visits]:
    async with visiting(browser) as visits:
        yield visits


async def silent(member: Member, user: str, pictures: Maker | None) -> None:
    """Wait until no sound comes from `user`, and its pictures do or (None) do not."""

    async def good() -> bool:
        report = await member.report(user, 1)
        moves = report["frames"] >= pictures.fps * 0.6 if pictures else report["frames"] == 0
        return report["tone"] == 0 and moves

    await until(good, 10, lambda: f"{member.user} still gets {user}; {member.tab.console[-5:]}")


async def test_a_pushers_sound_and_picture_and_stay(
    browser: Browser, gateway: Gateway, files: Callable[..., Path], tmp_path: Path
) -> None:
    """What the creator does to an RTMP pusher reaches browsers and players at once, and touches nobody else."""
    async with AsyncExitStack() as stack:
        alice = await Member.join(browser, gateway.http, await gateway.tickets("alice", ROOM))
        stack.push_async_callback(alice.close)
        await alice.send(ALICE)
        bob = await Member.join(browser, gateway.http, await gateway.tickets("bob", ROOM))
        stack.push_async_callback(bob.close)
        await bob.watch_all()
        await bob.sees("alice", ALICE)
        push, plays = await gateway.push("phone", ROOM)
        pusher = await stack.enter_async_context(Pusher(push, files(PHONE_SHOWS)))
        await bob.sees("phone", PHONE_SHOWS)
        rtmp = plays["alice"]
        flv = rtmp.replace(f"rtmp://127.0.0.1:{gateway.rtmp_port}", gateway.http).replace("?", ".flv?")
        own = [await stack.enter_async_context(Playing(url)) for url in (rtmp, flv)]
        await asyncio.gather(*(each.runs() for each in own))
        watched = await bob.call("trtc.getRoom().streams.find((one) => one.userId === 'phone').urls.flv")

        await alice.call("trtc.muteUser('phone', { audio: true })")
        await silent(bob, "phone", PHONE_SHOWS)
        heard = await player.play(watched, 2, tmp_path)
        assert heard.frequency() == 0 and len(heard.pictures) > PHONE_SHOWS.fps, "a player of FLV hears a muted pusher"
        await alice.call("trtc.muteUser('phone', { video: true })")
        await silent(bob, "phone", None)
        await alice.call("trtc.muteUser('phone', { audio: false, video: false })")
        await bob.sees("phone", PHONE_SHOWS)

        await alice.call("trtc.kickUser('phone')")
        await pusher.ended(5)
        await asyncio.gather(*(each.ended(5) for each in own))
        left = await until(lambda: bob.events("remote-user-exit"), 5, "bob does not see the phone go")
        assert left[0][1]["userId"] == "phone"
        counters = (await bob.report("alice", 2))["counters"]
        assert len(counters) > ALICE.fps and max(counters) - min(counters) < 2 * 2 * ALICE.fps, "alice flickered"

        await bob.tab.page.evaluate("() => probe.peers.me.watched.delete('phone/main')")
        push, _ = await gateway.push("phone", ROOM)  # whoever was removed may come back
        pusher = await stack.enter_async_context(Pusher(push, files(PHONE_SHOWS)))
        await bob.sees("phone", PHONE_SHOWS)
        await alice.call("trtc.banUser('phone')")
        await pusher.ended(5)
        tickets = await gateway.tickets("phone", ROOM)
        tickets = {key: tickets[key] for key in ("userSig", "privateMapKey")}
        refused = await gateway.call("get_push_url", userID="phone", roomID=str(ROOM), **tickets)
        assert refused["code"] != 0, refused
        again = await stack.enter_async_context(Pusher(push, files(PHONE_SHOWS)))
        await again.ended(5)


async def test_everybody_is_muted_and_the_room_ended(browser: Browser, gateway: Gateway) -> None:
    """The creator is spared, whoever comes later is not; then all are sent home and the room is gone."""
    async with AsyncExitStack() as stack:
        members: list[Member] = []
        for user, maker in (("alice", ALICE), ("bob", BOB)):
            member = await Member.join(browser, gateway.http, await gateway.tickets(user, ROOM + 1))
            stack.push_async_callback(member.close)
            await member.send(maker)
            await member.watch_all()
            members.append(member)
        alice, bob = members
        await asyncio.gather(alice.sees("bob", BOB), bob.sees("alice", ALICE))
        await alice.call("trtc.muteUser('*', { audio: true, video: true, words: true })")
        await silent(alice, "bob", None)
        told = await until(lambda: bob.events("moderated"), 5, "bob is not told")
        assert told[-1][1] == {"audio": True, "video": True, "words": True, "by": "alice"}
        refused = await bob.call("trtc.sendTextMessage('no').then(() => '', (error) => error.reason)")
        assert refused == "muted"
        await bob.sees("alice", ALICE)
        await alice.call("trtc.muteUser('*', { audio: false, video: false, words: false })")
        await alice.sees("bob", BOB)
        await alice.call("trtc.dismissRoom()")
        for member in members:
            ended = await until(lambda member=member: member.events("kicked-out"), 5, f"{member.user} is not told")
            assert ended[0][1]["reason"] == "room_disband"
        rooms = (await gateway.admin("GET", "/rooms"))["rooms"]
        assert ROOM + 1 not in {room["room"] for room in rooms}


# --- on the page


async def page_of(gateway: Gateway, visits: Visits, user: str, room: int, **options: object) -> Tab:
    tab = await visits.open(gateway.http + await place(gateway, user, room, nick=user.title()), **options)
    await state(tab, "live")
    await settled(tab)
    return tab


async def test_the_creators_menus(gateway: Gateway, visits: Visits) -> None:
    """By keyboard: a member's sound, picture and words, each shown to the muted; then everybody's, then the end."""
    alice = await page_of(gateway, visits, "alice", ROOM + 2)
    bob = await page_of(gateway, visits, "bob", ROOM + 2, **PHONE)
    assert not await bob.page.is_visible("#everyone"), "bob is no moderator"
    assert await bob.page.locator(".menu:not([hidden])").count() == 0
    menu = alice.page.locator("[data-user=bob] .menu")
    assert await menu.get_attribute("aria-label") == "Moderate Bob"
    await menu.press("Enter")
    await shown(alice, "#memberDialog")
    for name, sentence in (
        ("audio", "Your microphone was turned off by Alice."),
        ("video", "Your camera was turned off by Alice."),
        ("words", "The chat was closed for you by Alice."),
    ):
        await alice.page.press(f"#{name}Member", "Enter")
        await settled(alice)
        await bob.wait("(text) => document.getElementById('moderated').textContent.includes(text)", sentence)
    await alice.wait("() => document.getElementById('audioMember').textContent.includes('Allow sound again')")
    await shown(alice, "[data-user=bob] .stopped")
    await settled(bob)
    assert await bob.page.evaluate("() => trtc.getVideoTrack()") is None, "bob's camera still runs"
    assert "turned off by Alice" in str(await bob.page.get_attribute("#microphone", "aria-label"))
    await bob.page.click("#camera")
    await says(bob, "only a moderator can allow it again")
    await bob.page.click("#chatOpen")
    assert await bob.page.is_visible("#sayClosed") and not await bob.page.is_visible("#say")
    await bob.page.click("#chatClose")
    for name in ("audio", "video", "words"):
        await alice.page.press(f"#{name}Member", "Enter")
        await settled(alice)
    await shown(bob, "#moderated", False)
    assert "You may speak again" in await bob.page.inner_text("#announce")
    assert await bob.page.get_attribute("#camera", "aria-pressed") == "true", "a camera came on by itself"
    await bob.page.click("#camera")
    await settled(bob)
    await shown(alice, "[data-user=bob].pictured")
    await alice.page.press("#memberDialog", "Escape")

    await alice.page.keyboard.press("e")
    await alice.page.press("#wordsEveryone", "Enter")
    await bob.wait("() => document.getElementById('moderated').textContent.includes('The chat was closed')")
    await alice.page.press("#everyoneDialog", "Escape")
    await bob.page.click("#language")
    assert await bob.page.inner_text("#moderated") == "Alice 已禁止你发言。"
    await alice.page.press("#leave", "Enter")
    await alice.page.press("#leaveDialog [value=end]", "Enter")
    await state(alice, "ready")
    assert await alice.page.inner_text("#alerts") == "", "whoever ends a room needs no word of it"
    await says(bob, "房间已解散")


async def test_the_stay_is_ended_by_a_moderator(gateway: Gateway, visits: Visits) -> None:
    """Removed, back again, banned, forgiven, and the room's end: each in words, with a way back where there is one."""
    alice = await page_of(gateway, visits, "alice", ROOM + 3)
    bob = await page_of(gateway, visits, "bob", ROOM + 3)

    async def over(text: str) -> None:
        await says(bob, text)
        await state(bob, "closed")
        await shown(bob, "#lobby")
        assert await bob.page.evaluate("() => trtc.getVideoTrack()") is None, "the camera still runs"

    await alice.page.click("[data-user=bob] .menu")
    await alice.page.click("#remove")
    await over("You were removed from the room")
    await alice.wait("() => !document.querySelector('[data-user=bob]')")
    await bob.page.click("[data-way=joinAgain]")
    await state(bob, "live")
    await settled(bob)
    await alice.page.click("[data-user=bob] .menu")
    await alice.page.click("#ban")
    await over("You were banned from the room")
    assert not await bob.page.is_visible("[data-way=joinAgain]")
    await bob.page.click("#enter")
    await says(bob, "Your ticket does not allow this")
    await alice.page.click("[data-way=unban]")
    await until(lambda: rejoined(bob), 10, "bob cannot come back")
    await gateway.admin("DELETE", f"/rooms/{ROOM + 3}")
    await over("The room was closed")
    await says(alice, "The room was closed")


async def rejoined(tab: Tab) -> bool:
    if await tab.page.evaluate("() => document.body.dataset.state") == "live":
        return True
    await tab.page.click("#enter")
    await asyncio.sleep(0.5)
    return False
