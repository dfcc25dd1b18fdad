"""Asks for names that nobody answers for, each once, 200 a second, until it is killed.

usage: flood.py SERVER
"""

import os
import socket
import sys
import time

client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
while True:
    label = os.urandom(6).hex().encode()
    question = bytes([len(label)]) + label + b"\4evil\0\0\1\0\1"
    client.sendto(os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0" + question, (sys.argv[1], 53))
    time.sleep(0.005)
