package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSoak takes $CYCLES containers through their life (20 in the everyday tests; make test-soak).
// It checks whether anything grows: the host's open files, cgroups, mounts, keys and network
// namespaces, and the cache of filters beyond its limit.
func TestSoak(t *testing.T) {
	cycles := 20
	if n, err := strconv.Atoi(os.Getenv("CYCLES")); err == nil {
		cycles = n
	}
	b := newBox(t, `process.args=["sleep","1000"]`, `hooks.poststop=[{"path":"/bin/true"}]`)
	config, err := os.ReadFile(filepath.Join(b.bundle, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	var before figures
	const warm = 3
	for i := range warm + cycles {
		if i == warm {
			before, begin = b.figures(), time.Now()
		}
		if err := os.WriteFile(filepath.Join(b.bundle, "config.json"), config, 0o644); err != nil {
			t.Fatal(err)
		}
		b.edit(fmt.Sprintf(`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mlock"],"action":"SCMP_ACT_ERRNO","errnoRet":%d}]}`, 1+i%200))
		b.life(i)
	}
	took := time.Since(begin)
	after := b.figures()
	for end := time.Now().Add(20 * time.Second); after.more(before) != "" && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		after = b.figures() // the kernel needs some time to free namespaces and keys
	}
	if more := after.more(before); more != "" {
		t.Errorf("after %d cycles: %s", cycles, more)
	}
	if files, err := os.ReadDir(filepath.Join(b.root, ".seccomp")); err != nil || len(files) > 64+1 {
		t.Errorf("the cache of filters has %d files, %v", len(files), err)
	}
	if left := whatIsLeft(b.root); left != "" {
		t.Errorf("left: %s", left)
	}
	recordLine(t, "soak", "%d | %.0f | %s |", cycles, took.Seconds(), after.beside(before))
}

// life takes one container through its life. Every second container is deleted by force while it is
// paused; the others are killed first and then deleted.
func (b *box) life(i int) {
	b.davit("create", "c1")
	b.davit("start", "c1")
	b.davit("exec", "c1", "true")
	if i%2 == 0 {
		b.davit("pause", "c1")
		b.davit("delete", "--force", "c1")
		return
	}
	b.davit("kill", "c1", "KILL")
	awaitStatus(b.root, "c1", "stopped")
	b.davit("delete", "c1")
}

// figures counts things on the host. Others on the host also change these numbers a little.
type figures [6]int

var figureNames = [6]string{"open files", "cgroups", "mounts", "keys of root", "network namespaces", "cached filters"}

// figureSlack says by how much others may increase each number.
var figureSlack = [6]int{400, 0, 0, 40, 40, 64}

func (b *box) figures() figures {
	files, _ := os.ReadFile("/proc/sys/fs/file-nr") // the first number: proc_sys_fs(5)
	keys, _ := os.ReadFile("/proc/key-users")       // "uid: usage nkeys/nikeys …": keyrings(7)
	slabs, _ := os.ReadFile("/proc/slabinfo")
	cached, _ := os.ReadDir(filepath.Join(b.root, ".seccomp"))
	f := figures{firstNumber(string(files)), len(cgroupsLeft()), len(mountTable()), 0, 0, len(cached)}
	for line := range strings.Lines(string(keys)) {
		if uid, rest, _ := strings.Cut(strings.TrimSpace(line), ":"); uid == "0" {
			if fields := strings.Fields(rest); len(fields) > 1 {
				f[3] = firstNumber(strings.ReplaceAll(fields[1], "/", " "))
			}
		}
	}
	for line := range strings.Lines(string(slabs)) {
		if rest, ok := strings.CutPrefix(line, "net_namespace "); ok {
			f[4] = firstNumber(rest)
		}
	}
	return f
}

func firstNumber(text string) int {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(fields[0])
	return n
}

// more returns which numbers have grown, or "".
func (f figures) more(before figures) string {
	var list []string
	for i, n := range f {
		if n > before[i]+figureSlack[i] {
			list = append(list, fmt.Sprintf("%s: %d, before %d", figureNames[i], n, before[i]))
		}
	}
	return strings.Join(list, "; ")
}

func (f figures) beside(before figures) string {
	var list []string
	for i, n := range f {
		list = append(list, fmt.Sprintf("%d, %d", before[i], n))
	}
	return strings.Join(list, " | ")
}
