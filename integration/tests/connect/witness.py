"""Stands in for the daemon at its closed socket, and tells of everybody who comes: one line of JSON each.

A guest is greeted, so that they know they are connected.

usage: witness.py MODE [deaf]

Who is deaf lets nobody in.
"""

import json
import os
import socket
import struct
import sys
import time

PATH = "/run/v6pod/v6pod.sock"

mode, deaf = int(sys.argv[1], 8), "deaf" in sys.argv[2:]
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
    listener.bind(PATH)
    os.chmod(PATH, mode)
    listener.listen(0 if deaf else 128)
    # One that users may connect to.
    other = socket.socket(socket.AF_UNIX)
    other.bind("\0open to all")
    other.listen()
    print("ready", flush=True)
    while deaf:
        time.sleep(1)
    while True:
        guest, _ = listener.accept()
        with guest:
            found = guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            _, uid, gid = struct.unpack("iII", found)
            print(json.dumps({"uid": uid, "gid": gid}), flush=True)
            try:
                guest.send(b"welcome")
            except OSError:
                pass
