package inspect

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// host writes files below a new root that has a davit, and returns it.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(full, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const fake = "#!/bin/sh\necho davit version 9\n"

// snippet is the block of docs/engines.md that a comment names.
func snippet(t *testing.T, name string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)<!-- " + name + " -->\n```[a-z]*\n(.*?)```").FindSubmatch(doc)
	if m == nil {
		t.Fatalf("docs/engines.md has no snippet %s", name)
	}
	return string(m[1])
}

// check returns the findings as text: level, where and text.
func check(t *testing.T, engine, root string) string {
	t.Helper()
	findings, err := Check(engine, root)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Level, f.Where, f.Text)
	}
	return b.String()
}

// The documentation's own snippets are right.
func TestDocumentedConfigurations(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell")
	}
	for engine, file := range map[string]string{
		"containerd": "etc/containerd/config.toml", "docker": "etc/docker/daemon.json",
		"podman": "etc/containers/containers.conf.d/davit.conf", "crio": "etc/crio/crio.conf.d/10-davit.conf",
	} {
		t.Run(engine, func(t *testing.T) {
			text := snippet(t, engine)
			if engine == "containerd" {
				text += snippet(t, "containerd-default")
			}
			got := check(t, engine, host(t, map[string]string{file: text, "usr/sbin/davit": fake, "usr/bin/conmon": fake}))
			if strings.Contains(got, "error") || strings.Contains(got, "warning") || !strings.Contains(got, "davit is the default runtime") {
				t.Errorf("%s", got)
			}
		})
	}
}

func TestWrongConfigurations(t *testing.T) {
	const containerd, docker, podman, crio = "etc/containerd/config.toml", "etc/docker/daemon.json", "etc/containers/containers.conf", "etc/crio/crio.conf"
	for _, c := range []struct{ engine, file, text, want string }{
		{"containerd", "none", "", "error /etc/containerd/config.toml: there is no configuration"},
		{"containerd", containerd, "version = 3\n", "no runtime's BinaryName is davit"},
		{"containerd", containerd, "version = 3\n[x\n", "error /etc/containerd/config.toml: line 2: expected ']' to close"},
		{"containerd", containerd, "version = 2\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.d.options]\nBinaryName = '/usr/sbin/davit'\n",
			`error /etc/containerd/config.toml:3: runtime d: containerd ignores plugins."io.containerd.cri.v1.runtime" in a configuration of version 2`},
		{"containerd", containerd, "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.d]\nruntime_type = \"io.containerd.runc.v1\"\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.d.options]\nBinaryName = \"/usr/sbin/davit\"\n",
			`runtime d: runtime_type is "io.containerd.runc.v1"`},
		{"containerd", containerd, "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.davit.options]\nBinaryname = '/usr/sbin/davit'\n",
			"containerd does not know options.Binaryname"},
		{"docker", docker, `{"runtimes": {"davit": {"path": "/nowhere/davit"}}}`, "runtime davit: /nowhere/davit: no such file"},
		{"docker", docker, `{"runtimes": {"davit": {"path": "/bin/other"}}}`, `runtime davit: /bin/other is not davit: "other 1"`},
		{"docker", docker, `{"runtimes": {"davit": {"path": "/usr/sbin/davit"}}, "default-runtime": "david"}`, `default-runtime is "david", which is not among the runtimes`},
		{"docker", docker, `{"runtimes": {"davit": }}`, "error /etc/docker/daemon.json: "},
		{"podman", podman, "[engine]\nruntime = \"davit\"\n", "no runtime of [engine.runtimes] is davit"},
		{"podman", podman, "[engine.runtimes]\ndavit = [\n  # here\n  \"/usr/sbin/davit\",\n]\n", "podman refuses --cgroups=disabled with davit"},
		{"podman", podman, "[engine]\nruntime = \"x\"\n[engine.runtimes]\ndavit = [\"/usr/sbin/davit\"]\n", `runtime is "x", which is not among the runtimes`},
		{"crio", crio, "[crio.runtime.runtimes.davit]\nruntime_path = \"/usr/sbin/davit\"\nruntime_type = \"vm\"\n", `runtime_type is "vm"`},
		{"crio", crio, "[crio.runtime.runtimes.davit]\nruntime_path = \"/usr/sbin/davit\"\nmonitor_path = \"/no/conmon\"\n", "monitor_path /no/conmon: no such file"},
	} {
		got := check(t, c.engine, host(t, map[string]string{c.file: c.text, "usr/sbin/davit": fake, "bin/other": "#!/bin/sh\necho other 1\n"}))
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s:\n%s\ndoes not say: %s", c.engine, c.text, got, c.want)
		}
	}
}

func TestUnknownEngine(t *testing.T) {
	if _, err := Check("rkt", ""); err == nil || !strings.Contains(err.Error(), "containerd, crio, docker, podman") {
		t.Errorf("%v", err)
	}
}
