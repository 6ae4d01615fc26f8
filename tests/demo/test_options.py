from __future__ import annotations

import math

import pytest

from gateway.base.errors import ConfigError
from gateway.cli import _parser
from gateway.demo import codes
from gateway.demo.clip import fit
from gateway.demo.im import _text_of
from gateway.demo.options import Options, read
from gateway.demo.presets import MODES, QUALITIES
from gateway.demo.room import refusal
from gateway.demo.screen import plain


def options(*argv: str) -> Options:
    return read(_parser().parse_args(["demo-peer", *argv]))


def test_defaults_go_to_a_development_server() -> None:
    assert options() == Options()
    assert Options().preset == MODES["RTC"]
    assert Options().sound == QUALITIES["high"]
    assert Options().duration_s == math.inf


def test_what_is_given() -> None:
    found = options(
        "--server", "gw:8080/", "--room", "lobby", "--user", "alice", "--user-sig", "s", "--private-map-key", "k",
        "--app", "7", "--mode", "HD", "--audio-quality", "low", "--say", "a", "--say", "b", "--duration", "2.5",
        "--echo",
    )  # fmt: skip
    assert found.server == "http://gw:8080"
    assert (found.room, found.user, found.user_sig, found.private_map_key, found.app) == ("lobby", "alice", "s", "k", 7)
    assert (found.preset, found.sound) == (MODES["HD"], QUALITIES["low"])
    assert (found.say, found.duration_s, found.echo) == (("a", "b"), 2.5, True)
    assert options("--create").create == "demo"
    assert options("--create", "my room").create == "my room"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--server", "ftp://x"], "--server"),
        (["--server", "http://x/#room=1"], "--server"),
        (["--private-map-key", "k"], "--user-sig"),
        (["--user-sig", "k"], "--user"),
        (["--create", "--user", "a", "--user-sig", "s", "--private-map-key", "k"], "--create"),
    ],
)
def test_contradictions_are_one_line(argv: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        options(*argv)


@pytest.mark.parametrize("argv", [["--mode", "4K"], ["--duration", "0"], ["--duration", "nan"], ["--app", "x"]])
def test_misuse_is_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options(*argv)
    assert ended.value.code == 2
    assert argv[0] in capsys.readouterr().err


def test_presets_are_those_of_the_tags() -> None:
    assert [(p.min_bitrate, p.max_bitrate) for p in (MODES["SD"], MODES["HD"], MODES["FHD"])] == [
        (300_000, 800_000),
        (600_000, 1_200_000),
        (600_000, 1_800_000),
    ]
    assert all(preset.width % 2 == 0 and preset.height % 2 == 0 for preset in MODES.values())
    assert [MODES["RTC"].keyframe_s, MODES["HD"].keyframe_s] == [3, 5]


def test_names_of_codes() -> None:
    assert codes.name(1002, push=True) == "PUSH_EVT_PUSH_BEGIN"
    assert codes.name(-2301, push=False) == "PLAY_ERR_NET_DISCONNECT"
    assert codes.name(3002, push=True) == "PUSH_WARNING_SEVER_CONN_FAIL"
    assert codes.name(3004, push=False) == "PLAY_WARNING_SERVER_DISCONNECT"


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((1920, 1080), (640, 360)),
        ((1080, 1920), (360, 640)),
        ((640, 480), (480, 360)),
        ((320, 240), (320, 240)),
        ((321, 241), (320, 240)),
        ((10000, 1), (640, 2)),
    ],
)
def test_a_clip_is_scaled_into_the_preset_and_never_up(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit(*size, MODES["RTC"]) == fitted


@pytest.mark.parametrize(
    ("code", "detail", "words"),
    [
        (3, None, "room 42 does not exist"),
        (4001, None, "serve --dev"),
        (4001, {"message": "the userSig expired 5 s ago"}, "expired 5 s ago"),
        (4003, {"message": "right 2"}, "may not enter room 42"),
        (5001, None, "is full"),
        (7, None, "4 to 24 letters"),
        (4503, None, "busy"),
        (99, None, "answered 99"),
    ],
)
def test_refusals_name_cause_and_cure(code: int, detail: object, words: str) -> None:
    assert words in refusal(code, {"message": "?", "detail": detail}, "42", "bob")


def test_what_others_say_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2Jb\nc") == "a·[2Jb·c"
    assert len(plain("x" * 5000)) == 1000


@pytest.mark.parametrize(
    ("body", "text", "is_text"),
    [
        ([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "hi"}}], "hi", True),
        ([{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "hi", "Ext": "TEXT"}}], "hi", True),
        ([{"MsgType": "TIMCustomElem", "MsgContent": {"Data": "x"}}], '[TIMCustomElem {"Data": "x"}]', False),
        ([], "", False),
        ("nonsense", "", False),
        ([1, {"MsgContent": 3}], "[None {}]", False),
    ],
)
def test_what_a_person_reads_of_a_message(body: object, text: str, is_text: bool) -> None:
    assert _text_of(body) == (text, is_text)
