# Shared by packaging/build, rpm and deb, which run in the checkout's folder.

target=${CARGO_TARGET_DIR:-$PWD/target}
made=$target/package # the packages; below it, bin/ holds their programs

say() { printf 'packaging: %s\n' "$*"; }

die() {
  printf 'packaging: %s\n' "$*" >&2
  exit 1
}

# Every time in a package is that of the last commit.
need_epoch() {
  [[ -n ${SOURCE_DATE_EPOCH-} ]] || SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) ||
    die "this is not a git checkout: set SOURCE_DATE_EPOCH to the time that the packages shall show"
  export SOURCE_DATE_EPOCH
}

# The workspace's, which Cargo.toml has once.
version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml; }

release() { printf '%s\n' "${V6POD_RELEASE:-1}"; }

# Where a source is; nothing, if it may be missing and is.
source_of() {
  local source=${1#\?} path
  case $source in
  bin/*) path=$made/$source ;;
  *) path=$PWD/$source ;;
  esac
  if [[ -e $path ]]; then
    printf '%s\n' "$path"
  elif [[ $1 != \?* ]]; then
    die "$path: not there, but packaging/files names it"
  fi
}

# rows FORMAT PACKAGE: "KIND MODE DESTINATION SOURCE" of each file, with SOURCE made absolute, in one order.
rows() {
  local format=$1 package=$2 row_package row_format kind mode destination source
  while read -r row_package row_format kind mode destination source; do
    [[ $row_package == "$package" && ($row_format == - || $row_format == "$format") ]] || continue
    if [[ $kind != dir && $kind != link ]]; then
      source=$(source_of "$source")
      [[ -n $source ]] || continue
    fi
    if [[ $kind == man ]]; then destination=$destination.gz; fi
    printf '%s %s %s %s\n' "$kind" "$mode" "$destination" "$source"
  done < <(grep -v -e '^#' -e '^$' packaging/files) | LC_ALL=C sort -k3,3
}

# stage FORMAT PACKAGE FOLDER: lays a package's files out below a folder.
stage() {
  local kind mode destination source root=$3
  umask 022
  mkdir -p "$root"
  while read -r kind mode destination source; do
    mkdir -p "$root${destination%/*}"
    case $kind in
    dir) install -d -m "$mode" "$root$destination" ;;
    link) ln -s "$source" "$root$destination" ;;
    man) gzip -9n <"$source" | install -m "$mode" /dev/stdin "$root$destination" ;;
    file | config | doc | license) install -m "$mode" "$source" "$root$destination" ;;
    *) die "packaging/files: $destination: there is no kind $kind" ;;
    esac
  done < <(rows "$1" "$2")
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
}
