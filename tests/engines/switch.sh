# Functions that exchange a runtime for davit while its containers run, with the commands of
# docs/switching.md. switch-*.ops use them.
# shellcheck shell=bash disable=SC2154

# exchange: put davit in the place of $runtime
exchange() {
    snippet switch switching.md | sed "s#runc#$runtime#g" | sh -ex
    is_davit
}
# put_back: put $runtime back in its place
put_back() {
    snippet back switching.md | sed "s#runc#$runtime#g" | sh -ex
    ! is_davit
}
is_davit() { cmp -s "$(command -v "$runtime")" /usr/sbin/davit; }
# restore: call put_back, if davit is in the place of $runtime
restore() {
    ! is_davit || put_back
    rm -f "/usr/local/sbin/$runtime.before"
}

# made_by RUNTIME ROOT ID: check that the state there says so; "davit" for davit's own containers
made_by() {
    [[ $(davit --root "$2" list --format json | jq -r --arg id "$3" '.[] | select(.id == $id) | .maker // "davit"') == "$1" ]]
}

# gone_all TEXT...: check that no process, cgroup, mount or state has TEXT in its name
gone_all() {
    local text
    for text; do
        await 10 eval "! pgrep -af -- '^[^ ]*(shim|conmon).*$text'"
        await 10 eval "! find /sys/fs/cgroup -type d -name '*$text*' | grep ."
        refuses grep -F -- "$text" /proc/self/mountinfo
        [[ -z $(find /run/containerd/runc /run/docker/runtime-* /run/runc /run/crun /run/crio-* -maxdepth 2 -name "*$text*" 2>/dev/null) ]]
    done
}
