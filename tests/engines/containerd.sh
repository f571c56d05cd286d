# Starts containerd as docs/engines.md describes it, for containerd.ops, cri.ops and kubelet.ops.
# $DRIVER is the cgroup driver: cgroupfs (default) or systemd, if that is pid 1.
# shellcheck shell=bash disable=SC1091,SC2154

driver=${DRIVER:-cgroupfs}

start_containerd() {
    mkdir -p /etc/containerd /etc/cni/net.d
    {
        snippet containerd
        snippet containerd | sed -n '/^$/,$p' | sed "s#/usr/sbin/davit#/usr/bin/crun#; s/runtimes.davit/runtimes.crun/"
        cat <<'END'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'docker.io/library/pause:latest'
END
    } >/etc/containerd/config.toml
    [[ $driver != systemd ]] || sed -i 's/SystemdCgroup = false/SystemdCgroup = true/' /etc/containerd/config.toml
    cat >/etc/cni/net.d/10-bridge.conflist <<'END'
{"cniVersion": "1.0.0", "name": "bridge", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
    davit check --engine containerd
    daemon containerd containerd
    await 20 ctr version
    await 20 cri idsp
}
