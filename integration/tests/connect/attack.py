"""Starts v6pod-connect in every way a hostile user can, and tells what came of it: one line of JSON a run.

It judges nothing. `status` is what the program ended with, negative for a signal; `passed` how many
descriptors came over the channel, `server` who made the other end of the first one, `heard` what was read
from it. `uids`, `gids` and `capabilities` are the program's at its very end, read from its corpse.

usage: attack.py GROUP
"""

import ctypes
import json
import os
import pty
import random
import resource
import select
import signal
import socket
import struct
import sys
import time

PROGRAM = "/usr/libexec/v6pod/v6pod-connect"
HOME = os.getcwd()
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_TRACEME, PTRACE_CONT, PTRACE_ATTACH, PTRACE_SEIZE = 0, 7, 16, 0x4206


def nothing():
    pass


def execute(arguments, environment):
    """execve(2) without Python's opinion that argv[0] has to exist."""
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
    pairs = [os.fsencode(f"{name}={value}") for name, value in environment.items()]
    envp = (ctypes.c_char_p * (len(pairs) + 1))(*pairs, None)
    LIBC.execve(PROGRAM.encode(), argv, envp)


class Run:
    """One run, with the far end of its channel."""

    def __init__(self, channel=None, arguments=(b"v6pod-connect",), environment={}, prepare=nothing):
        """Begins it; returns when the program has been executed."""
        self.end = None
        if channel is None:
            self.end, near = socket.socketpair()
            channel = near.detach()
        begun, begins = os.pipe()
        output, writes = os.pipe()
        self.output = output
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(channel, 0)
            os.dup2(writes, 1)
            os.dup2(writes, 2)
            try:
                prepare()
                execute(arguments, environment)
            finally:
                os._exit(99)
        for descriptor in (channel, begins, writes):
            os.close(descriptor)
        os.read(begun, 1)
        os.close(begun)

    def status_file(self):
        with open(f"/proc/{self.pid}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

    def finish(self, case):
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        corpse = self.status_file()
        _, status = os.waitpid(self.pid, 0)
        told = os.read(self.output, 65536).decode(errors="replace")
        os.close(self.output)
        answer = {
            "case": case,
            "status": os.waitstatus_to_exitcode(status),
            "core": os.WCOREDUMP(status),
            "output": told,
            "uids": [int(uid) for uid in corpse["Uid"].split()],
            "gids": [int(gid) for gid in corpse["Gid"].split()],
            "capabilities": int(corpse["CapPrm"], 16) | int(corpse["CapEff"], 16),
        }
        answer.update(self.received())
        print(json.dumps(answer), flush=True)

    def received(self):
        if self.end is None:
            return {"passed": 0}
        with self.end as end:
            try:
                octets, descriptors, _, _ = socket.recv_fds(end, 100, 10, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError, OSError):
                return {"passed": 0}
        if not descriptors:
            return {"passed": 0}
        with socket.socket(fileno=descriptors[0]) as first:
            for other in descriptors[1:]:
                os.close(other)
            server = struct.unpack("iII", first.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            heard = first.recv(100).decode() if select.select([first], [], [], 2)[0] else ""
            return {"passed": len(descriptors), "server": server, "path": first.getpeername(), "heard": heard}


def run(case, **how):
    Run(**how).finish(case)


def plain():
    run("plain")


def descriptors():
    def fresh(*kind):
        return socket.socket(*kind).detach()

    def close(*numbers):
        def prepare():
            for number in numbers:
                os.close(number)

        return prepare

    def thousand():
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 4096), limit))
        for number in range(1000):
            os.set_inheritable(os.dup(0 if number % 2 else 2), True)

    run("0 closed", prepare=close(0))
    run("1 and 2 closed", prepare=close(1, 2))
    run("all closed", prepare=close(0, 1, 2))
    run("1000 open", prepare=thousand)
    run("a file", channel=os.open("/etc/passwd", os.O_RDONLY))
    run("a folder", channel=os.open("/", os.O_RDONLY))
    run("/dev/null", channel=os.open("/dev/null", os.O_RDWR))
    run("a path", channel=os.open("/dev/null", os.O_PATH))
    run("memory", channel=os.open("/proc/self/mem", os.O_RDWR))
    run("a pipe", channel=os.pipe()[0])
    run("a terminal", channel=pty.openpty()[1])
    run("datagrams", channel=socket.socketpair(type=socket.SOCK_DGRAM)[0].detach())
    run("packets", channel=socket.socketpair(type=socket.SOCK_SEQPACKET)[0].detach())
    run("TCP", channel=fresh(socket.AF_INET))
    run("netlink", channel=fresh(socket.AF_NETLINK, socket.SOCK_RAW))
    run("unconnected", channel=fresh(socket.AF_UNIX))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{HOME}/listener")
        listener.listen()
        run("listening", channel=os.dup(listener.fileno()))
    # Root listens there, and users may connect.
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect("\0open to all")
    run("another server's", channel=stranger.detach())
    gone, near = socket.socketpair()
    gone.close()
    run("reader gone", channel=near.detach(), prepare=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL) and None)
    unread, near = socket.socketpair()
    run("never read", channel=near.detach())
    full, near = socket.socketpair()
    near.setblocking(False)
    try:
        while True:
            near.send(b"x" * 4096)
    except BlockingIOError:
        near.setblocking(True)
    run("full", channel=near.detach())


