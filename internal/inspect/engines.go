package inspect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"davit/internal/jsonx"
)

// containerd reads config.toml and the files it imports.
func (x *examination) containerd() {
	const file = "/etc/containerd/config.toml"
	settings := x.toml(file)
	if x.broken {
		return
	}
	if settings == nil {
		x.unset(file, &containerdSnippet, "there is no configuration: containerd runs on its defaults, which know only runc")
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
	found, known := x.containerdRuntimes(settings, version, plugin)
	fallback, at := "runc", file
	for _, s := range settings {
		switch {
		case s.is("plugins", plugin, "containerd", "default_runtime_name"):
			fallback, at = s.value, s.where
		case s.is("disabled_plugins"):
			x.containerdDisabled(&s)
		}
	}
	switch {
	case !slices.Contains(known, fallback):
		x.add(Error, at, "give the name of a table below containerd.runtimes", "default_runtime_name is %q, which is not among the runtimes (%s): no pod can start", fallback, strings.Join(known, ", "))
	case len(found) == 0 && !x.broken:
		snippet := &containerdSnippet
		if version != "3" {
			snippet = containerd2Snippet()
		}
		x.unset(file, snippet, "no runtime's BinaryName is davit")
	case len(found) == 0:
	case slices.Contains(found, fallback):
		x.add(OK, file, "", "%s is the default runtime", fallback)
	default:
		x.add(OK, file, "", "%s is the default runtime: pods get davit by a RuntimeClass with handler: %s", fallback, found[0])
	}
}

// containerdDisabled checks which plugins are switched off: Docker's packages of containerd switch
// off CRI.
func (x *examination) containerdDisabled(s *placed) {
	for _, name := range s.list {
		switch name {
		case "cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime":
			x.add(Error, s.where, "remove it from disabled_plugins, unless only Docker or ctr use this containerd", "disabled_plugins has %q: a kubelet finds no CRI here, and containerd.runtimes does not count", name)
		}
	}
}

// containerdRuntimes returns the runtimes that are davit, and the names of all runtimes.
func (x *examination) containerdRuntimes(settings []placed, version, plugin string) (found, known []string) {
	known = []string{"runc"} // containerd's own default
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
		if !slices.Contains(known, name) {
			known = append(known, name)
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
		if c := cgroups[name]; c.value == "true" {
			x.needsSystemd(c.where, "runtime "+name+": SystemdCgroup = true", "set SystemdCgroup = false")
		}
		if x.systemd() && cgroups[name].value != "true" {
			x.add(Warning, "/etc/containerd/config.toml", "set SystemdCgroup = true if the kubelet has cgroupDriver: systemd, its default on such a host",
				"runtime %s: SystemdCgroup is off, and systemd manages this host's cgroups", name)
		}
	}
	return found, known
}

// docker reads daemon.json.
func (x *examination) docker() {
	const file = "/etc/docker/daemon.json"
	text, ok := x.read(file)
	if !ok {
		if !x.broken {
			x.unset(file, &dockerSnippet, "there is no configuration: dockerd knows only runc, unless its command line has --add-runtime")
		}
		return
	}
	d := jsonx.NewDecoder(file, []byte(text))
	runtimes := map[string]string{}
	fallback := "runc"
	for more := d.Object(); more && d.Next(); {
		switch d.Key() {
		case "default-runtime":
			fallback = d.String()
		case "exec-opts":
			if slices.Contains(d.Strings(), "native.cgroupdriver=systemd") {
				x.needsSystemd(file, "exec-opts has native.cgroupdriver=systemd", `remove it, or write "native.cgroupdriver=cgroupfs"`)
			}
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
		x.unset(file, &dockerSnippet, "no runtime's path is davit")
	default:
		x.add(OK, file, "", "%s is the default runtime", fallback)
	}
}

// podmanFiles returns the files that podman reads, each of which overrides those before it
// (containers.conf(5)), and the file to which a user or an administrator adds settings.
func (x *examination) podmanFiles() (files []string, add string) {
	if only := os.Getenv("CONTAINERS_CONF"); only != "" && x.root == "" {
		return []string{only}, only
	}
	add = "/etc/containers/containers.conf.d"
	files = append([]string{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf"}, x.glob(add+"/*.conf")...)
	config := os.Getenv("XDG_CONFIG_HOME")
	if home, err := os.UserHomeDir(); config == "" && err == nil {
		config = filepath.Join(home, ".config")
	}
	if config != "" {
		own := filepath.Join(config, "containers/containers.conf")
		files = append(append(files, own), x.glob(own+".d/*.conf")...)
		if os.Geteuid() != 0 {
			add = own + ".d"
		}
	}
	if override := os.Getenv("CONTAINERS_CONF_OVERRIDE"); override != "" && x.root == "" {
		files = append(files, override)
	}
	return files, add
}

// podman reads containers.conf(5).
func (x *examination) podman() {
	files, last := x.podmanFiles()
	fallback, found := "", false
	named := map[string]bool{"crun": true, "runc": true}
	var json, nocgroup []string
	for _, file := range files {
		for _, s := range x.toml(file) {
			switch {
			case s.is("engine", "runtime"):
				fallback = s.value
			case s.is("engine", "cgroup_manager") && s.value == "systemd":
				x.needsSystemd(s.where, `cgroup_manager is "systemd"`, `set cgroup_manager = "cgroupfs"`)
			case s.is("engine", "runtime_supports_json"):
				json = s.list
			case s.is("engine", "runtime_supports_nocgroup"):
				nocgroup = s.list
			case len(s.name) == 3 && s.name[0] == "engine" && s.name[1] == "runtimes":
				named[s.name[2]] = true
				for _, path := range s.list { // podman uses the first that exists
					found = x.runtime(s.where, s.name[2], path) || found
				}
			}
		}
	}
	if !found {
		if !x.broken {
			s := podmanSnippet
			s.file = last + "/davit.conf"
			x.unset(last, &s, "no runtime of [engine.runtimes] is davit")
		}
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
	fallback, at := "", last
	var found []string
	known := map[string]bool{"": true, "crun": true, "runc": true} // crio's own
	monitors := map[string]placed{}
	types := map[string]placed{}
	for _, file := range files {
		for _, s := range x.toml(file) {
			switch {
			case s.is("crio", "runtime", "default_runtime"):
				fallback, at = s.value, s.where
			case s.is("crio", "runtime", "cgroup_manager") && s.value == "systemd":
				x.needsSystemd(s.where, `cgroup_manager is "systemd"`, `set cgroup_manager = "cgroupfs", and conmon_cgroup = "pod"`)
			case len(s.name) == 5 && equal(s.name[:3], []string{"crio", "runtime", "runtimes"}):
				known[s.name[3]] = true
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
	if !known[fallback] {
		x.add(Error, at, "give the name of a table below crio.runtime.runtimes", "default_runtime is %q, which is not among the runtimes: crio does not start", fallback)
	}
	if len(found) == 0 {
		if !x.broken {
			x.unset(last, &crioSnippet, "no runtime_path is davit")
		}
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
	if !known[fallback] {
		return
	}
	if slices.Contains(found, fallback) {
		x.add(OK, last, "", "%s is the default runtime", fallback)
	} else {
		x.add(OK, last, "", "%q is the default runtime: pods get davit by a RuntimeClass with handler: %s", fallback, found[0])
	}
}
