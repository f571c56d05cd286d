package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// davit does not read states that a user other than root and the caller could have written or
// exchanged: their hooks would run as the caller. The states of this test are genuine. What changes
// is which users can reach them.
func TestForeignStates(t *testing.T) {
	const eve = userID
	for _, test := range []struct {
		name   string
		tamper func(b *box, above string) error // above is the parent of b.root
		want   string
		one    bool // davit refuses only this container, and shows its neighbours
	}{
		{"the root is another's", func(b *box, _ string) error { return os.Chown(b.root, eve, eve) },
			"belongs to user 54321: davit would run the hooks of that user's states as user 0", false},
		{"all can write to the root", func(b *box, _ string) error { return os.Chmod(b.root, 0o777) },
			"can be written by others (mode 0777)", false},
		{"all can write to the root, sticky", func(b *box, _ string) error { return unix.Chmod(b.root, 0o1777) },
			"can be written by others (mode 01777)", false},
		{"a group can write to the root", func(b *box, _ string) error { return os.Chmod(b.root, 0o770) },
			"can be written by others (mode 0770)", false},
		{"an access list lets a user write to the root", func(b *box, _ string) error {
			return unix.Setxattr(b.root, "system.posix_acl_access", accessList(eve), 0)
		}, "can be written by others", false},
		{"the container's directory is another's", func(b *box, _ string) error { return os.Chown(b.root+"/c1", eve, 0) },
			"/c1 belongs to user 54321", true},
		{"all can write to the container's directory", func(b *box, _ string) error { return os.Chmod(b.root+"/c1", 0o702) },
			"/c1 can be written by others (mode 0702)", true},
		{"the parent is another's", func(b *box, above string) error { return os.Chown(above, eve, 0) },
			"/above belongs to user 54321, who could put other states in its place", false},
		{"all can write to the parent", func(b *box, above string) error { return os.Chmod(above, 0o777) },
			"/above can be written by others (mode 0777), who could put other states in its place", false},
		{"a group can write to the parent", func(b *box, above string) error {
			return errorsOf(os.Chown(above, 0, eve), os.Chmod(above, 0o770))
		}, "/above can be written by others (mode 0770)", false},
		{"the way leads through another's link", func(b *box, above string) error {
			link := filepath.Join(b.work, "link")
			b.root = filepath.Join(link, "root")
			return errorsOf(os.Symlink(above, link), os.Lchown(link, eve, eve))
		}, "/link is a symbolic link of user 54321's", false},
		{"the root is another's link", func(b *box, above string) error {
			link := filepath.Join(b.work, "link")
			defer func() { b.root = link }()
			return errorsOf(os.Symlink(b.root, link), os.Lchown(link, eve, eve))
		}, "/link is a symbolic link of user 54321's", false},
		{"a link leads through a parent of another's", func(b *box, above string) error {
			link := filepath.Join(b.work, "link")
			b.root = filepath.Join(link, "root")
			return errorsOf(os.Symlink("above", link), os.Chown(above, eve, eve))
		}, "/above belongs to user 54321", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t)
			above := filepath.Join(b.work, "above")
			good := filepath.Join(above, "root")
			mark := filepath.Join(b.work, "mark")
			b.root = good
			if err := os.MkdirAll(good, 0o755); err != nil {
				t.Fatal(err)
			}
			b.edit(`hooks.poststop=[{"path":"/bin/touch","args":["touch","` + mark + `"]}]`)
			b.davit("create", "c1")
			t.Cleanup(func() {
				b.root = good
				for _, dir := range []string{above, good, good + "/c1"} {
					unix.Removexattr(dir, "system.posix_acl_access")
					if err := errorsOf(os.Chown(dir, 0, 0), os.Chmod(dir, 0o755)); err != nil {
						t.Error(err)
					}
				}
				b.davit("delete", "--force", "c1")
			})
			if err := test.tamper(b, above); err != nil {
				t.Fatal(err)
			}
			before := listing(t, good)
			for _, verb := range everyVerb {
				if test.one && !strings.Contains(verb, "c1") {
					continue
				}
				out, status := b.try(strings.Fields(verb)...)
				if status != 1 && !(status == 255 && strings.HasPrefix(verb, "exec")) && !(status == 255 && strings.HasPrefix(verb, "run")) || !strings.Contains(out, test.want) {
					t.Errorf("%s: exit status %d\n%s", verb, status, out)
				}
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("the poststop hook has run")
			}
			if after := listing(t, good); after != before {
				t.Errorf("something has changed:\n%s\n%s", before, after)
			}
		})
	}
}

