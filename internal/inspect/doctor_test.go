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

// hostWith writes files below a new root directory that contains a davit, and returns that
// directory.
func hostWith(t *testing.T, files map[string]string) string {
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

// documented returns the block of docs/engines.md that follows the comment with this name.
func documented(t *testing.T, name string) string {
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

// check returns the findings as text: level, place and message.
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

// The snippets in the documentation are correct.
func TestDocumentedConfigurations(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell")
	}
	for engine, file := range map[string]string{
		"containerd": "etc/containerd/config.toml", "docker": "etc/docker/daemon.json",
		"podman": "etc/containers/containers.conf.d/davit.conf", "crio": "etc/crio/crio.conf.d/10-davit.conf",
	} {
		t.Run(engine, func(t *testing.T) {
			text := documented(t, engine)
			if engine == "containerd" {
				text += documented(t, "containerd-default")
			}
			got := check(t, engine, hostWith(t, map[string]string{file: text, "usr/sbin/davit": fake, "usr/bin/conmon": fake}))
			if strings.Contains(got, "error") || strings.Contains(got, "warning") || !strings.Contains(got, "davit is the default runtime") {
				t.Errorf("%s", got)
			}
		})
	}
}

func TestWrongConfigurations(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "/home/u")
	const containerd, docker, podman, crio = "etc/containerd/config.toml", "etc/docker/daemon.json", "etc/containers/containers.conf", "etc/crio/crio.conf"
	for _, c := range []struct{ engine, file, text, want string }{
		{"containerd", containerd, "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'david'\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.davit]\nruntime_type='io.containerd.runc.v2'\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.davit.options]\nBinaryName = '/usr/sbin/davit'\n",
			`error /etc/containerd/config.toml:3: default_runtime_name is "david", which is not among the runtimes (runc, davit): no pod can start`},
		{"containerd", containerd, "version = 3\ndisabled_plugins = [\"cri\"]\n", `error /etc/containerd/config.toml:2: disabled_plugins has "cri": a kubelet finds no CRI here`},
		{"containerd", containerd, "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.davit.options]\nBinaryName = '/usr/sbin/davit'\nSystemdCgroup = true\n",
			"error /etc/containerd/config.toml:4: runtime davit: SystemdCgroup = true, but systemd is not the init of this host: no container can start"},
		{"docker", docker, `{"exec-opts": ["native.cgroupdriver=systemd"], "runtimes": {"davit": {"path": "/usr/sbin/davit"}}}`, "exec-opts has native.cgroupdriver=systemd, but systemd is not"},
		{"podman", podman, "[engine]\ncgroup_manager = \"systemd\"\n[engine.runtimes]\ndavit = [\"/usr/sbin/davit\"]\n", `error /etc/containers/containers.conf:2: cgroup_manager is "systemd", but systemd is not`},
		{"podman", "home/u/.config/containers/containers.conf.d/x.conf", "[engine]\nruntime = \"nope\"\n[engine.runtimes]\ndavit = [\"/usr/sbin/davit\"]\n", `runtime is "nope", which is not among the runtimes`},
		{"crio", crio, "[crio.runtime]\ndefault_runtime = \"nope\"\ncgroup_manager = \"systemd\"\n", `error /etc/crio/crio.conf:2: default_runtime is "nope", which is not among the runtimes`},
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
		got := check(t, c.engine, hostWith(t, map[string]string{c.file: c.text, "usr/sbin/davit": fake, "bin/other": "#!/bin/sh\necho other 1\n"}))
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s:\n%s\ndoes not say: %s", c.engine, c.text, got, c.want)
		}
	}
}

// If a part is missing, davit prints it as docs/engines.md has it, and names the file that
// docs/engines.md names.
func TestSnippetsAreTheDocumentedOnes(t *testing.T) {
	doc, err := os.ReadFile("../../docs/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*snippet{&containerdSnippet, &dockerSnippet, &podmanSnippet, &crioSnippet} {
		if want := documented(t, s.name); s.body != want {
			t.Errorf("%s: the snippet is\n%s\nand in docs/engines.md\n%s", s.name, s.body, want)
		}
		if !strings.Contains(string(doc), "`"+s.file+"`") {
			t.Errorf("docs/engines.md does not name %s", s.file)
		}
	}
	findings, err := Check("docker", hostWith(t, map[string]string{"etc/docker/daemon.json": "{}"}))
	if err != nil || len(findings) != 1 || findings[0].Snippet != dockerSnippet.body {
		t.Errorf("%+v, %v", findings, err)
	}
}

// If a file cannot be read, this is the only finding, because davit does not know what the file
// contains.
func TestBrokenFileIsTheOneFinding(t *testing.T) {
	for engine, file := range map[string]string{"containerd": "etc/containerd/config.toml", "docker": "etc/docker/daemon.json",
		"podman": "etc/containers/containers.conf", "crio": "etc/crio/crio.conf"} {
		findings, err := Check(engine, hostWith(t, map[string]string{file: "= what\n"}))
		if err != nil || len(findings) != 1 || findings[0].Level != Error || findings[0].Snippet != "" {
			t.Errorf("%s: %+v, %v", engine, findings, err)
		}
	}
}

func TestUnknownEngine(t *testing.T) {
	if _, err := Check("rkt", ""); err == nil || !strings.Contains(err.Error(), "containerd, crio, docker, podman") {
		t.Errorf("%v", err)
	}
}
