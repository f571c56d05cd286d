package inspect

import (
	"os"
	"path/filepath"
	"strings"
)

// packaged is the path at which the package installs davit, and which docs/engines.md has.
const packaged = "/usr/sbin/davit"

// snippet is what to add to an engine's configuration to use davit. Each one is a block of
// docs/engines.md.
type snippet struct {
	name string // the name of that block
	file string // the file to which it belongs
	body string
}

// text returns the snippet with the path of the running davit, if its name is davit and it is not
// in a directory for temporary files.
func (s *snippet) text() string {
	path := packaged
	if own, err := os.Executable(); err == nil && filepath.Base(own) == "davit" && !strings.HasPrefix(own, os.TempDir()+"/") {
		path = own
	}
	return strings.ReplaceAll(s.body, packaged, path)
}

var containerdSnippet = snippet{"containerd", "/etc/containerd/config.toml", `version = 3

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.davit]
  runtime_type = 'io.containerd.runc.v2'

  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.davit.options]
    BinaryName = '/usr/sbin/davit'
    SystemdCgroup = false # true where the kubelet has cgroupDriver: systemd
`}

// containerd2Snippet is for configurations of containerd 1, which have version 2.
func containerd2Snippet() *snippet {
	old := strings.NewReplacer("version = 3", "version = 2", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri")
	return &snippet{containerdSnippet.name, containerdSnippet.file, old.Replace(containerdSnippet.body)}
}

var dockerSnippet = snippet{"docker", "/etc/docker/daemon.json", `{
    "runtimes": {
        "davit": {
            "path": "/usr/sbin/davit"
        }
    },
    "default-runtime": "davit"
}
`}

var podmanSnippet = snippet{"podman", "/etc/containers/containers.conf.d/davit.conf", `[engine]
runtime = "davit"
runtime_supports_json = ["davit", "crun", "runc"]
runtime_supports_nocgroup = ["davit", "crun"]

[engine.runtimes]
davit = ["/usr/sbin/davit"]
`}

var crioSnippet = snippet{"crio", "/etc/crio/crio.conf.d/10-davit.conf", `[crio.runtime]
default_runtime = "davit"

[crio.runtime.runtimes.davit]
runtime_path = "/usr/sbin/davit"
runtime_type = "oci"
runtime_root = "/run/davit"
monitor_path = "/usr/bin/conmon"
`}
