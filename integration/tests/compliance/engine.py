"""Starts slirp4netns as a container engine does, once for each case, and writes down all that it can see.

Cases come as JSON on standard input, records go as JSON to standard output. A record is a list of what was
seen, each with its kind: [["links", "lo tap0"], ["ends", "exit 0"], ...].

Every slirp4netns is started with descriptor 3, the write end of the ready pipe, 4, the read end of the exit
pipe, and 9, a file that is no concern of its. In a case's text {PID} is the process in the namespace, {NETNS}
its namespace as a file, {DIR} a folder of the user's, {HOST} and {OTHER} the host's two addresses. Records
have the same words, and {SELF} for slirp4netns itself, so that those of two hosts can be compared.

usage: engine.py UID PATH HOST OTHER   (the user; the PATH that slirp4netns is found in)
"""

import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

UID, PATH, HOST, OTHER = sys.argv[1:]
LIMIT = 5  # seconds, for whatever takes milliseconds
READY, EXIT, FILE = 3, 4, 9
AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]
STATUS = "Uid Gid Groups Umask Threads NoNewPrivs Seccomp SigBlk SigIgn SigCgt CapEff CapBnd CapAmb".split()


def read(path):
    with open(path, "rb") as file:
        return file.read().decode(errors="backslashreplace")


def patiently(done):
    """Waits until done() is true; tells whether it was."""
    end = time.monotonic() + LIMIT
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def received(descriptor, limit):
    """What comes next; empty at the end, None when nothing does in time."""
    return os.read(descriptor, 100) if select.select([descriptor], [], [], limit)[0] else None


def ipv4(text):
    """The address that /proc/net/route means."""
    return socket.inet_ntoa(bytes.fromhex(text)[::-1])


