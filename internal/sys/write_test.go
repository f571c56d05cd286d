package sys

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestReplace: if a link has the temporary file's name, it is not followed. The old content is
// gone, and no temporary file is left.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"/precious": "precious", "/f": "the old contents"} {
		if err := os.WriteFile(dir+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("precious", dir+"/f.new"); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := Replace(fd, "f.new", "f", []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := contents(t, dir+"/f"); text != "new" {
		t.Errorf("the file has %q", text)
	}
	if text := contents(t, dir+"/precious"); text != "precious" {
		t.Errorf("the link was followed: %q", text)
	}
	if _, err := os.Lstat(dir + "/f.new"); !os.IsNotExist(err) {
		t.Errorf("the file aside: %v", err)
	}
}

// TestReplaceFails: the file stays as it was, no temporary file is left, and the error is the
// kernel's.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/f", 0o700); err != nil { // no file can be renamed over a directory
		t.Fatal(err)
	}
	if err := Replace(unix.AT_FDCWD, dir+"/f.new", dir+"/f", []byte("new"), 0o600); !errors.Is(err, unix.EISDIR) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(dir + "/f.new"); !os.IsNotExist(err) {
		t.Errorf("the file aside: %v", err)
	}
	if err := Replace(unix.AT_FDCWD, dir+"/none/f.new", dir+"/none/f", nil, 0o600); !errors.Is(err, unix.ENOENT) {
		t.Errorf("error %v", err)
	}
}
