package systemd

import (
	"errors"
	"fmt"
	"strings"

	"davit/internal/fault"
)

// UnitName returns slice and scope for a linux.cgroupsPath of the form slice:prefix:name: the scope
// is PREFIX-NAME.scope. An empty path means davit-ID.scope, an empty slice system.slice, or
// user.slice for a user's manager. The error is a *fault.Error.
func UnitName(path, id string, user bool) (slice, name string, err error) {
	slice = "system.slice"
	if user {
		slice = "user.slice"
	}
	if path == "" {
		return slice, "davit-" + id + ".scope", nil
	}
	part := strings.Split(path, ":")
	wrong := func(what string) error {
		return &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("%q: %s", path, what),
			Hint: `systemd's driver wants slice:prefix:name, as in "system.slice:davit:web"`}
	}
	if len(part) != 3 {
		return "", "", wrong("expected the form slice:prefix:name")
	}
	if part[0] != "" {
		slice = part[0]
	}
	name = part[2] + ".scope"
	if part[1] != "" {
		name = part[1] + "-" + name
	}
	switch {
	case part[2] == "":
		return "", "", wrong("the name is empty")
	case strings.HasSuffix(part[2], ".slice"):
		return "", "", wrong("a slice holds no processes")
	case strings.IndexByte(name, '/') >= 0 || len(name) > 255:
		return "", "", wrong("not the name of a unit")
	}
	return slice, name, nil
}

// SlicePath returns the path of a slice's cgroup below the manager's: "/a.slice/a-b.slice" for
// "a-b.slice" (systemd.slice(5)). The error is a *fault.Error.
func SlicePath(slice string) (string, error) {
	base, ok := strings.CutSuffix(slice, ".slice")
	wrong := &fault.Error{Field: "linux.cgroupsPath", Text: fmt.Sprintf("%q is not the name of a slice", slice),
		Hint: "as in system.slice or machine-web.slice"}
	if !ok || strings.IndexByte(slice, '/') >= 0 {
		return "", wrong
	}
	if base == "-" {
		return "", nil // the root slice
	}
	path, prefix := "", ""
	for part := range strings.SplitSeq(base, "-") {
		if part == "" {
			return "", wrong
		}
		path += "/" + prefix + part + ".slice"
		prefix += part + "-"
	}
	return path, nil
}

// dialHint returns the cure if systemd cannot be reached.
func dialHint(user bool) string {
	if user {
		return "there must be a systemd user session: log in through PAM, or `loginctl enable-linger`, and set XDG_RUNTIME_DIR"
	}
	return "systemd's sockets are /run/systemd/private and /run/dbus/system_bus_socket"
}

// startHint returns the cure if systemd has refused to start the scope, "" if davit knows none.
func startHint(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	switch e.Name {
	case "org.freedesktop.systemd1.UnitExists":
		return "another container or service has a unit of this name: choose another linux.cgroupsPath"
	case "org.freedesktop.DBus.Error.PropertyReadOnly", "org.freedesktop.DBus.Error.UnknownProperty", "org.freedesktop.DBus.Error.InvalidArgs":
		return "check the annotations org.systemd.property.* against this systemd's version"
	case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
		return "only root may start units of the system's manager"
	}
	return ""
}