def environment():
    bad = f"{HOME}/bad"
    os.makedirs(bad, exist_ok=True)
    for name in ("libc.so.6", "preload.so", "gconv-modules"):
        with open(f"{bad}/{name}", "w") as file:
            file.write("not a library")
    hostile = {
        "LD_LIBRARY_PATH": bad,
        "LD_PRELOAD": f"{bad}/preload.so",
        "LD_AUDIT": f"{bad}/preload.so",
        "LD_DEBUG": "all",
        "LD_DEBUG_OUTPUT": f"{bad}/debug",
        "LD_PROFILE_OUTPUT": bad,
        "LD_SHOW_AUXV": "1",
        "LD_BIND_NOT": "1",
        "GCONV_PATH": bad,
        "LOCPATH": bad,
        "NLSPATH": f"{bad}/%N",
        "LANG": "../../bad",
        "TMPDIR": bad,
        "TZ": f"{bad}/libc.so.6",
        "MALLOC_CHECK_": "3",
        "MALLOC_PERTURB_": "255",
        "MALLOC_TRACE": f"{bad}/trace",
        "GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.mxfast=glibc.malloc.mxfast=" + "A" * 300,
        "V6POD_SOCKET": f"{bad}/socket",
        "PATH": bad,
        "IFS": "/",
    }
    for name, value in hostile.items():
        run(name, environment={name: value})
    # The C library has root's folder for it, /var/profile, and complains if that is not there.
    run("profiled", environment={"LD_PROFILE": "libc.so.6", "LD_PROFILE_OUTPUT": bad})
    run("all of them", environment=hostile)
    run("none")
    run("large", environment={f"A{number}": "x" * 100_000 for number in range(10)})
    run("nameless", environment={"": "x", "\n": "\x1b[31m"})
    made = sorted(set(os.listdir(bad)) - {"libc.so.6", "preload.so", "gconv-modules"})
    print(json.dumps({"made": made}))


def arguments():
    run("no argv[0]", arguments=())
    run("empty argv[0]", arguments=(b"",))
    run("long argv[0]", arguments=(b"/" * 100_000,))
    run("strange argv[0]", arguments=(b"\xff\n\x1b[31m%n%s",))
    for argument in (b"--help", b"", b"/run/other.sock", b"-" * 100_000):
        run(f"an argument of {len(argument)}", arguments=(b"v6pod-connect", argument))
    run("10000 arguments", arguments=(b"v6pod-connect",) * 10_001)
    run("an argument but no argv[0]", arguments=(b"", b"x"))


