"""Calls v6podd with grpcio and prints what it says as JSON.

usage: client.py SOCKET STUBS    STUBS: the folder with what grpc_tools made of the .proto files
"""

import json
import sys

import grpc

sys.path.insert(0, sys.argv[2])
from v6pod.v1 import attachments_pb2, attachments_pb2_grpc, daemon_pb2, daemon_pb2_grpc  # noqa: E402

LIST_SERVICES = b"\x3a\x01*"  # field 7 of ServerReflectionRequest


def reflected(channel, version):
    """Whether a version of reflection lists our services."""
    method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    (answer,) = channel.stream_stream(method)(iter([LIST_SERVICES]), timeout=5)
    return all(name in answer for name in (b"v6pod.v1.Attachments", b"v6pod.v1.Daemon", b"v6pod.v1.Networks"))


def code(call):
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["OK", ""]


# grpcio sends the escaped path of the socket as authority, which HTTP/2 servers may refuse.
options = [("grpc.default_authority", "localhost")]
with grpc.insecure_channel(f"unix:{sys.argv[1]}", options=options) as channel:
    attachments = attachments_pb2_grpc.AttachmentsStub(channel)
    status = daemon_pb2_grpc.DaemonStub(channel).Status(daemon_pb2.StatusRequest(), timeout=5)
    listed = attachments.List(attachments_pb2.ListRequest(), timeout=5)
    events = attachments.Watch(attachments_pb2.WatchRequest(), timeout=5)
    first = next(events)
    events.cancel()
    print(json.dumps({
        "uid": status.caller_uid,
        "version": status.version,
        "names": [attachment.name for attachment in listed.attachments],
        "addresses": [attachment.address for attachment in listed.attachments],
        "watched": first.attachment.name,
        "activate": code(lambda: attachments.Activate(attachments_pb2.ActivateRequest(), timeout=5)),
        "reflection": {version: reflected(channel, version) for version in ("v1", "v1alpha")},
    }))
