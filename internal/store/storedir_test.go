package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// EmptyDir removes everything that a container can have left in its state directory, however deep
// it is and whatever its name is. It follows no links.
func TestEmptyDir(t *testing.T) {
	top := t.TempDir()
	other := filepath.Join(t.TempDir(), "other")
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(os.WriteFile(other, nil, 0o600))
	try(os.Symlink(filepath.Dir(other), top+"/link"))
	for _, name := range []string{"/.moved-1/full/a", "/.moved-2", "/wide/.moved-3/b/c"} {
		try(os.MkdirAll(top+name, 0o700))
	}
	try(os.WriteFile(top+"/.moved-4", nil, 0o600))
	// This is deeper than a path can be long, and needs more descriptors than there are.
	at, err := unix.Open(top+"/wide", unix.O_PATH|unix.O_DIRECTORY, 0)
	try(err)
	name := strings.Repeat("d", 255)
	for range 1500 {
		try(unix.Mkdirat(at, name, 0o700))
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY, 0)
		try(err)
		unix.Close(at)
		at = next
	}
	unix.Close(at)
	dir, err := unix.Open(top, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	try(err)
	defer unix.Close(dir)
	var old unix.Rlimit
	try(unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	try(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: old.Max}))
	err = emptyDir(dir)
	try(unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	try(err)
	if names, err := namesIn(dir); err != nil || len(names) > 0 {
		t.Errorf("left: %q, %v", names, err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}
