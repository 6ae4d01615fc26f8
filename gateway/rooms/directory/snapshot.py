"""Rooms and members ⇄ records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gateway.rooms.directory.records import MemberRecord, RoomRecord, StreamRecord
from gateway.rooms.privileges import from_bits
from gateway.rooms.room import Member, Room, RoomPolicy, StreamInfo


def room_record(room: Room) -> RoomRecord:
    return RoomRecord(
        room.key,
        room.creator,
        room.info,
        room.room_type,
        room.policy.kind,
        room.policy.capacity,
        room.created_at,
        room.serial,
        dict(room.custom),
        room.creator_is_guest,
    )


def member_record(member: Member, resume_hash: str) -> MemberRecord:
    return MemberRecord(
        member.key,
        member.user_id,
        member.nick,
        int(member.granted),
        member.guest,
        member.entered_at,
        tuple(
            StreamRecord(
                info.stream_id,
                info.kind,
                info.has_audio,
                info.has_video,
                info.audio_muted,
                info.video_muted,
                info.started_at,
                info.transport,
            )
            for info in member.streams.values()
        ),
        dict(member.urls),
        resume_hash,
        member.avatar,
        member.pusher,
    )


def restored_room(record: RoomRecord, policies: Mapping[str, RoomPolicy]) -> Room:
    """A room as it was, under today's policy of its kind; an unknown kind is like a page's room of the old size."""
    policy = policies.get(record.kind)
    if policy is None:
        policy = dataclasses.replace(policies["page"], kind=record.kind, capacity=record.capacity)
    room = Room(
        record.key,
        creator=record.creator,
        info=record.info,
        room_type=record.room_type,
        policy=policy,
        created_at=record.created_at,
        serial=record.serial,
    )
    room.custom = dict(record.custom)
    room.creator_is_guest = record.creator_is_guest
    return room


def restored_member(record: MemberRecord, room: Room) -> Member:
    """A member as it was, without session; its streams are paused."""
    member = Member(
        room,
        record.user_id,
        nick=record.nick,
        privileges=from_bits(record.privileges),
        guest=record.guest,
        entered_at=record.entered_at,
    )
    member.urls = dict(record.urls)
    member.avatar, member.pusher = record.avatar, record.pusher
    for stream in record.streams:
        member.streams[stream.kind] = StreamInfo(
            stream.stream_id,
            stream.kind,
            False,
            stream.has_audio,
            stream.has_video,
            stream.audio_muted,
            stream.video_muted,
            stream.started_at,
            stream.transport,
        )
    return member
