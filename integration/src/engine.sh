# Makes the mount namespace of another release's podman in a test host, leaves a process there that keeps it,
# and prints that process' id.
#
# usage: engine.sh RELEASE LOWER NETWORK_COMMAND
set -eu
release=$1 lower=$2 network_command=$3
state=/var/lib/v6pod-engine

mkdir -p "$state"
mount -t tmpfs -o mode=755 v6pod-engine "$state"
mkdir "$state"/{up,work,root}

# shellcheck disable=SC2016 # expanded by the inner one
exec 3< <(exec unshare --mount --propagation slave bash -euc '
release=$1 lower=$2 network_command=$3 state=$4
root=$state/root
mount -t overlay -o "lowerdir=$lower,upperdir=$state/up,workdir=$state/work" overlay "$root"
for folder in proc sys dev run tmp home; do
  mount --rbind "/$folder" "$root/$folder"
done

# The users of the host.
for file in passwd group; do
  awk -F: "\$3 >= 1000000" "/etc/$file" >>"$root/etc/$file"
done
cp /etc/{subuid,subgid,hosts,hostname,resolv.conf} "$root/etc/"

# The programs under test. An older release lacks what the machine linked them with; there they get the
# machine'\''s libraries, and nothing else does.
mkdir -p "$root"/usr/{libexec/v6pod,libexec/netavark}
cp -a /usr/libexec/v6pod/. "$root/usr/libexec/v6pod/"
if ((release < 12)); then
  libraries=/usr/lib/v6pod-test-machine
  mkdir "$root$libraries"
  mount --bind /usr/lib/x86_64-linux-gnu "$root$libraries"
  for program in "$root"/usr/libexec/v6pod/*; do
    patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --set-rpath "$libraries" "$program"
  done
fi
ln -s ../v6pod/slirp4netns "$root/usr/libexec/netavark/v6pod"

mkdir -p "$root"/etc/{containers,v6pod}
cp /etc/v6pod/client.toml "$root/etc/v6pod/"
{
  printf "[containers]\nlog_driver = \"k8s-file\"\n"
  printf "[engine]\nlock_type = \"file\"\nevents_logger = \"file\"\ncgroup_manager = \"cgroupfs\"\n"
  printf "runtime = \"crun\"\nnetwork_cmd_path = \"%s\"\n" "$network_command"
  if ((release < 12)); then
    printf "infra_image = \"docker.io/library/busybox:latest\"\ninfra_command = \"/pause\"\n"
  elif [[ $network_command == */v6pod/* ]]; then
    printf "[network]\ndefault_rootless_network_cmd = \"slirp4netns\"\n"
  fi
} >"$root/etc/containers/containers.conf"
cp /etc/containers/policy.json "$root/etc/containers/"
# The folders are for root alone; on the overlay there could be no other.
printf "[storage]\ndriver = \"overlay\"\nrunroot = \"%s\"\ngraphroot = \"%s\"\n" \
  /run/containers/storage /run/containers/graph >"$root/etc/containers/storage.conf"

cd "$root"
pivot_root . .
umount -l .
mount --make-rshared /
echo $$
exec sleep infinity >/dev/null 2>&1
' engine.sh "$release" "$lower" "$network_command" "$state")
read -r pid <&3
echo "$pid"
