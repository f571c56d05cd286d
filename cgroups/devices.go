package cgroups

import (
	"davit/cgroups/devices"
	"davit/cgroups/failure"
	"davit/internal/fault"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checkDevices refuses rules that setDevices could not set. New calls it, before anything is made.
func (m *Manager) checkDevices(list []specs.LinuxDeviceCgroup) error {
	if list == nil || m.state.Rootless {
		return nil
	}
	return devices.Check(list, m.version("devices"))
}

// setDevices restricts the container to the devices that the rules allow. A nil list changes
// nothing. had are the rules before an update, nil if they are not known. Rootless containers have
// no rules: see State.Rootless.
func (m *Manager) setDevices(list, had []specs.LinuxDeviceCgroup, update bool) error {
	if list == nil || m.state.Rootless {
		return nil
	}
	dir, err := m.open("devices")
	if err != nil {
		return &fault.Error{Field: failure.Resources + "devices", Text: "restrict devices", Err: err}
	}
	return devices.Set(dir, m.version("devices"), list, had, update || len(m.made) == 0)
}

func devicesOf(r *specs.LinuxResources) []specs.LinuxDeviceCgroup {
	if r == nil {
		return nil
	}
	return r.Devices
}
