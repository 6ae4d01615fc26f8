"""wire/chat: what the system says, in the forms of both faces and of the polls."""

from __future__ import annotations

import json

from gateway.wire import chat


def test_a_tip_has_the_system_for_its_sender_and_no_nick() -> None:
    tip = chat.Tip(chat.TIP_JOINED, (1 << 33) + 5, 1546300800123, "carol", ("carol", "dan"), 7)
    entry = json.loads(chat.tip_entry_json(tip, "55", "Tea"))
    assert (entry["Event"], entry["From_Account"], entry["ToGroupId"]) == (4, "@TIM#SYSTEM", "55")
    assert entry["GroupInfo"] == {"GroupName": "Tea", "To_Account": "55"}
    assert (entry["MsgSeq"], entry["MsgRandom"], entry["MsgTimeStamp"]) == (
        tip.number,
        tip.number % (1 << 32),
        1546300800,
    )
    assert entry["MsgBody"] == {
        "OpType": 1,
        "Operator_Account": "carol",
        "List_Account": ["carol", "dan"],
        "MemberNum": 7,
        "MsgGroupNewInfo": {},
        "MsgMemberInfo": [],
    }
    assert json.loads(chat.tip_frame(tip, "55"))["detail"] == entry["MsgBody"]
    assert json.loads(chat.tip_json(tip)) == {
        "t": "tip",
        "op": 1,
        "time": 1546300800123,
        "operator": "carol",
        "users": ["carol", "dan"],
        "members": 7,
        "changed": {},
    }


def test_tips_of_changed_data_and_of_who_may_not_write() -> None:
    named = chat.Tip(chat.TIP_GROUP_CHANGED, 1, 1, "carol", changed={"GroupName": "Tea"})
    assert chat.tip_detail(named)["MsgGroupNewInfo"] == {"GroupName": "Tea"}
    muted = chat.Tip(chat.TIP_MEMBER_CHANGED, 1, 1, "carol", ("dan",), shut_up_s=60)
    assert chat.tip_detail(muted)["MsgMemberInfo"] == [{"User_Account": "dan", "ShutupTime": 60}]
    assert json.loads(chat.tip_json(muted))["shutUpS"] == 60


def test_a_notice_to_one_user_has_the_number_of_its_poll() -> None:
    notice = chat.Notice(chat.LEFT, 9, 1546300800123, operator="dan")
    entry = json.loads(chat.personal_notice_json(notice, "55"))
    assert (entry["Event"], entry["NoticeSeq"], entry["MsgBody"]["ReportType"]) == (5, 9, 8)
    assert entry["MsgBody"]["Operator_Account"] == "dan" and entry["GroupInfo"]["GroupName"] == "55"
    assert "NoticeSeq" not in json.loads(chat.notice_entry_json(notice, "55"))


def test_a_message_to_one_user_is_numbered_for_its_poll_only() -> None:
    body = chat.read_body([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "psst"}}])
    direct = chat.Direct(9, 1546300800123, "bob", "Bob", "alice", 4, body, 4711)
    assert json.loads(chat.direct_entry_json(direct, numbered=True))["NoticeSeq"] == 9
    entry = json.loads(chat.direct_entry_json(direct))
    assert "NoticeSeq" not in entry and entry["MsgSeq"] == 4711


def test_priorities_and_randoms_of_old_clients() -> None:
    assert [chat.read_priority(value) for value in ("LOVEMSG", "REDPACKET", "High", None, 7)] == [
        "LOVEMSG",
        "REDPACKET",
        "COMMON",
        "COMMON",
        "COMMON",
    ]
