package sys

import (
	"reflect"
	"testing"
)

func TestParseMounts(t *testing.T) {
	text := `21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
34 21 0:30 /sub /a\040b\134c ro,nosuid master:2 propagate_from:1 - tmpfs  rw,size=4k
35 21 0:31 / /a\011\012\043 rw - fuse.x none rw
`
	want := []Mount{
		{ID: 21, Device: "254:0", Root: "/", Point: "/", Options: "rw,relatime", Type: "ext4"},
		{ID: 34, Device: "0:30", Root: "/sub", Point: `/a b\c`, Options: "ro,nosuid", Type: "tmpfs"},
		{ID: 35, Device: "0:31", Root: "/", Point: "/a\t\n#", Options: "rw", Type: "fuse.x"},
	}
	if got, err := parseMounts(text); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseMounts: %+v, %v, want %+v", got, err, want)
	}
	for _, broken := range []string{"\n", "21 1 254:0 / / rw\n", "x 1 254:0 / / rw - ext4 /dev/vda rw\n"} {
		if got, err := parseMounts(broken); err == nil {
			t.Errorf("parseMounts(%q): %+v, want an error", broken, got)
		}
	}
}

func TestMountsOfSelf(t *testing.T) {
	mounts, err := Mounts("self")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if m.Point == "/proc" && m.Type == "proc" && m.ID != 0 && m.Options != "" {
			return
		}
	}
	t.Errorf("no procfs at /proc among %+v", mounts)
}
