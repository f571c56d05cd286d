package compile

import specs "github.com/opencontainers/runtime-spec/specs-go"

// AllowedDevices are the rules that every container has, after its own: the
// devices of config-linux.md "Default Devices" and the terminals, and making
// any node, which gives no access to what is behind it. What no rule allows is
// denied, as with runc.
//
// tun is no default device, but images of VPNs make its node themselves: runc 1.2.4
// and crun 1.20 came back to allowing it after they had stopped (runc issue 4555).
// Without CAP_NET_ADMIN it is of no use.
func AllowedDevices() []specs.LinuxDeviceCgroup {
	rule := func(kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
		r := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: access}
		if major >= 0 {
			r.Major = &major
		}
		if minor >= 0 {
			r.Minor = &minor
		}
		return r
	}
	return []specs.LinuxDeviceCgroup{
		rule("c", -1, -1, "m"), rule("b", -1, -1, "m"),
		rule("c", 1, 3, "rwm"), rule("c", 1, 5, "rwm"), rule("c", 1, 7, "rwm"), rule("c", 1, 8, "rwm"), rule("c", 1, 9, "rwm"),
		rule("c", 5, 0, "rwm"), rule("c", 5, 2, "rwm"), rule("c", 136, -1, "rwm"),
		rule("c", 10, 200, "rwm"), // tun
	}
}
