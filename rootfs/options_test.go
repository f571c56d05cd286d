package rootfs

import (
	"slices"
	"testing"

	"davit/internal/config"
)

// features lists to engines exactly those options that parse knows.
func TestMountOptions(t *testing.T) {
	names := config.MountOptions()
	if !slices.IsSorted(names) {
		t.Error("not in order")
	}
	for _, name := range names {
		o, err := parse([]string{name})
		if err != nil || o.data != "" {
			t.Errorf("%s: data %q, %v: it would go to the filesystem", name, o.data, err)
		}
	}
	for _, name := range []string{"size=1", "rdefaults", "rbogus", "mode=755"} {
		if o, _ := parse([]string{name}); o.data != name {
			t.Errorf("%s: davit takes it for its own", name)
		}
	}
}