class Case:
    """One run of slirp4netns, and the record of it."""

    def __init__(self, number, case):
        self.case, self.record, self.children = case, [], []
        self.folder = f"/tmp/compliance-{number}"
        self.pid = self.process = None
        self.parent_ends = threading.Event()
        os.mkdir(self.folder)
        for name in ("out", "err", "file", "netns"):
            open(f"{self.folder}/{name}", "w").close()
            os.chown(f"{self.folder}/{name}", int(UID), int(UID))
        os.chown(self.folder, int(UID), int(UID))
        if re.search(r"\{(PID|NETNS)\}", case["line"] + case["under"]):
            self.make_namespace()

    def make_namespace(self):
        program = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", "echo $$; exec sleep infinity"]
        self.children.append(subprocess.Popen(AS_USER + program, stdout=subprocess.PIPE, text=True))
        self.pid = int(self.children[0].stdout.readline())
        subprocess.run(["mount", "--bind", f"/proc/{self.pid}/ns/net", f"{self.folder}/netns"], check=True)

    def words(self):
        words = {"NETNS": f"{self.folder}/netns", "DIR": self.folder, "HOST": HOST, "OTHER": OTHER}
        return words | ({"PID": self.pid} if self.pid else {})

    def meant(self, text):
        for word, value in self.words().items():
            text = text.replace("{%s}" % word, str(value))
        return text

    def note(self, kind, text):
        for word, value in (self.words() | {"UID": UID, "PATH": PATH, "SELF": self.process.pid}).items():
            # Processes of a new host have small numbers, which mean other things in other places.
            places = rf"(?<=/proc/){value}\b|(?<=_PID=){value}\b" if isinstance(value, int) \
                else rf"(?<![\w.]){re.escape(value)}(?![\w.])"
            text = re.sub(places, "{%s}" % word, text)
        self.record.append([kind, text])

    def run(self):
        self.start()
        for step in self.case["steps"]:
            name, argument = next(iter(step.items())) if isinstance(step, dict) else (step, None)
            try:
                getattr(self, "step_" + name)(*([] if argument is None else [self.meant(argument)]))
            except (OSError, subprocess.SubprocessError) as error:
                self.note(name, f"impossible: {error}")
        self.end()
        return self.record

    def start(self):
        self.ready, ready = os.pipe()
        ending, self.exit = os.pipe()
        file = os.open(f"{self.folder}/file", os.O_RDWR)
        for descriptor, place in ((ready, READY), (ending, EXIT), (file, FILE)):
            os.fchown(descriptor, int(UID), int(UID))
            os.dup2(descriptor, place)
            os.close(descriptor)
        # The thread is what the kernel takes for the parent: when it ends, a parent has.
        started = threading.Event()
        self.parent = threading.Thread(target=self.be_parent, args=[started], daemon=True)
        self.parent.start()
        started.wait()
        reserve()

    def be_parent(self, started):
        under = [self.meant(word) for word in shlex.split(self.case["under"])]
        line = ["slirp4netns"] + [self.meant(word) for word in shlex.split(self.case["line"])]
        with open(f"{self.folder}/out", "w") as out, open(f"{self.folder}/err", "w") as err:
            self.process = subprocess.Popen(
                AS_USER + under + line, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.folder,
                pass_fds=(READY, EXIT, FILE), env={"PATH": PATH, "LANG": "C.UTF-8", "HOME": self.folder})
        started.set()
        self.parent_ends.wait()

    # What there is to see in the namespace, without starting anything: it is there at this very moment.

    def links(self):
        lines = read(f"/proc/{self.pid}/net/dev").splitlines()[2:]
        return " ".join(sorted(line.split(":")[0].strip() for line in lines))

    def sockets(self):
        return [read(f"/proc/{self.pid}/net/{kind}").count("\n") for kind in ("tcp", "udp")]

    def note_network(self):
        self.note("links", self.links())
        for line in read(f"/proc/{self.pid}/net/route").splitlines()[1:]:
            link, network, gateway = line.split()[:3]
            self.note("route", f"{ipv4(network)} by {ipv4(gateway)} {link}")
        for line in read(f"/proc/{self.pid}/net/if_inet6").splitlines():
            if line.split()[3] == "00":
                self.note("global IPv6", line.split()[5])

    # The steps: what the table can ask for.

    def step_Ready(self):
        told = received(self.ready, LIMIT)
        if not told:
            return self.note("ready", "nothing, and closed" if told == b"" else "nothing")
        self.note("ready", repr(told.decode()))
        self.note_network()
        rest = received(self.ready, LIMIT)
        self.note("ready", "closed" if rest == b"" else f"then {rest}")

    def step_Tap(self):
        patiently(lambda: "tap0" in self.links().split())
        self.note("links", self.links())

    def step_Process(self):
        proc = f"/proc/{self.process.pid}"
        self.note("program", os.readlink(f"{proc}/exe"))
        arguments = read(f"{proc}/cmdline").split("\0")[:-1]
        self.note("arguments", " ".join("{PID}" if word == str(self.pid) else word for word in arguments))
        self.note("folder", os.readlink(f"{proc}/cwd"))
        own = os.listdir(f"{proc}/root") != os.listdir("/")
        self.note("root", " ".join(sorted(os.listdir(f"{proc}/root"))) if own else "the host's")
        known = {os.readlink(f"/proc/self/fd/{self.ready}"): "ready", os.readlink(f"/proc/self/fd/{self.exit}"): "exit"}
        for number in sorted(map(int, os.listdir(f"{proc}/fd"))):
            target = os.readlink(f"{proc}/fd/{number}")
            flags = int(re.search(r"flags:\s*(\d+)", read(f"{proc}/fdinfo/{number}"))[1], 8)
            what = known.get(target) or re.sub(r":\[\d+\]", "", target)
            self.note("descriptor", f"{number} {what} {('read', 'write', 'both')[flags & 3]}")
        for variable in sorted(filter(None, read(f"{proc}/environ").split("\0"))):
            self.note("environment", variable)
        for line in read(f"{proc}/status").splitlines():
            if line.split(":")[0] in STATUS:
                key, _, value = line.partition(":")
                if key == "SigIgn":
                    # 32 and 33 are the C library's own; whoever started the tests may have ignored them.
                    line = f"{key}: {int(value, 16) & ~(3 << 31):016x}"
                self.note("status", " ".join(line.split()))
        for line in read(f"{proc}/limits").splitlines()[1:]:
            self.note("limits", " ".join(line.split()))
        for kind in sorted(os.listdir(f"{proc}/ns")):
            link = os.readlink(f"{proc}/ns/{kind}")
            whose = [who for who, pid in (("host", "self"), ("container", self.pid))
                     if os.readlink(f"/proc/{pid}/ns/{kind}") == link]
            self.note("namespace", f"{kind}: {' and '.join(whose) or 'own'}")
        self.note("children", read(f"{proc}/task/{self.process.pid}/children").strip())

    def step_Inside(self, command):
        self.note_command("inside", ["nsenter", f"--net=/proc/{self.pid}/ns/net", "sh", "-c", command], command)

    def step_Outside(self, command):
        self.note_command("outside", ["sh", "-c", command], command)

    def note_command(self, kind, arguments, command):
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
        self.note(kind, f"$ {command} -> {done.returncode}")
        for line in done.stdout.splitlines():
            self.note(kind, line)

    def step_Serve(self, command):
        before = self.sockets()
        program = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "sh", "-c", f"exec {command}"]
        self.children.append(subprocess.Popen(program, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.note("serve", "listens" if patiently(lambda: self.sockets() != before) else "does not listen")

    def step_Api(self, request):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LIMIT)
            connection.connect(f"{self.folder}/api")
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            reply = b"".join(iter(lambda: connection.recv(4096), b""))
        self.note("api", f"{request} -> {reply.decode()}")

    def step_Signal(self, name):
        self.process.send_signal(signal.Signals[name])

    def step_CloseExit(self):
        os.close(self.exit)
        self.exit = None

    def step_WriteExit(self):
        os.write(self.exit, b"1")

    def step_CloseReady(self):
        os.close(self.ready)
        self.ready = None

    def step_EndParent(self):
        self.parent_ends.set()
        self.parent.join()

    def step_StillRuns(self):
        self.note("runs", str(self.process.poll() is None))

    def end(self):
        if patiently(lambda: self.process.poll() is not None):
            code = self.process.returncode
            self.note("ends", f"exit {code}" if code >= 0 else signal.Signals(-code).name)
        else:
            self.note("ends", "not")
            self.process.kill()
            self.process.wait()
        if self.ready is not None and (rest := received(self.ready, 0)):
            self.note("ready", f"{rest.decode()!r}, before it ended")
        for kind, name in ("stdout", "out"), ("stderr", "err"), ("file", "file"):
            for line in read(f"{self.folder}/{name}").splitlines():
                self.note(kind, line)
        if self.pid:
            patiently(lambda: self.links() == "lo")
            self.note("links", self.links())
        left = set(os.listdir(self.folder)) - {"out", "err", "file", "netns"}
        self.note("files left", " ".join(sorted(left)))
        self.clean()

    def clean(self):
        self.parent_ends.set()
        self.parent.join()
        for child in self.children:
            child.kill()
            child.wait()
        for descriptor in filter(None, (self.ready, self.exit)):
            os.close(descriptor)
        if self.pid:
            subprocess.run(["umount", f"{self.folder}/netns"], check=True)
        shutil.rmtree(self.folder)


def reserve():
    """Keeps the numbers that slirp4netns is given from being used for anything else."""
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(READY, FILE + 2):
        if number != null:
            os.dup2(null, number, inheritable=False)
    if not READY <= null <= FILE + 1:
        os.close(null)


reserve()
json.dump([Case(number, case).run() for number, case in enumerate(json.load(sys.stdin))], sys.stdout)
