package config

import (
	"davit/internal/config/specjson"
	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Decode decodes the contents of a config.json. The result shares memory with
// data, which must not change afterwards. Errors are of type *jsonx.Error:
//
//	config.json:12:5: linux.resources.memory.limit: expected an integer, found "512m"
//
// Package jsonx says how it differs from encoding/json. Sections of other
// platforms (windows, solaris, vm, zos, freebsd) are skipped like unknown properties.
func Decode(data []byte) (*specs.Spec, error) {
	r := newRoom()
	d := jsonx.NewDecoder(ConfigFile, data)
	d.Room(r.strings[:0])
	d.Want("an object")
	specjson.DecodeSpec(&d, &r.spec)
	if err := d.End(); err != nil {
		return nil, err
	}
	return &r.spec, nil
}

// Notes returns what is odd about the contents of a config.json although Decode accepts it: names
// of properties that are unknown, in another case, for other platforms, or given twice.
func Notes(data []byte) []jsonx.Note {
	d := jsonx.NewDecoder(ConfigFile, data)
	d.Watch()
	specjson.DecodeSpec(&d, new(specs.Spec))
	return d.Notes()
}

// room has the structs of a usual config in one allocation. That costs one page fault for each
// page, instead of one or two for each size of a struct. At the end is what few configs have. What
// a config has beyond that is allocated when it is decoded.
type room struct {
	spec         specs.Spec
	process      specs.Process
	capabilities specs.LinuxCapabilities
	rlimits      [1]specs.POSIXRlimit
	root         specs.Root
	linux        specs.Linux
	namespaces   [8]specs.LinuxNamespace
	resources    specs.LinuxResources
	memory       specs.LinuxMemory
	cpu          specs.LinuxCPU
	pids         specs.LinuxPids
	hooks        specs.Hooks
	seccomp      specs.LinuxSeccomp
	strings      [56]string
	rules        [10]specs.LinuxDeviceCgroup
	mounts       [24]specs.Mount
	hook         [3]specs.Hook
	syscalls     [20]specs.LinuxSyscall
}

// newRoom sets the pointers between the structs of a room. The decoder fills the structs that it
// finds there.
func newRoom() *room {
	r := new(room)
	r.spec.Process = &r.process
	r.process.Capabilities = &r.capabilities
	r.process.Rlimits = r.rlimits[:0]
	r.spec.Root = &r.root
	r.spec.Mounts = r.mounts[:0]
	r.spec.Hooks = &r.hooks
	r.hooks.Prestart = r.hook[0:0:1]
	r.hooks.CreateRuntime = r.hook[1:1:2]
	r.hooks.CreateContainer = r.hook[2:2:3]
	r.spec.Linux = &r.linux
	r.linux.Namespaces = r.namespaces[:0]
	r.linux.Resources = &r.resources
	r.resources.Devices = r.rules[:0]
	r.resources.Memory = &r.memory
	r.resources.CPU = &r.cpu
	r.resources.Pids = &r.pids
	r.linux.Seccomp = &r.seccomp
	r.seccomp.Syscalls = r.syscalls[:0]
	return r
}

// DecodeProcess decodes the process object that `exec --process` takes, as Decode does. Errors call
// the file "process"; a caller that knows its name sets File in the *jsonx.Error.
func DecodeProcess(data []byte) (*specs.Process, error) {
	p := new(specs.Process)
	d := jsonx.NewDecoder("process", data)
	d.Want("an object")
	specjson.DecodeProcess(&d, p)
	if err := d.End(); err != nil {
		return nil, err
	}
	return p, nil
}

// DecodeResources decodes the resources object that `update --resources` takes, as Decode does, and
// returns what is odd about it, as Notes does. Errors call the file "resources"; a caller that
// knows its name sets File in the *jsonx.Error.
func DecodeResources(data []byte) (*specs.LinuxResources, []jsonx.Note, error) {
	r := new(specs.LinuxResources)
	d := jsonx.NewDecoder("resources", data)
	d.Watch()
	d.Want("an object")
	specjson.DecodeLinuxResources(&d, r)
	if err := d.End(); err != nil {
		return nil, d.Notes(), err
	}
	return r, d.Notes(), nil
}
