# Functions that the operations share. The file is sourced; $runtime and $id are given, and "set -e"
# is on.
# shellcheck shell=bash disable=SC2034,SC2154

image=docker.io/library/busybox:latest
archive=/tmp/busybox.tar
[[ -e $archive ]] || "$here/image" "$archive"

# A program for sh -c that counts in memory and writes the count to /count. It starts no processes:
# this busybox waits uninterruptibly between vfork(2) and exec, and CRIU could not stop it there.
count_in_memory='mkfifo /never; exec 3<>/never; i=0; while :; do i=$((i+1)); echo $i >/count; read -t 0.05 x <&3; done'

# await SECONDS CMD...: wait until CMD succeeds. On slow machines $PATIENCE multiplies the seconds
await() {
    local until=$((SECONDS + $1 * ${PATIENCE:-1})) x=${-//[^x]/}
    shift
    set +x
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= until)); then
            echo "await: never true: $*"
            "$@" || true
            return 1
        fi
        sleep 0.05
    done
    [[ ! $x ]] || set -x
}

# refuses CMD...: check that CMD fails, and print its output
refuses() {
    local out
    if out=$("$@" 2>&1); then
        echo "refuses: succeeded: $*: $out"
        return 1
    fi
    echo "$out"
}

# has TEXT PART...: check that each PART occurs in TEXT
has() {
    local text=$1 part
    shift
    for part; do
        [[ $text == *"$part"* ]] || { echo "has: no '$part' in: $text"; return 1; }
    done
}

# same TEXT: record TEXT, which must be the same with each runtime; the matrix compares davit's with
# crun's
same() { printf '%s\n' "$1" | sed "s/$id/ID/g" >>"$said"; }

# cgroup_of CONTROLLER PID: print the directory of that process' cgroup, of v1 or v2
cgroup_of() {
    local controllers path
    while IFS=: read -r _ controllers path; do
        if [[ ,$controllers, == *,$1,* ]]; then
            echo "/sys/fs/cgroup/$controllers$path"
            return
        fi
    done <"/proc/$2/cgroup"
    path=$(sed -n 's/^0:://p' "/proc/$2/cgroup")
    [[ ! -d /sys/fs/cgroup/unified ]] || path=/unified$path
    echo "/sys/fs/cgroup$path"
}

# limit memory|cpu|cpuset|pids PID: print the limit of the process' cgroup: bytes, "QUOTA PERIOD",
# processors, processes
limit() {
    local dir
    dir=$(cgroup_of "$1" "$2")
    case $1 in
    memory) cat "$dir/memory.limit_in_bytes" 2>/dev/null || cat "$dir/memory.max" ;;
    cpu) cat "$dir/cpu.max" 2>/dev/null || cat "$dir/cpu.cfs_quota_us" "$dir/cpu.cfs_period_us" | paste -sd ' ' ;;
    cpuset) cat "$dir/cpuset.cpus" ;;
    pids) cat "$dir/pids.max" ;;
    esac
}

# frozen PID: check that its cgroup is frozen, by v1's freezer or by v2's
frozen() {
    local dir
    dir=$(cgroup_of freezer "$1")
    [[ $(cat "$dir/freezer.state" 2>/dev/null) == FROZEN || $(cat "$dir/cgroup.freeze" 2>/dev/null) == 1 ]]
}

# snippet NAME [FILE]: print the fenced block that follows <!-- NAME --> in docs/engines.md (or in
# FILE there), as davit's package has it
snippet() {
    awk -v mark="<!-- $1 -->" '
        $0 == mark { wanted = 1; next }
        wanted && /^```/ { if (inside) exit; inside = 1; next }
        inside { print }' "/usr/share/doc/davit/docs/${2:-engines.md}"
}

# daemon NAME CMD...: start it in the background; its output goes to the logs
daemon() {
    local name=$1
    shift
    setsid "$@" >"$logs/$name.log" 2>&1 </dev/null &
    echo $! >"/run/$name.test-pid"
}

# end NAME: stop that daemon and wait until it has ended
end() {
    local pid
    pid=$(cat "/run/$1.test-pid")
    kill "$pid" 2>/dev/null
    await 20 gone "$pid"
}
gone() { [[ ! -e /proc/$1 ]] || grep -q '^State:.Z' "/proc/$1/status"; }

# pseudo CMD...: run it on a pseudoterminal
pseudo() { script -qec "$(printf '%q ' "$@")" /dev/null; }
