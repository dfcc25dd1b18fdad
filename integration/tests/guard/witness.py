"""Prints the name in every frame of attack.py's that an interface gets, as the protocols above it would.

usage: witness.py INTERFACE
"""

import re
import socket
import sys

PATTERN = re.compile(rb"v6pod-frame:([a-z0-9-]+);")

listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
listener.bind((sys.argv[1], 3))
print("listening", flush=True)
while True:
    frame, (_, _, kind, _, _) = listener.recvfrom(65536)
    # Not what this interface itself sends.
    if kind != 4:
        for name in PATTERN.findall(frame):
            print(name.decode(), flush=True)
