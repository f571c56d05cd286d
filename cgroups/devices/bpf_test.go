package devices

import (
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cgroup2 makes a cgroup in the cgroup2 hierarchy, wherever this host has that, and returns a
// descriptor of it.
func cgroup2(t *testing.T) int {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var s unix.Statfs_t
		if unix.Statfs(mount, &s) != nil || s.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		dir, err := os.MkdirTemp(mount, "davit-devices-test-")
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			unix.Close(fd)
			if err := unix.Rmdir(dir); err != nil {
				t.Errorf("rmdir %s: %v", filepath.Base(dir), err)
			}
		})
		return fd
	}
	t.Skip("only of cgroup v2")
	return -1
}

// A program that another program, for example systemd, has attached to the cgroup stays. davit
// replaces its own.
func TestOtherProgramsStay(t *testing.T) {
	dir := cgroup2(t)
	fd, err := loadProgram(assemble([]Rule{{'a', Any, Any, accessAll, true}}), "sd_devices")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := attachProgram(dir, fd, -1); err != nil {
		t.Fatal(err)
	}
	other, err := programs(dir)
	if err != nil || len(other) != 1 {
		t.Fatal(other, err)
	}
	deny, all := specs.LinuxDeviceCgroup{Access: "rwm"}, specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"}
	own := uint32(0)
	for _, list := range [][]specs.LinuxDeviceCgroup{{deny}, {all}, {deny}} {
		if err := Set(dir, 2, list, nil, true); err != nil {
			t.Fatal(err)
		}
		ids, err := programs(dir)
		if err != nil || len(ids) != 2 || ids[0] != other[0] || ids[1] == own {
			t.Fatalf("programs %v, %v: want the other's, %d, and a new one of davit's instead of %d", ids, err, other[0], own)
		}
		own = ids[1]
	}
}
