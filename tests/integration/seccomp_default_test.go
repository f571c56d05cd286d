package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"davit/tests/profile"

	"golang.org/x/sys/unix"
)

// calls are what a container's process tries under the engines' default profile. Without a filter,
// the kernel gives none of the errors that the profile gives: no call needs a privilege.
var calls = []struct {
	name           string
	number         uintptr
	args           [2]uintptr
	errno          unix.Errno
	withoutProfile unix.Errno
}{
	{"getppid", unix.SYS_GETPPID, [2]uintptr{}, 0, 0},
	{"personality, allowed value", unix.SYS_PERSONALITY, [2]uintptr{0xffffffff}, 0, 0},
	{"personality, another value", unix.SYS_PERSONALITY, [2]uintptr{0x0040000}, unix.EPERM, 0}, // ADDR_NO_RANDOMIZE
	{"keyctl", unix.SYS_KEYCTL, [2]uintptr{99999}, unix.EPERM, unix.EOPNOTSUPP},
	{"socket of AF_UNIX", unix.SYS_SOCKET, [2]uintptr{unix.AF_UNIX, unix.SOCK_STREAM}, 0, 0},
	{"socket of AF_VSOCK", unix.SYS_SOCKET, [2]uintptr{unix.AF_VSOCK, 99}, unix.EPERM, unix.EINVAL},
	{"clone3", unix.SYS_CLONE3, [2]uintptr{0, 0}, unix.ENOSYS, unix.EINVAL},
}

// newerCall is the number of a call that no kernel has yet. A container must see it as missing, not
// as forbidden, so that a libc falls back to an older call.
const newerCall = 900

// makeCalls is the test binary as a container's process.
func makeCalls() {
	for _, c := range calls {
		_, _, errno := unix.RawSyscall(c.number, c.args[0], c.args[1], 0)
		fmt.Printf("%s: %d\n", c.name, errno)
	}
	_, _, errno := unix.RawSyscall(newerCall, 0, 0, 0)
	fmt.Printf("newer: %d\n", errno)
}

// The engines' default profile on this machine: it allows a call, it forbids one, it decides by an
// argument, and a call that is newer than the profile is ENOSYS.
func TestSeccompDefault(t *testing.T) {
	b := newBox(t)
	b.plant("calls")
	expect := func(situation string, errnoOf func(i int) unix.Errno) {
		t.Helper()
		var want strings.Builder
		for i, c := range calls {
			fmt.Fprintf(&want, "%s: %d\n", c.name, errnoOf(i))
		}
		fmt.Fprintf(&want, "newer: %d\n", unix.ENOSYS)
		if out := b.davit("run", "c1"); out != want.String() {
			t.Errorf("%s:\n%swant:\n%s", situation, out, want.String())
		}
	}
	b.edit("linux.seccomp=null")
	expect("without a profile", func(i int) unix.Errno { return calls[i].withoutProfile })
	text, err := json.Marshal(profile.Default())
	if err != nil {
		t.Fatal(err)
	}
	b.edit("linux.seccomp=" + string(text))
	expect("with the profile", func(i int) unix.Errno { return calls[i].errno })
}
