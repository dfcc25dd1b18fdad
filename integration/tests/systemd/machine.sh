# Boots Debian 12 with v6podd in it, in a test host: a systemd of its own, on an overlay that goes with the host.
#
# usage: machine.sh ROOT
set -eu
machine=/run/machine root=$machine/root
mkdir -p "$machine"
mount -t tmpfs -o mode=755 machine "$machine"
mkdir "$machine"/{up,work,root}
mount -t overlay -o "lowerdir=$1,upperdir=$machine/up,workdir=$machine/work" overlay "$root"

# As the packages lay it out.
install -D /usr/sbin/v6podd "$root/usr/sbin/v6podd"
install -D /usr/bin/v6pod "$root/usr/bin/v6pod"
install -D -t "$root/usr/libexec/v6pod" /usr/libexec/v6pod/*
install -D -m 644 -t "$root/usr/lib/systemd/system" /run/packaging/v6podd.{service,socket}
install -D -m 644 /run/packaging/v6pod.conf "$root/usr/lib/tmpfiles.d/v6pod.conf"
mkdir -p "$root/etc/systemd/system/v6podd.service.d"
cp -r /etc/v6pod "$root/etc/"
cp /run/packaging/drop-in.conf "$root/etc/systemd/system/v6podd.service.d/test.conf"
systemctl --quiet --root="$root" enable v6podd.service

# The host's user, with the image, who is always logged in.
for file in passwd group subuid subgid; do
  grep '^alice:' "/etc/$file" >>"$root/etc/$file"
done
echo 'alice:*:19000::::::' >>"$root/etc/shadow"
cp /etc/containers/storage.conf "$root/etc/containers/"
# Where the kernel's pids controller is one of cgroup v1, there is none in here.
printf '[containers]\npids_limit = 0\n' >"$root/etc/containers/containers.conf"
install -D /dev/null "$root/var/lib/systemd/linger/alice"
# Nothing here is of the hardware, and nobody sits before it.
systemctl --quiet --root="$root" mask console-getty.service systemd-udevd.service

# A cgroup of its own, which is its root.
group=$(mktemp -d /sys/fs/cgroup/v6pod-test-XXXXXX)
echo "$group" >/run/test-group
echo $$ >"$group/cgroup.procs"
exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc bash -euc '
umount /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# nspawn asks whether it is on a machine of systemd'\''s. Containers in it need all of /proc and keyrings.
mkdir -p /run/systemd/system
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_LOCK=0
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --resolv-conf=off --timezone=off \
  --link-journal=no --console=pipe --bind=/dev/net/tun --bind=/dev/fuse --bind=/home \
  --boot --directory="$1"
' machine.sh "$root"
