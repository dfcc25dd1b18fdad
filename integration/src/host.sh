# PID 1 of a test host. Runs in new network, mount, PID, UTS, IPC and cgroup namespaces, lays the host's
# private file system over the machine's, says "ready PID" and waits for its standard input to end. When
# it ends (the host was dropped, or the test process died), this process ends, and the kernel with it ends
# every process and removes every mount and link of the host.
#
# Bash, because it reaps the orphans that PID 1 is given (conmon, for one) while it waits.
#
# usage: host.sh NAME CACHE NETWORK_COMMAND [USER:UID:SUBUID]... [SOURCE:TARGET]...
set -eu
name=$1 cache=$2 network_command=$3
shift 3

# /proc still shows the outer PID namespace here, so this is the number nsenter needs.
read -r pid _ </proc/self/stat

top=$cache/mnt
mount -t tmpfs -o mode=755 v6pod-test "$top"
cd "$top"
mkdir run run/lock run/user tmp home root shm dev up up/etc up/usr up/var work work/etc work/usr work/var
chmod 1777 tmp shm run/lock
chmod 700 root

# The machine's files, with everything written to them kept on the host's own tmpfs.
for folder in etc usr var; do
  mount -t overlay -o "lowerdir=/$folder,upperdir=up/$folder,workdir=work/$folder" overlay "/$folder"
done

# The tests' supplies, and the programs under test, wherever the checkout is: bound before /home and /tmp are covered.
supplies=/usr/local/lib/v6pod-test
mkdir -p "$supplies"
mount --bind "$cache" "$supplies"
ln -sf "$supplies/bin/"* /usr/local/bin/

for argument in "$@"; do
  case $argument in
  /*:/*)
    target=${argument#*:}
    mkdir -p "${target%/*}"
    : >"$target"
    mount --bind "${argument%%:*}" "$target"
    ;;
  esac
done

{
  printf '[containers]\nlog_driver = "k8s-file"\n'
  printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n'
  printf 'network_cmd_path = "%s"\n' "$network_command"
} >/etc/containers/containers.conf
printf '[storage]\ndriver = "overlay"\n' >/etc/containers/storage.conf
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >/etc/containers/policy.json
# A container for which the daemon takes too long starts without IPv6: on a busy machine a test would fail for that.
mkdir -p /etc/v6pod
printf 'timeout_ms = 20000\n' >/etc/v6pod/client.toml
printf '%s\n' "$name" >/etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts
printf 'nameserver 127.0.0.1\n' >/etc/resolv.conf
: >/etc/subuid
: >/etc/subgid

for argument in "$@"; do
  case $argument in
  /*) ;;
  *)
    IFS=: read -r user uid subuid <<<"$argument"
    printf '%s:x:%s:%s::/home/%s:/bin/bash\n' "$user" "$uid" "$uid" "$user" >>/etc/passwd
    printf '%s:x:%s:\n' "$user" "$uid" >>/etc/group
    printf '%s:%s:65536\n' "$user" "$subuid" | tee -a /etc/subuid >>/etc/subgid
    mkdir -p "run/user/$uid" "home/$user/.local/share/containers"
    cp -a "$cache/image/storage" "home/$user/.local/share/containers/storage"
    chown -R "$uid:$uid" "run/user/$uid" "home/$user"
    chmod 700 "run/user/$uid" "home/$user"
    ;;
  esac
done

# Device nodes an ordinary user may open, without changing the machine's.
mknod -m 666 dev/tun c 10 200
mknod -m 666 dev/fuse c 10 229
mount --bind dev/tun /dev/net/tun
mount --bind dev/fuse /dev/fuse

mount --bind run /run
mount --bind tmp /tmp
mount --bind home /home
mount --bind shm /dev/shm
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# As systemd leaves it; podman warns when it is not so. No mount namespace but those made in here is a peer.
mount --make-rshared /
hostname "$name"
ip link set lo up

cd /
printf 'ready %s\n' "$pid"
exec >/dev/null
read -r _ || true
