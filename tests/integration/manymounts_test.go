package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestManyMounts: only memory limits the number of a container's mounts, whatever the hard limit of
// open descriptors is.
func TestManyMounts(t *testing.T) {
	needRoot(t)
	users := []string{`linux.namespaces+={"type":"user"}`, `linux.uidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`,
		`linux.gidMappings=[{"containerID":0,"hostID":100000,"size":65536}]`}
	for _, test := range []struct {
		name  string
		n     int
		limit string // of open descriptors
		edits []string
		more  string // more options of each mount
	}{
		{"binds", 5000, "8192", nil, ""},
		{"binds in a user namespace", 5000, "5100", users, ""},
		{"binds within a low limit", 950, "1024", nil, ""},
		{"more binds than a low limit", 1200, "1024", nil, ""},
		// Each takes two descriptors.
		{"binds that take more descriptors than there are", 80, "200", nil, `,"rbind","private"`},
		{"binds in a user namespace within a low limit", 950, "1024", users, ""},
		{"more binds in a user namespace than a low limit", 1200, "1024", users, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			checkLeaks(t, t.TempDir())
			dir := t.TempDir()
			for at := dir; at != os.TempDir(); at = filepath.Dir(at) {
				must(t, os.Chmod(at, 0o755))
			}
			bundle, source := filepath.Join(dir, "many"), filepath.Join(dir, "source")
			must(t, makeBundle(bundle))
			must(t, os.WriteFile(source, []byte("hello\n"), 0o644))
			must(t, os.Mkdir(filepath.Join(bundle, "rootfs/m"), 0o777))
			must(t, os.Chmod(filepath.Join(bundle, "rootfs/m"), 0o777))
			must(t, os.MkdirAll(filepath.Join(bundle, "rootfs", dir), 0o755)) // the image has the source's path, too
			must(t, os.WriteFile(filepath.Join(bundle, "rootfs", source), []byte("image\n"), 0o644))
			var mounts []string
			for i := range test.n {
				at := fmt.Sprintf("/m/%d", i)
				must(t, os.WriteFile(filepath.Join(bundle, "rootfs", at), nil, 0o644))
				mounts = append(mounts, fmt.Sprintf(`{"destination":%q,"type":"bind","source":%q,"options":["bind"%s]}`, at, source, test.more))
			}
			must(t, editConfig(bundle, append(test.edits, "root.readonly=false", "process.rlimits-", `process.args=["sh","-c","grep -c ' /m/' /proc/mounts; cat /m/*|grep -c hello; ulimit -n"]`)))
			addMounts(t, bundle, mounts)
			cmd := exec.Command("sh", "-c", "ulimit -n "+test.limit+`; exec "$@"`, "sh", davit, "--root", t.TempDir(), "run", "-b", bundle, "many")
			var errors bytes.Buffer
			cmd.Stderr = &errors
			out, err := cmd.Output()
			if want := fmt.Sprintf("%d\n%d\n%s\n", test.n, test.n, test.limit); err != nil || string(out) != want {
				t.Fatalf("%v: %.400s%.400s, not %s", err, out, errors.String(), want)
			}
		})
	}
}

// addMounts appends to the mounts of config.json. Afterwards config.json ends with them. It is
// faster than many edits, each of which would read and write the file.
func addMounts(t *testing.T, bundle string, mounts []string) {
	must(t, editConfig(bundle, []string{"mounts+=HERE"}))
	path := filepath.Join(bundle, "config.json")
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, []byte(strings.Replace(string(data), `"HERE"`, strings.Join(mounts, ","), 1)), 0o644))
}
