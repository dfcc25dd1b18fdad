# Lays a bare Debian 12 at /srv/root in a test host, leaves a process in it whose mount namespace has it as the
# root, and prints that process' id. The network, /proc, /sys, /dev, /run, /tmp and /home are the host's there.
set -eu
state=/var/lib/v6pod-bare
root=/srv/root

mount -t tmpfs -o mode=755 v6pod-bare /srv
mkdir -p "$state"
mount -t tmpfs -o mode=755 v6pod-bare "$state"
mkdir "$state"/{up,work} "$root"
mount -t overlay -o "lowerdir=/usr/local/lib/v6pod-test/bare/root,upperdir=$state/up,workdir=$state/work" \
  overlay "$root"

# The users of the host.
for file in passwd group; do
  awk -F: '$3 >= 1000000' "/etc/$file" >>"$root/etc/$file"
done
cp /etc/{subuid,subgid,hosts,hostname,resolv.conf} "$root/etc/"
# apt asks nobody: neither people, nor the archive, for it finds all it wants in its cache.
printf 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n' >"$root/etc/apt/apt.conf.d/test"
# As wherever systemd does not run.
mkdir -p "$root/etc/containers/containers.conf.d"
printf '[containers]\nlog_driver = "k8s-file"\n[engine]\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n' \
  >"$root/etc/containers/containers.conf.d/no-systemd.conf"
# As the image was made, which no registry is there to give.
printf '[storage]\ndriver = "overlay"\n' >"$root/etc/containers/storage.conf"

# shellcheck disable=SC2016 # expanded by the inner one
exec 3< <(exec unshare --mount --propagation slave bash -euc '
for folder in proc sys dev run tmp home; do
  mount --rbind "/$folder" "$1/$folder"
done
cd "$1"
pivot_root . .
umount -l .
mount --make-rshared /
echo $$
exec sleep infinity >/dev/null 2>&1
' root.sh "$root")
read -r pid <&3
echo "$pid"
