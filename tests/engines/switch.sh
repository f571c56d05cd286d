# Exchanging a runtime for davit while its containers run, by the commands of docs/switching.md: for switch-*.ops.
# shellcheck shell=bash disable=SC2154

# exchange: davit takes the place of $runtime
exchange() {
    snippet switch switching.md | sed "s#runc#$runtime#g" | sh -ex
    is_davit
}
# put_back: $runtime is itself again
put_back() {
    snippet back switching.md | sed "s#runc#$runtime#g" | sh -ex
    ! is_davit
}
is_davit() { cmp -s "$(command -v "$runtime")" /usr/sbin/davit; }
# restore: put_back, if it was exchanged
restore() {
    ! is_davit || put_back
    rm -f "/usr/local/sbin/$runtime.before"
}

# made_by RUNTIME ROOT ID: by the state there; "davit" for davit's own
made_by() {
    [[ $(davit --root "$2" list --format json | jq -r --arg id "$3" '.[] | select(.id == $id) | .maker // "davit"') == "$1" ]]
}

# gone_all TEXT...: no process, cgroup, mount or state has that in its name
gone_all() {
    local text
    for text; do
        await 10 eval "! pgrep -af -- '^[^ ]*(shim|conmon).*$text'"
        await 10 eval "! find /sys/fs/cgroup -type d -name '*$text*' | grep ."
        refuses grep -F -- "$text" /proc/self/mountinfo
        [[ -z $(find /run/containerd/runc /run/docker/runtime-* /run/runc /run/crun /run/crio-* -maxdepth 2 -name "*$text*" 2>/dev/null) ]]
    done
}
