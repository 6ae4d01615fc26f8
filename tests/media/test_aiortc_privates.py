"""Every underscored name of aiortc and pylibsrtp that the transport uses, so that an upgrade fails here and by name.

The second test reads the sources: a name used there and not listed here fails too.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pylibsrtp
import pytest
from aiortc import RTCCertificate, RTCDtlsTransport, RTCSctpTransport
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_256_GCM, SRTP_PROFILES, State
from aiortc.rtcsctptransport import DataChunk, InboundStream
from pylibsrtp._binding import ffi, lib

RTC = Path(__file__).parent.parent.parent / "gateway" / "media" / "rtc"

DTLS_METHODS = {"_setup_srtp", "_set_role", "_set_state", "_send_data"} | {
    "_register_data_receiver",
    "_unregister_data_receiver",
}
DTLS_ATTRIBUTES = {"_role", "_ssl", "_srtp_profiles", "_task"}
SCTP_METHODS = {"_handle_data"}
SCTP_ATTRIBUTES = {"_advertised_rwnd", "_inbound_streams", "_data_channels", "_sack_misordered", "_sent_queue"}
CHUNK_ATTRIBUTES = {"_sent_count"}
CERTIFICATE_METHODS = {"_create_ssl_context"}
POLICY_ATTRIBUTES = {"_policy"}
PIPE_METHODS = {"_recv", "_send"}
"""What RTCDtlsTransport calls on its transport, besides `role`."""

SRTP_FUNCTIONS = {
    "srtp_create",
    "srtp_dealloc",
    "srtp_protect",
    "srtp_protect_rtcp",
    "srtp_unprotect",
    "srtp_unprotect_rtcp",
    "srtp_remove_stream",
}


class Pipe:
    role = "controlled"


async def test_they_are_all_there() -> None:
    certificate = RTCCertificate.generateCertificate()
    dtls = RTCDtlsTransport(Pipe(), [certificate])  # type: ignore[arg-type]
    sctp = RTCSctpTransport(dtls)
    assert all(callable(getattr(RTCDtlsTransport, name)) for name in DTLS_METHODS)
    assert all(hasattr(dtls, name) for name in DTLS_ATTRIBUTES)
    assert all(callable(getattr(RTCSctpTransport, name)) for name in SCTP_METHODS)
    assert all(hasattr(sctp, name) for name in SCTP_ATTRIBUTES)
    assert all(callable(getattr(RTCCertificate, name)) for name in CERTIFICATE_METHODS)
    assert isinstance(sctp._inbound_streams, dict) and isinstance(sctp._data_channels, dict)
    assert isinstance(sctp._sack_misordered, set) and InboundStream().reassembly == []
    assert len(sctp._sent_queue) == 0 and set(DataChunk.__annotations__) >= CHUNK_ATTRIBUTES
    assert DataChunk(flags=3).flags == 3 and DataChunk().user_data == b""
    assert SRTP_PROFILES[0] is SRTP_AEAD_AES_256_GCM and State.FAILED.name == "FAILED"
    assert {"libsrtp_profile", "openssl_profile", "key_length", "salt_length"} <= set(vars(SRTP_AEAD_AES_256_GCM))
    assert hasattr(pylibsrtp.Policy(), "_policy")
    assert all(hasattr(lib, name) for name in SRTP_FUNCTIONS) and ffi.NULL == ffi.NULL


def test_the_methods_take_what_we_give_and_override() -> None:
    assert list(inspect.signature(RTCDtlsTransport._setup_srtp).parameters) == ["self"]
    assert list(inspect.signature(RTCDtlsTransport._set_role).parameters) == ["self", "role"]
    assert list(inspect.signature(RTCCertificate._create_ssl_context).parameters) == ["self", "srtp_profiles"]
    assert asyncio.iscoroutinefunction(RTCSctpTransport._handle_data)
    source = inspect.getsource(RTCDtlsTransport)
    assert set(re.findall(r"self\.transport\.(\w+)", source)) == PIPE_METHODS | {"role"}


@pytest.mark.parametrize("path", sorted(RTC.glob("*.py")), ids=lambda path: path.name)
def test_no_other_is_used(path: Path) -> None:
    known = DTLS_METHODS | DTLS_ATTRIBUTES | SCTP_METHODS | SCTP_ATTRIBUTES | CERTIFICATE_METHODS
    known |= POLICY_ATTRIBUTES | PIPE_METHODS | CHUNK_ATTRIBUTES
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        if isinstance(node.ctx, ast.Store)
    } | {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    foreign = {name for name in used - own if not name.startswith("__")}
    assert foreign <= known, f"{path.name} uses {foreign - known}"
