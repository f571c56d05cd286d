package inspect

import (
	"davit/internal/jsonx"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const seeDocs = "docs/engines.md shows what to add"

// containerd reads config.toml and the files it imports.
func (x *examination) containerd() {
	const file = "/etc/containerd/config.toml"
	settings := x.toml(file)
	if settings == nil {
		x.add(Error, file, seeDocs, "there is no configuration: containerd runs on its defaults, which know only runc")
		return
	}
	version := "1"
	for _, s := range settings {
		if s.is("version") {
			version = s.value
		}
		if s.is("imports") {
			for _, pattern := range s.list {
				for _, path := range x.glob(pattern) {
					settings = append(settings, x.toml(path)...)
				}
			}
		}
	}
	plugin := map[string]string{"1": "cri", "2": "io.containerd.grpc.v1.cri", "3": "io.containerd.cri.v1.runtime"}[version]
	if plugin == "" {
		x.add(Error, file, "", "version %s is unknown here", version)
		return
	}
	found, fallback := x.containerdRuntimes(settings, version, plugin)
	for _, s := range settings {
		if s.is("plugins", plugin, "containerd", "default_runtime_name") {
			fallback = s.value
		}
	}
	switch {
	case len(found) == 0:
		x.add(Error, file, seeDocs, "no runtime's BinaryName is davit")
	case slices.Contains(found, fallback):
		x.add(OK, file, "", "%s is the default runtime", fallback)
	default:
		x.add(OK, file, "", "%s is the default runtime: pods get davit by a RuntimeClass with handler: %s", fallback, found[0])
	}
}

// containerdRuntimes returns the runtimes that are davit, and containerd's default.
func (x *examination) containerdRuntimes(settings []placed, version, plugin string) (found []string, fallback string) {
	types := map[string]string{}
	cgroups := map[string]placed{}
	for _, s := range settings {
		if len(s.name) < 6 || s.name[0] != "plugins" || s.name[2] != "containerd" || s.name[3] != "runtimes" {
			continue
		}
		name, key := s.name[4], strings.Join(s.name[5:], ".")
		if s.name[1] != plugin {
			if filepath.Base(s.value) == "davit" {
				x.add(Error, s.where, "with version = "+version+" the table is plugins.'"+plugin+"'.containerd.runtimes."+name,
					"runtime %s: containerd ignores plugins.%q in a configuration of version %s", name, s.name[1], version)
			}
			continue
		}
		switch {
		case key == "runtime_type":
			types[name] = s.value
		case key == "options.SystemdCgroup":
			cgroups[name] = s
		case key == "options.BinaryName":
			if x.runtime(s.where, name, s.value) {
				found = append(found, name)
			}
		case strings.EqualFold(key, "options.BinaryName") || strings.EqualFold(key, "options.SystemdCgroup"):
			x.add(Error, s.where, "write BinaryName and SystemdCgroup just so", "runtime %s: containerd does not know %s", name, key)
		}
	}
	for _, name := range found {
		if types[name] != "io.containerd.runc.v2" {
			x.add(Error, "/etc/containerd/config.toml", "set runtime_type = 'io.containerd.runc.v2', the shim that drives davit", "runtime %s: runtime_type is %q", name, types[name])
		}
		if x.systemd() && cgroups[name].value != "true" {
			x.add(Warning, "/etc/containerd/config.toml", "set SystemdCgroup = true if the kubelet has cgroupDriver: systemd, its default on such a host",
				"runtime %s: SystemdCgroup is off, and systemd manages this host's cgroups", name)
		}
	}
	return found, "runc"
}

// docker reads daemon.json.
func (x *examination) docker() {
	const file = "/etc/docker/daemon.json"
	text, ok := x.read(file)
	if !ok {
		x.add(Error, file, seeDocs, "there is no configuration: dockerd knows only runc, unless its command line has --add-runtime")
		return
	}
	d := jsonx.NewDecoder(file, []byte(text))
	runtimes := map[string]string{}
	fallback := "runc"
	for more := d.Object(); more && d.Next(); {
		switch d.Key() {
		case "default-runtime":
			fallback = d.String()
		case "runtimes":
			for more := d.Object(); more && d.Next(); {
				name := d.Key()
				for more := d.Object(); more && d.Next(); {
					if d.Key() == "path" {
						runtimes[name] = d.String()
					} else {
						d.Skip()
					}
				}
			}
		default:
			d.Skip()
		}
	}
	if err := d.End(); err != nil {
		x.add(Error, file, "dockerd does not start with it", "%v", err)
		return
	}
	found := false
	for _, name := range jsonx.SortedKeys(runtimes) {
		found = x.runtime(file, name, runtimes[name]) || found
	}
	_, known := runtimes[fallback]
	switch {
	case !known && fallback != "runc":
		x.add(Error, file, `add it to "runtimes"; dockerd does not start`, "default-runtime is %q, which is not among the runtimes", fallback)
	case !found:
		x.add(Error, file, seeDocs, "no runtime's path is davit")
	default:
		x.add(OK, file, "", "%s is the default runtime", fallback)
	}
}

// podman reads what containers.conf(5) names, each file over those before it.
func (x *examination) podman() {
	files := append([]string{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf"}, x.glob("/etc/containers/containers.conf.d/*.conf")...)
	if home, err := os.UserHomeDir(); err == nil && os.Geteuid() != 0 {
		files = append(files, home+"/.config/containers/containers.conf")
		files = append(files, x.glob(home+"/.config/containers/containers.conf.d/*.conf")...)
	}
	const last = "/etc/containers/containers.conf.d"
	fallback, found := "", false
	named := map[string]bool{"crun": true, "runc": true}
	var json, nocgroup []string
	for _, file := range files {
		for _, s := range x.toml(file) {
			switch {
			case s.is("engine", "runtime"):
				fallback = s.value
			case s.is("engine", "runtime_supports_json"):
				json = s.list
			case s.is("engine", "runtime_supports_nocgroup"):
				nocgroup = s.list
			case len(s.name) == 3 && s.name[0] == "engine" && s.name[1] == "runtimes":
				named[s.name[2]] = true
				for _, path := range s.list { // podman takes the first that exists
					found = x.runtime(s.where, s.name[2], path) || found
				}
			}
		}
	}
	if !found {
		x.add(Error, last, seeDocs, "no runtime of [engine.runtimes] is davit")
		return
	}
	if !slices.Contains(json, "davit") {
		x.add(Warning, last, `add "davit" to runtime_supports_json`, "podman does not ask davit for errors as JSON, and shows them less well")
	}
	if !slices.Contains(nocgroup, "davit") {
		x.add(Warning, last, `add "davit" to runtime_supports_nocgroup`, "podman refuses --cgroups=disabled with davit")
	}
	switch {
	case fallback == "":
		x.add(OK, last, `set runtime = "davit" in [engine] to change it`, "podman's own choice is the default runtime: davit is what --runtime davit takes")
	case !named[fallback] && !strings.HasPrefix(fallback, "/"):
		x.add(Error, last, "add it to [engine.runtimes]", "runtime is %q, which is not among the runtimes", fallback)
	default:
		x.add(OK, last, "", "%s is the default runtime", fallback)
	}
}

// crio reads crio.conf(5) and its drop-ins.
func (x *examination) crio() {
	const last = "/etc/crio/crio.conf.d"
	files := append([]string{"/etc/crio/crio.conf"}, x.glob(last+"/*")...)
	fallback := ""
	var found []string
	monitors := map[string]placed{}
	types := map[string]placed{}
	for _, file := range files {
		for _, s := range x.toml(file) {
			switch {
			case s.is("crio", "runtime", "default_runtime"):
				fallback = s.value
			case len(s.name) == 5 && equal(s.name[:3], []string{"crio", "runtime", "runtimes"}):
				switch s.name[4] {
				case "runtime_path":
					if x.runtime(s.where, s.name[3], s.value) {
						found = append(found, s.name[3])
					}
				case "monitor_path":
					monitors[s.name[3]] = s
				case "runtime_type":
					types[s.name[3]] = s
				}
			}
		}
	}
	if len(found) == 0 {
		x.add(Error, last, seeDocs, "no runtime_path is davit")
		return
	}
	for _, name := range found {
		if t, ok := types[name]; ok && t.value != "oci" && t.value != "" {
			x.add(Error, t.where, `set runtime_type = "oci"`, "runtime %s: runtime_type is %q", name, t.value)
		}
		if m, ok := monitors[name]; ok && m.value != "" {
			if _, err := os.Stat(x.root + m.value); err != nil {
				x.add(Error, m.where, "install conmon, or correct the path", "runtime %s: monitor_path %s: no such file", name, m.value)
			}
		}
	}
	if slices.Contains(found, fallback) {
		x.add(OK, last, "", "%s is the default runtime", fallback)
	} else {
		x.add(OK, last, "", "%q is the default runtime: pods get davit by a RuntimeClass with handler: %s", fallback, found[0])
	}
}
