# Makes a Debian root directory look like a machine: devices and cgroups. The file is sourced.
# $cgroup is the name of the cgroup in each hierarchy of the host that becomes the root's own root
# cgroup. $CGROUPS says what is shown of a hybrid host: v1, hybrid or v2.
# shellcheck shell=bash disable=SC2154

devices() {
    mount -t tmpfs -o mode=755 tmpfs dev
    for name in null zero full random urandom tty kmsg fuse net/tun loop-control; do
        [[ -c /dev/$name ]] || continue
        mkdir -p "$(dirname "dev/$name")"
        cp -a "/dev/$name" "dev/$name"
    done
    ln -s /proc/self/fd dev/fd
    for name in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${name#*:}" "dev/${name%:*}"; done
    mkdir dev/pts dev/mqueue dev/shm
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t mqueue mqueue dev/mqueue
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
}

cgroups() { # mount the host's layout, seen from the cgroup namespace
    if [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs || $CGROUPS == v2 ]]; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    local controllers name
    while IFS=: read -r _ controllers _; do
        if [[ $controllers ]]; then
            name=${controllers#name=}
            mkdir "sys/fs/cgroup/$name"
            mount -t cgroup -o "${controllers/#name=/none,name=}" cgroup "sys/fs/cgroup/$name"
        elif [[ $CGROUPS == hybrid ]]; then
            mkdir sys/fs/cgroup/unified
            mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
        fi
    done </proc/self/cgroup
}

# each_hierarchy CMD...: run CMD with the mount point of every hierarchy in which the caller can
# have a cgroup
each_hierarchy() {
    while read -r _ where type _; do
        case $type in cgroup | cgroup2) "$@" "$where" ;; esac
    done < <(grep -E '^[^ ]+ /sys/fs/cgroup' /proc/mounts)
}
join() {
    local own=$1/$cgroup
    if [[ -e $1/cgroup.clone_children ]]; then
        mkdir "$own"
        [[ ! -e $own/cpuset.cpus ]] || cat "$1/cpuset.cpus" >"$own/cpuset.cpus"
        [[ ! -e $own/cpuset.mems ]] || cat "$1/cpuset.mems" >"$own/cpuset.mems"
        echo 1 >"$own/cgroup.clone_children"
        # A cgroup v1 gets no share of the time for real-time processes by itself. A machine's root
        # cgroup has one, so this gets one, too.
        [[ ! -e $own/cpu.rt_runtime_us ]] || echo 400000 >"$own/cpu.rt_runtime_us" 2>/dev/null || true
        [[ ! -e $own/memory.use_hierarchy ]] || echo 1 >"$own/memory.use_hierarchy" 2>/dev/null || true
    else
        mkdir "$own"
        [[ $(cat "$1/cgroup.controllers") != *hugetlb* ]] || echo +hugetlb >"$1/cgroup.subtree_control" 2>/dev/null || true
    fi
    echo $BASHPID >"$own/cgroup.procs"
}
leave() { # also remove the cgroups that the engines have left
    [[ -d $1/$cgroup ]] || return 0
    local try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        find "$1/$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null && return 0
        ((try == 10)) || sleep 0.3 # the host's init may be slow to reap
    done
    echo "$1/$cgroup cannot be removed" >&2
}
