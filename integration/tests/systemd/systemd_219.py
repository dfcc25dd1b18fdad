# A stand-in for systemd 219 as far as one service and its socket are concerned: what src/core/service.c, socket.c,
# execute.c and manager.c of its source do for LISTEN_FDS, NOTIFY_SOCKET, WATCHDOG and FDSTORE, and no more.
#
# - The socket listens as long as this runs. A connection starts the service; so does "start".
# - Descriptors are passed without names: the socket, then what is stored, the newest first (service_collect_fds).
# - Messages of another process than the main one are ignored (NotifyAccess=main); of fields that are newer it
#   knows none: FDNAME, FDSTOREREMOVE, MONOTONIC_USEC.
# - What is stored is forgotten when its other end is closed (on_fd_store_io), or when the service has stopped for
#   good (service_release_resources); not over a restart.
# - The watchdog runs from READY=1 on, and sends SIGABRT (service_enter_signal), and SIGKILL a second later.
# - Standard error is a stream to the journal, without JOURNAL_STREAM, which is of version 231.
#
# Commands come by a FIFO, a line each: start, stop, restart, reload, kill SIGNAL. What there is to see is in
# FOLDER/state, as JSON; what the journal gets on standard output.
#
# usage: systemd_219.py FOLDER SOCKET... -- PROGRAM ARGUMENT...
#        with WATCHDOG (seconds), STORE (FileDescriptorStoreMax) in the environment
import array, errno, fcntl, json, os, select, signal, socket, stat, struct, sys, time

folder, rest = sys.argv[1], sys.argv[2:]
at = rest.index("--")
paths, program = rest[:at], rest[at + 1:]
watchdog, store_max = float(os.environ.get("WATCHDOG", "0")), int(os.environ.get("STORE", "64"))
RESTART, STOP = 0.1, 1.0  # RestartSec=, TimeoutStopSec=
JOURNAL = "/run/systemd/journal/stdout"

os.makedirs(folder, exist_ok=True)
os.makedirs(os.path.dirname(JOURNAL), exist_ok=True)


def listening(path, kind=socket.SOCK_STREAM):
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    made = socket.socket(socket.AF_UNIX, kind)
    made.bind(path)
    os.chmod(path, 0o666)
    if kind == socket.SOCK_STREAM:
        made.listen(128)
    return made


sockets = [listening(path) for path in paths]
journal = listening(JOURNAL)
notify = listening(folder + "/notify", socket.SOCK_DGRAM)
notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
os.mkfifo(folder + "/control")
control = os.open(folder + "/control", os.O_RDWR | os.O_NONBLOCK)

wait = select.epoll()
for source in [notify.fileno(), control]:
    wait.register(source, select.EPOLLIN)

state = {"state": "dead", "pid": 0, "starts": 0, "status": "", "stored": 0, "watchdogs": 0, "messages": []}
store, streams, deadlines, wanted = [], {}, {}, False


def say():
    state["stored"] = len(store)
    with open(folder + "/state.new", "w") as file:
        json.dump(state, file)
    os.rename(folder + "/state.new", folder + "/state")


def listen_to_callers(on):
    for one in sockets:
        try:
            wait.register(one.fileno(), select.EPOLLIN) if on else wait.unregister(one.fileno())
        except (FileExistsError, FileNotFoundError):
            pass


def start():
    global wanted
    wanted = True
    deadlines.clear()
    listen_to_callers(False)
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.connect(JOURNAL)
    taken, _ = journal.accept()
    streams[taken.fileno()] = [taken, b""]
    wait.register(taken.fileno(), select.EPOLLIN)
    passed = [one.fileno() for one in sockets] + list(reversed(store))
    pid = os.fork()
    if pid == 0:
        try:
            execute(stream, passed)
        finally:
            os._exit(127)
    stream.close()
    state.update(state="start", pid=pid, starts=state["starts"] + 1, status="")


def execute(stream, passed):
    null = os.open("/dev/null", os.O_RDONLY)
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 1000) for fd in [null, stream.fileno(), stream.fileno()] + passed]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    os.closerange(len(high), 2000)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    me = str(os.getpid())
    environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": folder + "/notify"}
    if passed:
        environment.update(LISTEN_PID=me, LISTEN_FDS=str(len(passed)))
    if watchdog:
        environment.update(WATCHDOG_PID=me, WATCHDOG_USEC=str(int(watchdog * 1e6)))
    os.execve(program[0], program, environment)


