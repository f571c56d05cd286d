package integration

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNetwork moves the test's thread into a new network namespace; the processes that the test
// starts are in it, too.
func inNetwork(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("host: no iproute2")
	}
	runtime.LockOSThread() // it is never unlocked
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func ip(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestNetDevices: davit moves and renames devices and sets them up, with their permanent addresses
// and attributes. A template in a name gets a number.
func TestNetDevices(t *testing.T) {
	inNetwork(t)
	ip(t, "link add dev0 type veth peer name peer0")
	ip(t, "link set dev0 mtu 1400 address 02:00:00:00:00:07")
	ip(t, "address add 10.9.8.7/24 dev dev0")
	ip(t, "address add fd00::7/64 dev dev0 nodad")
	ip(t, "link add dev1 type veth peer name peer1")
	b := newBox(t, `linux.netDevices={"dev0":{"name":"eth0"},"dev1":{"name":"eth%d"}}`,
		`process.args=["sh","-c","cd /sys/class/net; for d in *; do echo $d $(cat $d/mtu $d/flags $d/address); done; grep -o '10.9.8.7' /proc/net/fib_trie | head -1; grep ^fd0 /proc/net/if_inet6"]`)
	out := b.davit("run", "c1")
	for _, want := range []string{"eth0 1400 0x1003 02:00:00:00:00:07\n", "eth1 1500 0x1003 ", "10.9.8.7\n", "fd000000000000000000000000000007"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestNetDevicesUndone: if create fails, the devices are back, with their names, addresses and
// states.
func TestNetDevicesUndone(t *testing.T) {
	inNetwork(t)
	ip(t, "link add dev0 type veth peer name peer0")
	ip(t, "address add 10.9.8.7/24 dev dev0")
	ip(t, "link set dev0 up")
	ip(t, "link add dev1 type veth peer name peer1")
	before := links(t)
	for end := time.Now().Add(10 * time.Second); strings.Contains(before, "UNKNOWN") && time.Now().Before(end); before = links(t) {
		time.Sleep(10 * time.Millisecond) // it takes the kernel some time to notice that there is no carrier
	}
	for _, c := range []struct{ edit, want string }{
		{`linux.netDevices={"dev0":{"name":"eth0"},"nope":{}}`, "linux.netDevices.nope: RTM_GETLINK nope: no such device"},
		{`linux.netDevices={"dev0":{"name":"eth0"},"dev1":{"name":"lo"}}`, "linux.netDevices.dev1: lo: file exists"},
		{`linux.netDevices={"dev0":{"name":"eth0"},"lo":{"name":"eth1"}}`, "linux.netDevices.lo: RTM_NEWLINK eth1: invalid argument"},
	} {
		b := newBox(t, c.edit)
		if out, status := b.try("create", "c1"); status != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit status %d, no %q in %s", c.edit, status, c.want, out)
		}
		if after := links(t); after != before {
			t.Errorf("%s: before\n%s\nafter\n%s", c.edit, before, after)
		}
	}
	// This create fails after the devices were moved.
	b := newBox(t, `linux.netDevices={"dev0":{"name":"eth0"},"dev1":{}}`, `process.args=["/nope"]`)
	b.try("create", "c1")
	if after := links(t); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// links returns the devices by name, with their states and permanent addresses.
func links(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, name := range []string{"dev0", "dev1", "peer0", "peer1"} {
		line := strings.Join(strings.Fields(ip(t, "-brief address show scope global dev "+name)), " ")
		lines = append(lines, line, strings.Fields(ip(t, "-oneline link show dev "+name))[2])
	}
	return strings.Join(lines, "\n")
}
