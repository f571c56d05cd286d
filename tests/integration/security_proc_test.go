package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// CVE-2019-16884, CVE-2019-19921, CVE-2023-28642, CVE-2025-52881: if an image or a volume covers
// /proc, or a file in it, davit's writes go to something else. The test uses sysctls, whose writes
// take the same way as the labels of AppArmor and SELinux.
func TestRedirectedProc(t *testing.T) {
	const key = "net/ipv4/ip_default_ttl"
	for name, edits := range map[string][]string{
		"file over the sysctl": {`mounts+={"destination":"/proc/sys/` + key + `","type":"bind","source":"WORK/trap","options":["bind"]}`},
		"volume over /proc":    {`mounts+={"destination":"/proc","type":"bind","source":"WORK/proc","options":["rbind"]}`, "linux.readonlyPaths=[]"},
		"volume over /proc/sys": {`mounts+={"destination":"/proc/sys","type":"bind","source":"WORK/proc/sys","options":["rbind"]}`,
			"linux.readonlyPaths=[]"},
		"instead of /proc": {`mounts[0]={"destination":"/proc","type":"bind","source":"WORK/proc","options":["rbind"]}`, "linux.readonlyPaths=[]"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			b := newBox(t, "root.readonly=false", `linux.sysctl={"net.ipv4.ip_default_ttl":"99"}`, `process.args=["sh","-c","cat /real/sys/`+key+`"]`)
			trap := filepath.Join(b.work, "trap")
			mustWrite(t, trap, "trap")
			mustWrite(t, b.work+"/proc/sys/"+key, "trap")
			for _, link := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel"} {
				os.Symlink(trap, b.work+link)
			}
			for _, edit := range edits {
				b.edit(strings.ReplaceAll(edit, "WORK", b.work))
			}
			b.edit(`mounts+={"destination":"/real","type":"proc","source":"proc"}`)
			if out := b.davit("run", "c1"); out != "99\n" {
				t.Errorf("the sysctl is %q", out)
			}
			for _, path := range []string{trap, b.work + "/proc/sys/" + key} {
				if data, _ := os.ReadFile(path); string(data) != "trap" {
					t.Errorf("%s was written: %q", path, data)
				}
			}
		})
	}
}

// CVE-2019-19921, CVE-2023-27561: the same where the kernel makes no new /proc, /sys or cgroup
// filesystem. Then the host's are shown, because davit decides so or because the config says so.
func TestLinkedProcInUserNamespace(t *testing.T) {
	for _, c := range []struct{ name, mount, without string }{
		{"proc", `"type":"proc","source":"proc"`, "pid"},
		{"sys", `"type":"sysfs","source":"sysfs"`, "network"},
		{"sys", `"type":"none","source":"/sys","options":["rbind","ro"]`, "network"},
		{"sys/fs/cgroup", `"type":"cgroup","source":"cgroup"`, "cgroup"},
	} {
		name := c.name
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			b := newBox(t, "root.readonly=false", "linux.namespaces=[]", "hostname-", `process.args=["ls","/aside"]`)
			for _, ns := range []string{"mount", "pid", "network"} {
				if ns != c.without {
					b.edit(`linux.namespaces+={"type":"` + ns + `"}`)
				}
			}
			b.userNamespace()
			b.edit(`mounts=[{"destination":"/` + name + `",` + c.mount + `},{"destination":"/dev","type":"tmpfs","source":"dev"}]`)
			os.RemoveAll(b.path(name))
			if err := errorsOf(os.Mkdir(b.path("aside"), 0o755), os.MkdirAll(filepath.Dir(b.path(name)), 0o755), os.Symlink("/aside", b.path(name))); err != nil {
				t.Fatal(err)
			}
			if out, status := b.try("run", "c1"); status != 1 || !strings.Contains(out, "too many levels of symbolic links") {
				t.Errorf("exit status %d: %s", status, out)
			}
		})
	}
}

// CVE-2026-41579, CVE-2019-18837, CVE-2025-24965: the image's /dev, or another name to which a
// runtime writes, is a link to the host. (TestPlantedLinks tests the other names.)
func TestPlantedDev(t *testing.T) {
	const only = `mounts=[{"destination":"/proc","type":"proc","source":"proc"}]`
	for name, plant := range map[string]func(b *box, host string) error{
		"dev": func(b *box, host string) error {
			return errorsOf(os.RemoveAll(b.path("dev")), os.Symlink(host, b.path("dev")))
		},
		"dev/fd":   func(b *box, host string) error { return os.Symlink(host+"/new", b.path("dev/fd")) },
		"dev/null": func(b *box, host string) error { return os.Symlink(host+"/new", b.path("dev/null")) },
		"krun": func(b *box, host string) error {
			b.edit(`annotations={"run.oci.handler":"krun"}`)
			return os.Symlink(host+"/new", b.path(".krun_config.json"))
		},
		"run": func(b *box, host string) error { return os.Symlink(host, b.path("run")) },
	} {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			b := newBox(t, "root.readonly=false", only, `process.args=["true"]`, `linux.devices=[{"path":"/dev/made","type":"c","major":1,"minor":3}]`)
			host := filepath.Join(b.work, "host")
			mustWrite(t, host+"/file", "file")
			if err := plant(b, host); err != nil {
				t.Fatal(err)
			}
			before := listing(t, host)
			out, _ := b.try("run", "c1")
			if after := listing(t, host); after != before {
				t.Errorf("the host's files changed:\n%s\nfrom\n%s\n%s", after, before, out)
			}
		})
	}
}

// CVE-2025-31133, but from the other side: an image must not be able to take away the mask of a
// masked path. davit checks the host's own /dev/null, too.
func TestMaskedByRealNull(t *testing.T) {
	b := newBox(t, "root.readonly=false", `linux.maskedPaths=["/secret","/proc/keys"]`,
		`process.args=["sh","-c","cat /secret; stat -c %t:%T /secret /proc/keys"]`)
	mustWrite(t, b.path("secret"), escaped)
	if out := b.davit("run", "c1"); out != "1:3\n1:3\n" {
		t.Errorf("masked: %q", out)
	}
	// On this host /dev/null is a file, as after root's `cmd >/dev/null` in a broken chroot.
	mustWrite(t, b.work+"/null", escaped)
	if err := unix.Mount(b.work+"/null", "/dev/null", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount("/dev/null", unix.MNT_DETACH)
	cmd := b.command("run", "c1")
	stdin, err := os.Open(b.work + "/null")
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err == nil || strings.Contains(string(out), escaped) || !strings.Contains(string(out), "/dev/null of the host is not the null device") {
		t.Errorf("with a file for /dev/null: %v, %s", err, out)
	}
}
