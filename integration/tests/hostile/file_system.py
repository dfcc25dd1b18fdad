"""A file system whose files keep whoever asks them anything waiting, for as long as a flag file exists.

/file is a regular file that claims to be a network namespace; /fifo is a FIFO.

usage: file_system.py MOUNTPOINT FLAG
"""

import os
import stat
import sys
import time

import fusepy as fuse

NS_GET_NSTYPE = 0xB703
CLONE_NEWNET = 0x40000000


class Hostile(fuse.Operations):
    def __init__(self, flag):
        self.flag = flag

    def keep_waiting(self, what):
        if os.path.exists(self.flag):
            print("kept waiting:", what, flush=True)
        while os.path.exists(self.flag):
            time.sleep(0.02)

    def getattr(self, path, fh=None):
        kinds = {"/": stat.S_IFDIR | 0o755, "/file": stat.S_IFREG | 0o666, "/fifo": stat.S_IFIFO | 0o666}
        if path not in kinds:
            raise fuse.FuseOSError(2)
        if path != "/":
            self.keep_waiting("getattr " + path)
        return {"st_mode": kinds[path], "st_nlink": 1, "st_uid": os.getuid(), "st_gid": os.getgid()}

    def open(self, path, flags):
        return 1

    def ioctl(self, path, cmd, arg, fip, flags, data):
        self.keep_waiting("ioctl")
        return CLONE_NEWNET if cmd & 0xFFFFFFFF == NS_GET_NSTYPE else 0

    def flush(self, path, fh):
        self.keep_waiting("flush")
        return 0

    def release(self, path, fh):
        self.keep_waiting("release")
        return 0

    def statfs(self, path):
        self.keep_waiting("statfs")
        return {}


hostile = Hostile(sys.argv[2])
# Without allow_other, the kernel asks the file system nothing on behalf of root.
fuse.FUSE(hostile, sys.argv[1], foreground=True, allow_other=True, attr_timeout=0, entry_timeout=0)
