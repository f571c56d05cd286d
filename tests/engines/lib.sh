# What the operations share. Sourced; $runtime and $id are given, "set -e" is on.
# shellcheck shell=bash disable=SC2034,SC2154

image=docker.io/library/busybox:latest
archive=/tmp/busybox.tar
[[ -e $archive ]] || "$here/image" "$archive"

# await SECONDS CMD...: until CMD succeeds
await() {
    local until=$((SECONDS + $1)) x=${-//[^x]/}
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

# refuses CMD...: CMD fails; prints what it says
refuses() {
    local out
    if out=$("$@" 2>&1); then
        echo "refuses: succeeded: $*: $out"
        return 1
    fi
    echo "$out"
}

# has TEXT PART...: each PART occurs in TEXT
has() {
    local text=$1 part
    shift
    for part; do
        [[ $text == *"$part"* ]] || { echo "has: no '$part' in: $text"; return 1; }
    done
}

# frozen CGROUP: by v1's freezer, or by v2's, which a hybrid host has as well
frozen() {
    [[ $(cat "/sys/fs/cgroup/freezer$1/freezer.state" 2>/dev/null) == FROZEN ||
        $(cat "/sys/fs/cgroup/unified$1/cgroup.freeze" "/sys/fs/cgroup$1/cgroup.freeze" 2>/dev/null) == 1 ]]
}

# snippet NAME: the fenced block of docs/engines.md that is preceded by <!-- NAME -->
snippet() {
    awk -v mark="<!-- $1 -->" '
        $0 == mark { wanted = 1; next }
        wanted && /^```/ { if (inside) exit; inside = 1; next }
        inside { print }' "$here/engines.md"
}

# daemon NAME CMD...: start it in the background, its output in the logs
daemon() {
    local name=$1
    shift
    setsid "$@" >"$logs/$name.log" 2>&1 </dev/null &
    echo $! >"/run/$name.test-pid"
}

# end NAME: stop that daemon and wait for its end
end() {
    local pid
    pid=$(cat "/run/$1.test-pid")
    kill "$pid" 2>/dev/null
    await 20 gone "$pid"
}
gone() { [[ ! -e /proc/$1 ]] || grep -q '^State:.Z' "/proc/$1/status"; }

# pseudo CMD...: run it with a terminal
pseudo() { script -qec "$(printf '%q ' "$@")" /dev/null; }