def kill(number):
    try:
        os.kill(state["pid"], number)
        if number not in (signal.SIGKILL, signal.SIGCONT, signal.SIGSTOP):
            os.kill(state["pid"], signal.SIGCONT)
    except ProcessLookupError:
        pass


def stop(number):
    state["state"] = "stop"
    deadlines.clear()
    deadlines["kill"] = time.monotonic() + STOP
    kill(number)


def dead(restart_at_once):
    state.update(state="dead", pid=0)
    deadlines.clear()
    if wanted:
        state["state"] = "auto-restart"
        deadlines["start"] = time.monotonic() + (0 if restart_at_once else RESTART)
        return
    for fd in store:
        wait.unregister(fd)
        os.close(fd)
    store.clear()
    listen_to_callers(True)


def same(one, other):
    one, other = os.fstat(one), os.fstat(other)
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def keep(fds):
    for fd in fds:
        if len(store) >= store_max or any(same(fd, known) for known in store):
            os.close(fd)
            continue
        try:
            wait.register(fd, 0)
        except OSError as error:
            # epoll(7) takes no ordinary files; 219 says so in its log and forgets them.
            assert error.errno == errno.EPERM
            os.close(fd)
            continue
        store.append(fd)


def message():
    text, control_data, flags, _ = notify.recvmsg(4096, socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * 253))
    pid, fds = 0, array.array("i")
    for level, kind, data in control_data:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % 4])
        elif kind == socket.SCM_CREDENTIALS:
            pid = struct.unpack("iII", data)[0]
    fields = text.decode().split("\n")
    if pid != state["pid"]:
        fields, fds = [], [os.close(fd) for fd in fds] and []
    else:
        state["messages"] = (state["messages"] + [fields])[-50:]
    if "RELOADING=1" in fields and state["state"] == "running":
        state["state"] = "reload"
    if "READY=1" in fields:
        if state["state"] == "start" and watchdog:
            deadlines["watchdog"] = time.monotonic() + watchdog
        if state["state"] in ("start", "reload"):
            state["state"] = "running"
    if "STOPPING=1" in fields and state["state"] == "running":
        state["state"] = "stop"
        deadlines.pop("watchdog", None)
    for field in fields:
        if field.startswith("STATUS="):
            state["status"] = field[7:]
    if "WATCHDOG=1" in fields and "watchdog" in deadlines:
        deadlines["watchdog"] = time.monotonic() + watchdog
    if "FDSTORE=1" in fields:
        keep(fds)
    else:
        for fd in fds:
            os.close(fd)


def command(line):
    global wanted, again
    word = line.split()
    if word[0] == "start" and not state["pid"]:
        start()
    elif word[0] in ("stop", "restart"):
        wanted, again = word[0] == "restart", True
        stop(signal.SIGTERM) if state["pid"] else dead(True)
    elif word[0] == "reload":
        kill(signal.SIGHUP)
    elif word[0] == "kill":
        kill(getattr(signal, word[1]))


def line_of(fd):
    taken, rest = streams[fd]
    got = taken.recv(65536)
    *lines, streams[fd][1] = (rest + got).split(b"\n")
    for one in lines:
        sys.stdout.buffer.write(one + b"\n")
    sys.stdout.flush()
    if not got:
        wait.unregister(fd)
        taken.close()
        del streams[fd]


again = False
listen_to_callers(True)
child_read, child_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
signal.set_wakeup_fd(child_write)
signal.signal(signal.SIGCHLD, lambda *_: None)
wait.register(child_read, select.EPOLLIN)
say()
while True:
    now = time.monotonic()
    left = min((deadline - now for deadline in deadlines.values()), default=60)
    for fd, events in wait.poll(max(left, 0)):
        if fd == notify.fileno():
            message()
        elif fd == control:
            for line in os.read(control, 4096).decode().splitlines():
                command(line)
        elif fd == child_read:
            os.read(child_read, 64)
        elif fd in streams:
            line_of(fd)
        elif fd in store:
            wait.unregister(fd)
            store.remove(fd)
            os.close(fd)
        elif state["pid"] == 0:
            start()
    try:
        pid, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pid = 0
    if pid and pid == state["pid"]:
        # Messages come before the news of a process' end (the priorities in manager_setup_notify).
        while select.select([notify], [], [], 0)[0]:
            message()
        dead(again)
        again = False
    now = time.monotonic()
    if now >= deadlines.get("start", now + 1):
        start()
    if now >= deadlines.get("kill", now + 1):
        deadlines.pop("kill")
        kill(signal.SIGKILL)
    if now >= deadlines.get("watchdog", now + 1):
        state["watchdogs"] += 1
        stop(signal.SIGABRT)
    say()