// everyVerb has each verb that reads or writes the state directory, for a container c1 and in a
// bundle.
var everyVerb = []string{"state c1", "list", "list -q", "ps c1", "events --stats c1", "verify c1", "start c1", "exec c1 true", "pause c1", "resume c1",
	"update --pids-limit 5 c1", "kill c1 KILL", "create c2", "run c2", "explain", "delete c1", "delete --force c1"}

// accessList returns an access control list that gives one more user all rights (acl(5)).
func accessList(uid uint32) []byte {
	list := []byte{2, 0, 0, 0} // the version
	for _, e := range [][3]uint32{{0x01, 7, ^uint32(0)}, {0x02, 7, uid}, {0x04, 5, ^uint32(0)}, {0x10, 7, ^uint32(0)}, {0x20, 5, ^uint32(0)}} {
		list = append(list, byte(e[0]), byte(e[0]>>8), byte(e[1]), 0, byte(e[2]), byte(e[2]>>8), byte(e[2]>>16), byte(e[2]>>24))
	}
	return list
}

// The directories that engines make, and those that users have, still work.
func TestTrustedRoots(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(dir string) (root string, err error)
	}{
		{"containerd's", func(dir string) (string, error) { // /run/containerd/runc/k8s.io
			return dir + "/containerd/runc/k8s.io", errorsOf(os.MkdirAll(dir+"/containerd/runc/k8s.io", 0o711), os.Chmod(dir+"/containerd/runc", 0o700))
		}},
		{"Docker's", func(dir string) (string, error) { // /var/run/docker/runtime-runc/moby
			return dir + "/var/run/docker/runtime-runc/moby", errorsOf(os.MkdirAll(dir+"/run/docker", 0o711), os.Mkdir(dir+"/var", 0o755), os.Symlink("../run", dir+"/var/run"))
		}},
		{"in a sticky directory", func(dir string) (string, error) {
			return dir + "/tmp/root", errorsOf(os.Mkdir(dir+"/tmp", 0o700), unix.Chmod(dir+"/tmp", 0o1777))
		}},
		{"of root's group", func(dir string) (string, error) {
			return dir + "/run/root", errorsOf(os.Mkdir(dir+"/run", 0o700), unix.Chmod(dir+"/run", 0o775))
		}},
		{"a link of root's", func(dir string) (string, error) {
			return dir + "/link", errorsOf(os.Mkdir(dir+"/there", 0o755), os.Symlink(dir+"/there", dir+"/link"))
		}},
		{"sticky itself", func(dir string) (string, error) {
			return dir + "/root", errorsOf(os.Mkdir(dir+"/root", 0o700), unix.Chmod(dir+"/root", 0o1700))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBox(t, `process.args=["true"]`)
			root, err := test.make(b.work)
			if err != nil {
				t.Fatal(err)
			}
			b.root = root
			b.davit("run", "c1")
			b.davit("create", "c1")
			b.davit("state", "c1")
			b.davit("delete", "--force", "c1")
		})
	}
}

// In a user namespace, most directories above the state directory belong to users that are not
// mapped. Podman and Docker without root run a runtime in this way. The state directory itself must
// still belong to the caller.
func TestStatesInUserNamespace(t *testing.T) {
	b := newBox(t)
	runtime := filepath.Join(b.work, "runtime")
	own, foreign := filepath.Join(runtime, "davit"), filepath.Join(b.work, "foreign")
	program := filepath.Join(b.work, "davit")
	data, err := os.ReadFile(davit)
	if err := errorsOf(err, os.WriteFile(program, data, 0o755), os.Chmod(filepath.Dir(b.work), 0o755), os.Mkdir(runtime, 0o700), os.Chown(runtime, userID, userID),
		os.Mkdir(own, 0o700), os.Chown(own, userID, userID), os.Mkdir(foreign, 0o755)); err != nil {
		t.Fatal(err)
	}
	list := func(root string) (string, int) {
		cmd := exec.Command("unshare", "--user", "--map-root-user", program, "--root", root, "list", "-q")
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userID, Gid: userID}}
		out, err := cmd.CombinedOutput()
		return string(out), exitCode(err)
	}
	if out, status := list(own); status != 0 {
		t.Errorf("its own: %d\n%s", status, out)
	}
	if out, status := list(foreign); status != 1 || !strings.Contains(out, "foreign belongs to user 65534") {
		t.Errorf("another user's: %d\n%s", status, out)
	}
}
