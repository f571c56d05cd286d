//go:build amd64 || arm64

package integration

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// unchecked runs davit with a stage whose openat2(2) lacks RESOLVE_IN_ROOT. By this flag the kernel
// keeps names of the container below the container's root. It returns the output, and how many
// calls were changed.
func (b *box) unchecked(args ...string) (out string, changed int) {
	b.t.Helper()
	out, _ = b.traced(unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK, func(thread int) bool {
		info, entry := syscallOf(thread)
		if !entry || info.Nr != unix.SYS_OPENAT2 || commOf(thread) != "davit-stage" {
			return true
		}
		var how [24]byte // struct open_how of linux/openat2.h: flags, mode, resolve
		if _, err := unix.PtracePeekData(thread, uintptr(info.Args[2]), how[:]); err != nil {
			b.t.Errorf("open_how: %v", err)
			return true
		}
		resolve := binary.NativeEndian.Uint64(how[16:])
		if resolve&unix.RESOLVE_IN_ROOT == 0 {
			return true
		}
		binary.NativeEndian.PutUint64(how[16:], resolve&^unix.RESOLVE_IN_ROOT)
		if _, err := unix.PtracePokeData(thread, uintptr(info.Args[2])+16, how[16:]); err != nil {
			b.t.Errorf("open_how: %v", err)
		}
		changed++
		return true
	}, args...)
	return out, changed
}

// The order of the steps alone protects the host from the stage. Even without the check of names,
// links of the image lead to nothing of the host: when the stage follows the first of them, the
// host is not mounted any more. If the host's mounts have to stay, they are not below the stage's
// root directory.
func TestOrderHoldsWithoutTheCheck(t *testing.T) {
	kinds := map[string]string{
		"tmpfs":     `mounts+={"destination":"%s/made/t","type":"tmpfs","source":"tmpfs"}`,
		"private":   `mounts+={"destination":"%s/made/t","type":"tmpfs","source":"tmpfs","options":["rprivate"]}`,
		"tmpcopyup": `mounts+={"destination":"%s/made/t","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]}`,
		"late":      `mounts+={"destination":"%s/made/t","type":"tmpfs","source":"tmpfs","options":["ro"]}`,
		"link":      `mounts+={"destination":"%s/made/t","type":"bind","source":"/proc/mounts","options":["bind","copy-symlink"]}`,
		"bind":      `mounts+={"destination":"%s/made/t","type":"bind","source":"/etc","options":["bind","ro"]}`,
		"file":      `mounts+={"destination":"%s/made/t","type":"bind","source":"/etc/hostname","options":["bind","ro"]}`,
		"node":      `linux.devices=[{"path":"%s/made/node","type":"c","major":1,"minor":3,"uid":1000}]`,
		"fifo":      `linux.devices=[{"path":"%s/made/fifo","type":"p","uid":1000}]`,
		"cwd":       `process.cwd=%s/made/cwd`,
		"masked":    `linux.maskedPaths=["%s/secret"]`,
		"read-only": `linux.readonlyPaths=["%s"]`,
	}
	for w, way := range []string{"", "user namespace", "--no-pivot", "hook", "shared root"} {
		for i, name := range slices.Sorted(maps.Keys(kinds)) {
			if !exhaustive() && (i+w)%4 != 0 { // each kind and each way once; make test-race tries each kind in each way
				continue
			}
			edit := kinds[name]
			t.Run(name+","+way, func(t *testing.T) {
				b := newBox(t, "root.readonly=false")
				host := filepath.Join(b.work, "host")
				b.edit(`process.args=["sh","-c","cat ` + host + `/secret; touch ` + host + `/new 2>/dev/null && echo writable; rm -f ` + host + `/new"]`)
				mustWrite(t, b.path(host)+"/secret", "plain\n")
				mustWrite(t, host+"/secret", escaped+"\n")
				if err := errorsOf(os.Chmod(host, 0o777), os.Chmod(b.path(host), 0o777)); err != nil {
					t.Fatal(err)
				}
				links := map[string]string{b.work + "/absolute": host, b.work + "/climbing": strings.Repeat("../", 40) + host[1:]}
				for link, to := range links { // without the check, the names themselves are the host's, too
					if err := errorsOf(os.Symlink(to, link), os.Symlink(to, b.path(link))); err != nil {
						t.Fatal(err)
					}
				}
				args := []string{"run"}
				switch way {
				case "user namespace":
					b.userNamespace()
				case "hook":
					b.edit(`hooks={"createContainer":[{"path":"/bin/true"}],"createRuntime":[{"path":"/bin/true"}]}`)
				case "shared root":
					b.edit("linux.rootfsPropagation=shared")
				case "--no-pivot":
					args = append(args, way)
				}
				common, err := os.ReadFile(b.bundle + "/config.json")
				if err != nil {
					t.Fatal(err)
				}
				before := listing(t, host)
				for link := range links {
					if testing.Short() && strings.HasSuffix(link, "/climbing") == (i%2 == 0) {
						continue
					}
					mustWrite(t, b.bundle+"/config.json", string(common))
					b.edit(fmt.Sprintf(edit, link))
					out, changed := b.unchecked(append(args, "c1")...)
					if after := listing(t, host); after != before {
						t.Fatalf("%s\nthe host's files changed:\n%s\nfrom\n%s", out, after, before)
					}
					if strings.Contains(out, escaped) || strings.Contains(out, "davit: run") {
						t.Errorf("%s: %s", link, out)
					}
					if masked, readOnly := !strings.Contains(out, "plain"), !strings.Contains(out, "writable"); masked != (name == "masked") || readOnly != (name == "read-only") {
						t.Errorf("%s: masked %t, read-only %t: %s", link, masked, readOnly, out)
					}
					if changed == 0 {
						t.Error("the check was not taken out: the test shows nothing")
					}
				}
			})
		}
	}
}