def limits():
    def to(which, value):
        return lambda: resource.setrlimit(which, (value, value))

    for value in range(6):
        run(f"files {value}", prepare=to(resource.RLIMIT_NOFILE, value))
    run("cores", prepare=to(resource.RLIMIT_CORE, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    run("file size 0", prepare=to(resource.RLIMIT_FSIZE, 0))
    run("processes 0", prepare=to(resource.RLIMIT_NPROC, 0))
    run("locked memory 0", prepare=to(resource.RLIMIT_MEMLOCK, 0))
    run("signals 0", prepare=to(resource.RLIMIT_SIGPENDING, 0))
    for name, which in (("memory", "AS"), ("data", "DATA"), ("stack", "STACK"), ("time", "CPU")):
        for value in (0, 1 << 12, 1 << 16, 1 << 20, 1 << 22):
            run(f"{name} {value}", prepare=to(getattr(resource, f"RLIMIT_{which}"), value))

    def low():
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))

    def homeless():
        os.mkdir(f"{HOME}/gone")
        os.chdir(f"{HOME}/gone")
        os.rmdir(f"{HOME}/gone")

    run("last in line", prepare=low)
    run("no directory", prepare=homeless)
    run("umask", prepare=lambda: os.umask(0o777) and None)


def signals():
    every = set(range(1, 65)) - {32, 33}

    def ignore():
        for number in every - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)

    def pend():
        signal.pthread_sigmask(signal.SIG_BLOCK, every)
        for number in every - {signal.SIGKILL, signal.SIGSTOP}:
            os.kill(os.getpid(), number)

    def timer(seconds):
        return lambda: signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    run("all ignored", prepare=ignore)
    run("all blocked and pending", prepare=pend)
    for number in range(50):
        run(f"timer {number}", prepare=timer(0.0001 * (number + 1)))
    for number in range(300):
        attacked = Run()
        end = time.monotonic() + random.random() * 0.001
        fatal = random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGXCPU, 0])
        while time.monotonic() < end:
            for each in (signal.SIGSTOP, signal.SIGCONT, signal.SIGWINCH, signal.SIGCONT):
                os.kill(attacked.pid, each)
        os.kill(attacked.pid, fatal)
        os.kill(attacked.pid, signal.SIGCONT)
        attacked.finish(f"storm {number}")


def trace():
    def ptrace(request, pid):
        ctypes.set_errno(0)
        LIBC.ptrace(request, pid, None, None)
        return ctypes.get_errno()

    def opened(path):
        try:
            os.close(os.open(path, os.O_RDONLY))
            return 0
        except OSError as error:
            return error.errno

    # Traced from before it is executed: then it has no rights.
    traced = Run(prepare=lambda: ptrace(PTRACE_TRACEME, 0) and None)
    while os.waitid(os.P_PID, traced.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT).si_code == os.CLD_TRAPPED:
        os.waitpid(traced.pid, 0)
        ptrace(PTRACE_CONT, traced.pid)
    traced.finish("traced from the start")

    # Caught in the middle: stopped at any moment, then looked into.
    for number in range(400):
        watched, inherited = os.pipe()
        caught = Run(prepare=lambda: os.set_inheritable(inherited, True))
        os.close(inherited)
        end = time.monotonic() + random.random() * 0.0006
        while time.monotonic() < end:
            pass
        os.kill(caught.pid, signal.SIGSTOP)
        found = os.waitid(os.P_PID, caught.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if found.si_code == os.CLD_STOPPED:
            status, pid = caught.status_file(), caught.pid
            seen = {
                "name": status["Name"],
                "uids": [int(uid) for uid in status["Uid"].split()],
                "closed": bool(select.select([watched], [], [], 0)[0]),
                "attach": [ptrace(PTRACE_SEIZE, pid), ptrace(PTRACE_ATTACH, pid)],
                "files": [opened(f"/proc/{pid}/{name}") for name in ("mem", "environ", "maps", "fd", "cwd/.")],
            }
            print(json.dumps({"seen": seen}))
            os.kill(caught.pid, random.choice([0, signal.SIGKILL, signal.SIGSEGV, signal.SIGQUIT]))
            os.kill(caught.pid, signal.SIGCONT)
        os.close(watched)
        caught.finish(f"caught {number}")


def crowd():
    runs = [Run() for _ in range(50)]
    for number, each in enumerate(runs):
        each.finish(f"crowd {number}")


{each.__name__: each for each in (plain, descriptors, environment, arguments, limits, signals, trace, crowd)}[
    sys.argv[1]
]()
