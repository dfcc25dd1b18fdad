"""A name server for everything: answers A with 192.0.2.7, AAAA with 2001:db8:53::7, anything else with
nothing, by UDP and TCP; but for names below "evil" it says nothing by UDP. Prints each question.

usage: upstream.py ADDRESS PORT
"""

import socket
import socketserver
import sys
import threading

DATA = {1: socket.inet_aton("192.0.2.7"), 28: socket.inet_pton(socket.AF_INET6, "2001:db8:53::7")}


def answer(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = int.from_bytes(query[at + 1 : at + 3], "big")
    print(".".join(labels).lower(), kind, flush=True)
    data = DATA.get(kind)
    record = b"" if data is None else (
        b"\xc0\x0c" + query[at + 1 : at + 5] + (60).to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
    )
    counts = b"\0\1" + (b"\0\1" if record else b"\0\0") + b"\0\0\0\0"
    return query[:2] + b"\x81\x80" + counts + query[12 : at + 5] + record


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        query, server = self.request
        if b"\4evil\0" not in query:
            server.sendto(answer(query), self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        length = int.from_bytes(self.rfile.read(2), "big")
        reply = answer(self.rfile.read(length))
        self.wfile.write(len(reply).to_bytes(2, "big") + reply)


socketserver.TCPServer.allow_reuse_address = True
address = (sys.argv[1], int(sys.argv[2]))
tcp = socketserver.ThreadingTCPServer(address, Tcp)
threading.Thread(target=tcp.serve_forever, daemon=True).start()
socketserver.ThreadingUDPServer(address, Udp).serve_forever()
