package seccomp

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"davit/internal/fault"
	"davit/internal/sys"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The cache is a directory with a file for each filter. Only davit writes there: a file counts only
// if the caller owns it and nobody else may write to it. A file's name is a hash of the key, and
// its content starts with the whole key, so that a filter which is found belongs to exactly the
// same config and compiler.
//
//	uint32 magic, version, length of key, program, ignored names; flags, notify
//	key, program, ignored names with a NUL behind each
//	uint64 checksum of all that

const (
	cacheMagic = 0x31534344 // "DCS1"
	// cacheVersion is increased when davit makes another program or another file for the same key.
	// TestCacheVersion fails if that was forgotten.
	cacheVersion = 2
	cacheHeader  = 7 * 4
	cacheSum     = 8
	// cacheFiles is how many filters are kept; a host has a handful of profiles.
	cacheFiles = 64
	// cacheFileMax, in bytes, is more than any filter needs for its config and its program.
	cacheFileMax = 4 << 20
	// strayAge is how old an unfinished file gets before it is removed.
	strayAge = time.Minute
)

// mix is a 64-bit hash that takes a word at a time. It need not resist attackers: it spreads names
// and detects torn files.
func mix(b []byte) uint64 {
	const prime = 0x9e3779b97f4a7c15
	h := uint64(len(b)) * prime
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(b))*prime, 29)
	}
	var tail [8]byte
	copy(tail[:], b)
	h = (h ^ binary.LittleEndian.Uint64(tail[:])) * prime
	return h ^ h>>32
}

// cacheKey returns all that a filter depends on, each value with its length.
func cacheKey(c *specs.LinuxSeccomp) ([]byte, error) {
	if c == nil {
		return nil, fault.At("linux.seccomp", "is missing")
	}
	k := keyWriter{b: make([]byte, 0, keySize(c))}
	k.text(buildID(compilerELF))
	k.text(string(c.DefaultAction))
	k.optional(c.DefaultErrnoRet)
	k.words(len(c.Architectures))
	for _, a := range c.Architectures {
		k.text(string(a))
	}
	if c.Flags == nil {
		k.words(-1)
	} else {
		k.words(len(c.Flags))
	}
	for _, f := range c.Flags {
		k.text(string(f))
	}
	// The path of the listener does not matter for the filter, but whether there is one does.
	k.words(min(1, len(c.ListenerPath)), min(1, len(c.ListenerMetadata)), len(c.Syscalls))
	for i := range c.Syscalls {
		s := &c.Syscalls[i]
		k.text(string(s.Action))
		k.optional(s.ErrnoRet)
		k.words(len(s.Names), len(s.Args))
		for _, n := range s.Names {
			k.text(n)
		}
		for _, a := range s.Args {
			k.words(int(a.Index))
			k.text(string(a.Op))
			k.b = binary.NativeEndian.AppendUint64(k.b, a.Value)
			k.b = binary.NativeEndian.AppendUint64(k.b, a.ValueTwo)
		}
	}
	return k.b, nil
}

// keySize is a little more than the length of c's key.
func keySize(c *specs.LinuxSeccomp) int {
	size := 256 + 48*(len(c.Architectures)+len(c.Flags))
	for i := range c.Syscalls {
		s := &c.Syscalls[i]
		size += 64 + 56*len(s.Args) + 4*len(s.Names)
		for _, n := range s.Names {
			size += len(n)
		}
	}
	return size
}

type keyWriter struct{ b []byte }

func (k *keyWriter) words(values ...int) {
	for _, v := range values {
		k.b = binary.NativeEndian.AppendUint64(k.b, uint64(v))
	}
}

func (k *keyWriter) text(s string) {
	k.b = binary.NativeEndian.AppendUint32(k.b, uint32(len(s)))
	k.b = append(k.b, s...)
}

func (k *keyWriter) optional(v *uint) {
	if v == nil {
		k.words(0)
	} else {
		k.words(1, int(*v))
	}
}

func cacheName(key []byte) string {
	name := strconv.FormatUint(mix(key), 16)
	return "0000000000000000"[len(name):] + name
}

