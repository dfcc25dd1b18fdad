"""Holds files of the hanging file system and passes them on request.

Not the test itself: each program that it starts would inherit them, and hang in closing them.

A request is a line of JSON over a connection, {"octets": HEX, "send": ["file", "fifo", "given"...]}, with
the socket to send on as first descriptor and what "given" stands for as second. The answer is "ok" or an
error.

usage: accomplice.py FOLDER SOCKET
"""

import json
import os
import socket
import sys

folder, path = sys.argv[1:]
held = {name: os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK) for name in ("file", "fifo")}


def obey(client):
    text, given, _, _ = socket.recv_fds(client, 65536, 2)
    request = json.loads(text)
    descriptors = [given[1] if name == "given" else held[name] for name in request["send"]]
    with socket.socket(fileno=given[0]) as wire:
        socket.send_fds(wire, [bytes.fromhex(request["octets"])], descriptors)
    for descriptor in given[1:]:
        os.close(descriptor)


with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    while True:
        client, _ = listener.accept()
        with client:
            try:
                obey(client)
                client.send(b"ok")
            except OSError as error:
                client.send(str(error).encode())
