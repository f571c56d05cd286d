package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"davit/internal/host"
	"davit/internal/jsonx"

	"golang.org/x/sys/unix"
)

// TestStickyRoot: a user's default root is not removed by programs that clean $XDG_RUNTIME_DIR.
// davit does not change another root.
func TestStickyRoot(t *testing.T) {
	runtime := t.TempDir()
	for root, want := range map[string]os.FileMode{
		filepath.Join(runtime, "davit"):    os.ModeDir | os.ModeSticky | 0o700,
		filepath.Join(t.TempDir(), "root"): os.ModeDir | 0o700,
	} {
		dir, err := Store{Root: root, Sticky: filepath.Dir(root) == runtime}.MakeDir("c1")
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(dir)
		if st, err := os.Stat(root); err != nil || st.Mode() != want {
			t.Errorf("%s: %s, not %s (%v)", root, st.Mode(), want, err)
		}
	}
}

// TestAnotherBoot: after a reboot, another process may have the pid of a container's process, and
// its pidfd the same inode. If the state still exists, the start time tells the processes apart.
func TestAnotherBoot(t *testing.T) {
	pid := os.Getpid()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	c := &Entry{}
	c.Remember(pid, pidfd, host.Host(), "/var/lib/davit/c1")
	if c.Pidfd, err = c.findProcess(); c.Pidfd.Int() < 0 || err != nil {
		t.Errorf("the process is not found: %v", err)
	}
	c.Close()
	c.StartTime--
	if c.Pidfd, err = c.findProcess(); c.Pidfd.Int() >= 0 || err != nil {
		t.Error("another boot's process is taken for the container's")
	}
	c.Close()
	short := &State{}
	short.Remember(pid, pidfd, host.Host(), "/run/davit/c1")
	if short.Inode != 0 && short.StartTime != 0 {
		t.Error("the start time is read for a state that does not outlive the boot")
	}
}

// TestStateHasAllFields: if a field was added to State without go generate, the generated code
// would lose that field silently.
func TestStateHasAllFields(t *testing.T) {
	var want State
	fill(t, reflect.ValueOf(&want).Elem())
	var e jsonx.Encoder
	encodeState(&e, &want)
	var written, read State
	if err := json.Unmarshal(e.Bytes(), &written); err != nil || !reflect.DeepEqual(written, want) {
		t.Errorf("written: %+v (%v), not %+v: run go generate", written, err, want)
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	d := jsonx.NewDecoder("state", data)
	decodeState(&d, &read)
	if err := d.End(); err != nil || !reflect.DeepEqual(read, want) {
		t.Errorf("read: %+v (%v), not %+v: run go generate", read, err, want)
	}
}

// fill gives each field a value other than its zero value.
func fill(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(8)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"key": "value"}))
	default:
		t.Fatalf("fill a %s", v.Type())
	}
}