// readCache returns the filter of key, or nil if dir has no sound one.
func readCache(dir string, key []byte) *Filter {
	if dir == "" {
		return nil
	}
	at, err := openCacheDir(dir)
	if err != nil {
		return nil
	}
	fd, err := unix.Openat(at, cacheName(key), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	unix.Close(at)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 ||
		int(st.Uid) != os.Geteuid() || st.Size > cacheFileMax {
		return nil
	}
	b, err := readAll(fd, st.Size)
	if err != nil {
		return nil
	}
	return parseCache(b, key)
}

// parseCache returns the filter in the content of a cache file, nil unless it is complete and
// belongs to key.
func parseCache(b, key []byte) *Filter {
	if len(b) < cacheHeader+cacheSum {
		return nil
	}
	end := len(b) - cacheSum
	r := reader{b: b[:end]}
	head := r.words(7)
	if head[0] != cacheMagic || head[1] != cacheVersion || binary.NativeEndian.Uint64(b[end:]) != mix(b[:end]) {
		return nil
	}
	stored := r.take(int(head[2]))
	f := &Filter{Program: r.take(int(head[3])), Flags: head[5], Notify: head[6] != 0, Cached: true}
	ignored := r.take(int(head[4]))
	if r.bad || len(r.b) != 0 || string(stored) != string(key) {
		return nil
	}
	if n := len(f.Program); n == 0 || n%insnSize != 0 || n > MaxInstructions*insnSize {
		return nil
	}
	if len(ignored) > 0 {
		f.Ignored = strings.Split(strings.TrimSuffix(string(ignored), "\x00"), "\x00")
	}
	return f
}

func formatCache(key []byte, f *Filter) []byte {
	var ignored []byte
	for _, name := range f.Ignored {
		ignored = append(append(ignored, name...), 0) // parse refuses names with a NUL
	}
	notify := uint32(0)
	if f.Notify {
		notify = 1
	}
	b := put32(make([]byte, 0, cacheHeader+len(key)+len(f.Program)+len(ignored)+cacheSum), cacheMagic, cacheVersion,
		uint32(len(key)), uint32(len(f.Program)), uint32(len(ignored)), f.Flags, notify)
	b = append(append(append(b, key...), f.Program...), ignored...)
	return binary.NativeEndian.AppendUint64(b, mix(b))
}

// writeCache keeps f under key, and no more than cacheFiles filters in all.
func writeCache(dir string, key []byte, f *Filter) error {
	if dir == "" {
		return nil
	}
	if err := unix.Mkdir(dir, 0o700); err != nil && err != unix.EEXIST {
		return fmt.Errorf("seccomp cache: mkdir %s: %w", dir, err)
	}
	fd, err := openCacheDir(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	content := formatCache(key, f)
	if len(content) > cacheFileMax {
		return fmt.Errorf("seccomp cache %s: the filter takes %d bytes, %d are allowed", dir, len(content), cacheFileMax)
	}
	aside := ".new-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := sys.Replace(fd, aside, cacheName(key), content, 0o600); err != nil {
		return fmt.Errorf("seccomp cache %s: %w", dir, err)
	}
	return evict(dir, fd)
}

// openCacheDir opens dir and checks that only the caller can add files to it. The owner of a file
// proves nothing: somebody else could have moved or linked it there.
func openCacheDir(dir string) (int, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("seccomp cache: open %s: %w", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("seccomp cache: fstat %s: %w", dir, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		unix.Close(fd)
		return -1, fmt.Errorf("seccomp cache: %s belongs to user %d with mode %#o; it must be the caller's with mode 0700",
			dir, st.Uid, st.Mode&0o7777)
	}
	return fd, nil
}

// evict removes the oldest filters if there are more than cacheFiles, and files that were never
// finished because davit was killed.
func evict(dir string, fd int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("seccomp cache: %w", err)
	}
	type file struct {
		name string
		time int64
	}
	var files []file
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Fstatat(fd, e.Name(), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // another process of davit has removed it
		}
		files = append(files, file{e.Name(), st.Mtim.Nano()})
	}
	slices.SortFunc(files, func(a, b file) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	stray := time.Now().Add(-strayAge).UnixNano()
	for i, f := range files {
		if len(files)-i > cacheFiles || strings.HasPrefix(f.name, ".new-") && f.time < stray {
			if err := unix.Unlinkat(fd, f.name, 0); err != nil && err != unix.ENOENT {
				return fmt.Errorf("seccomp cache: remove %s/%s: %w", dir, f.name, err)
			}
		}
	}
	return nil
}

// readAll returns the content of the regular file fd from offset 0.
func readAll(fd int, size int64) ([]byte, error) {
	b := make([]byte, size)
	for done := 0; done < len(b); {
		n, err := unix.Pread(fd, b[done:], int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return b[:done], nil
		}
		done += n
	}
	return b, nil
}
