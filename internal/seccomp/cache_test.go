package seccomp

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func small(names ...string) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, ListenerPath: "/l", Architectures: []specs.Arch{specs.ArchX86, "SCMP_ARCH_SH"},
		Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActAllow},
			{Names: []string{"mount"}, Action: specs.ActNotify,
				Args: []specs.LinuxSeccompArg{{Index: 3, Value: 1 << 40, ValueTwo: 5, Op: specs.OpMaskedEqual}}}}}
}

func cached(t *testing.T, c *specs.LinuxSeccomp, dir string, want bool) *Filter {
	t.Helper()
	f, err := Compile(c, dir)
	if err != nil || f.CacheError != nil {
		t.Fatal(err, f.CacheError)
	}
	if f.Cached != want {
		t.Fatalf("Cached is %v", f.Cached)
	}
	return f
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	first := cached(t, small("read", "nonsense"), dir, false)
	second := cached(t, small("read", "nonsense"), dir, true)
	second.Cached = false
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("read back\n%v\nof\n%v", second, first)
	}
	if !slices.Equal(first.Ignored, []string{"SCMP_ARCH_SH", "nonsense"}) {
		t.Errorf("ignored: %q", first.Ignored)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Error(st.Mode(), err)
	}
	list := files(t, dir)
	if st, err := os.Stat(filepath.Join(dir, list[0])); len(list) != 1 || err != nil || st.Mode().Perm() != 0o600 {
		t.Error(list, st, err)
	}
}

// Every value of a config is part of the cache's key.
func TestCacheKey(t *testing.T) {
	number := uint(1)
	change := []func(c *specs.LinuxSeccomp){
		func(*specs.LinuxSeccomp) {},
		func(c *specs.LinuxSeccomp) { c.DefaultAction = specs.ActKill },
		func(c *specs.LinuxSeccomp) { c.DefaultErrnoRet = &number },
		func(c *specs.LinuxSeccomp) { c.DefaultErrnoRet = new(uint) },
		func(c *specs.LinuxSeccomp) { c.Architectures = nil },
		func(c *specs.LinuxSeccomp) { c.Architectures[0] = specs.ArchX32 },
		func(c *specs.LinuxSeccomp) { c.Flags = []specs.LinuxSeccompFlag{} },
		func(c *specs.LinuxSeccomp) { c.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog} },
		func(c *specs.LinuxSeccomp) { c.ListenerPath = "" },
		func(c *specs.LinuxSeccomp) { c.ListenerMetadata = "x" },
		func(c *specs.LinuxSeccomp) { c.Syscalls = c.Syscalls[:1] },
		func(c *specs.LinuxSeccomp) { c.Syscalls[0].Names = []string{"reada"} },
		func(c *specs.LinuxSeccomp) { c.Syscalls[0].Names = []string{"read", "a"} },
		func(c *specs.LinuxSeccomp) { c.Syscalls[1].Action = specs.ActTrap },
		func(c *specs.LinuxSeccomp) { c.Syscalls[1].ErrnoRet = &number },
		func(c *specs.LinuxSeccomp) { c.Syscalls[1].Args = nil },
		func(c *specs.LinuxSeccomp) { c.Syscalls[1].Args[0].Index = 4 },
		func(c *specs.LinuxSeccomp) { c.Syscalls[1].Args[0].Value++ },
		func(c *specs.LinuxSeccomp) { c.Syscalls[1].Args[0].ValueTwo++ },
		func(c *specs.LinuxSeccomp) { c.Syscalls[1].Args[0].Op = specs.OpEqualTo },
	}
	seen := map[string]int{}
	names := map[string]bool{}
	for i, f := range change {
		c := small("read")
		f(c)
		key, err := cacheKey(c)
		if err != nil {
			t.Fatal(err)
		}
		if j, ok := seen[string(key)]; ok {
			t.Errorf("changes %d and %d have the same key", i, j)
		}
		seen[string(key)] = i
		names[cacheName(key)] = true
	}
	if len(names) != len(change) {
		t.Errorf("%d names for %d keys", len(names), len(change))
	}
}

// davit ignores a cached file that is torn, altered, made for another config, or not the caller's
// own.
func TestCacheBadFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	cached(t, small("read"), dir, false)
	path := filepath.Join(dir, files(t, dir)[0])
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := cacheKey(small("write"))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		b := bytes.Clone(good)
		b[i] ^= 1
		return b
	}
	bad := map[string][]byte{"empty": {}, "cut": good[:len(good)-1], "header only": good[:cacheHeader], "longer": append(bytes.Clone(good), 0),
		"other config": formatCache(otherKey, &Filter{Program: make([]byte, 8)})}
	for i := 0; i < len(good); i += 7 {
		bad[fmt.Sprintf("byte %d flipped", i)] = flip(i)
	}
	for name, content := range bad {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		key, _ := cacheKey(small("read"))
		if f := readCache(dir, key); f != nil {
			t.Errorf("%s: was used", name)
		}
	}
	cached(t, small("read"), dir, false) // this writes it again
	cached(t, small("read"), dir, true)
	if err := os.Chmod(path, 0o622); err != nil {
		t.Fatal(err)
	}
	cached(t, small("read"), dir, false)
	if err := os.Rename(path, path+"x"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path+"x", path); err != nil {
		t.Fatal(err)
	}
	cached(t, small("read"), dir, false)
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1, 1); err != nil {
			t.Fatal(err)
		}
		cached(t, small("read"), dir, false)
	}
}

func TestCacheDirectory(t *testing.T) {
	top := t.TempDir()
	open := filepath.Join(top, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(top, "link")
	if err := os.Symlink(open, link); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		open:                             "must be the caller's with mode 0700",
		link:                             "not a directory",
		filepath.Join(top, "none/cache"): "mkdir",
	} {
		f, err := Compile(small("read"), dir)
		if err != nil || f.CacheError == nil || !strings.Contains(f.CacheError.Error(), want) || len(f.Program) == 0 {
			t.Errorf("%s: %v, %v", dir, err, f.CacheError)
		}
	}
	if list := files(t, open); len(list) != 0 {
		t.Errorf("written: %v", list)
	}
}

// davit does not read a filter from a directory in which others could have put it, even if the
// filter is sound and the caller's.
func TestCacheReadsOwnDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	cached(t, small("read"), dir, false)
	cached(t, small("read"), dir, true)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	read := func(dir string) bool {
		f, err := Compile(small("read"), dir)
		if err != nil {
			t.Fatal(err)
		}
		return f.Cached
	}
	if read(link) {
		t.Error("a link was followed")
	}
	for _, mode := range []os.FileMode{0o777, 0o770, 0o722} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if read(dir) {
			t.Errorf("read from a directory with mode %#o", mode)
		}
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(dir, 0o700), os.Chown(dir, 54321, 0)); err != nil {
			t.Fatal(err)
		}
		if read(dir) {
			t.Error("read from a directory of user 54321's")
		}
	}
}

func TestCacheEviction(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	cached(t, small("read"), dir, false)
	old := time.Now().Add(-time.Hour)
	for i := range cacheFiles + 10 {
		name := filepath.Join(dir, fmt.Sprintf("%016x", i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		when := old.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
	stray, fresh := filepath.Join(dir, ".new-1-a"), filepath.Join(dir, ".new-2-b")
	for _, name := range []string{stray, fresh} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(stray, time.Now(), time.Now().Add(-2*strayAge)); err != nil {
		t.Fatal(err)
	}
	cached(t, small("write"), dir, false)
	list := files(t, dir)
	if len(list) > cacheFiles || slices.Contains(list, ".new-1-a") || !slices.Contains(list, ".new-2-b") || slices.Contains(list, "0000000000000000") {
		t.Errorf("%d files: %v", len(list), list)
	}
	cached(t, small("read"), dir, true)
	cached(t, small("write"), dir, true)
}

// Many callers use the cache at once, as when a node starts its pods.
func TestCacheConcurrent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	result := make(chan error)
	for i := range 12 {
		go func() {
			f, err := Compile(small("read", []string{"write", "close"}[i%2]), dir)
			if err == nil {
				err = f.CacheError
			}
			result <- err
		}()
	}
	for range 12 {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
	if list := files(t, dir); len(list) != 2 {
		t.Errorf("files: %v", list)
	}
}

// Filters in a cache live longer than the davit that made them. If you change the program that
// davit makes from the same config, raise cacheVersion and put the new sum here.
func TestCacheVersion(t *testing.T) {
	needAMD64(t)
	sum := fnv.New64a()
	flagged := small("read")
	flagged.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC"}
	for _, c := range []*specs.LinuxSeccomp{small("read"), small("exit_group", "mseal", "connect"), flagged} {
		f := mustCompile(t, c)
		f.Program = append(f.Program, byte(f.Flags))
		sum.Write(f.Program)
	}
	c := small("read")
	c.Syscalls[0].Args = []specs.LinuxSeccompArg{{Value: 3, Op: specs.OpGreaterThan}, {Value: 1, Op: specs.OpEqualTo}, {Index: 2, Value: 1 << 33, Op: specs.OpLessEqual}}
	sum.Write(mustCompile(t, c).Program)
	const version, want = 2, 0x3166fbd127ac5057
	if got := sum.Sum64(); cacheVersion != version || got != want {
		t.Errorf("cacheVersion %d has sum %#x, not %#x", cacheVersion, got, uint64(want))
	}
}

func TestBuildID(t *testing.T) {
	if id := noteID(compilerELF); len(id) != 20 {
		t.Errorf("the compiler has build ID %x; link it with -Wl,--build-id=sha1, or every start hashes all of it", id)
	}
	for _, bad := range []string{"", "\x7fELF", strings.Repeat("x", 100), compilerELF[:64], compilerELF[:200], compilerELF[:len(compilerELF)/2] + "x"} {
		if id := buildID(bad); id == "" || id == buildID(bad+"x") && noteID(bad) == "" {
			t.Errorf("%d bytes: %x", len(bad), id)
		}
	}
}
