package config

import (
	"fmt"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParseIDMap(t *testing.T) {
	namespace := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: 1, HostID: 2, Size: 1000}, {ContainerID: 1001, HostID: 5000, Size: 10}}
	for text, want := range map[string]string{
		"uids=0-1-10#10-11-10;gids=0-100-10": "[{0 1 10} {10 11 10}] [{0 100 10}] <nil>",
		"gids=0-0-1;uids=@1-3-10":            "[{1 4 10}] [{0 0 1}] <nil>", // the example of crun(1)
		"uids=@0-0-1#5-6-7;gids=@0-1000-3":   "[{0 0 1} {5 6 7}] [{0 1001 1} {1 5000 2}] <nil>",
		"uids=0-0-1":                         `[] [] "uids=0-0-1" needs both uids=… and gids=…`,
		"":                                   `[] [] "" is neither uids=… nor gids=…`,
		"uids=0-0-1;gids=0-0-1;x=1":          `[] [] "x=1" is neither uids=… nor gids=…`,
		"uids=0-0;gids=0-0-1":                `[] [] "0-0" is not of the form ID-ID-SIZE`,
		"uids=0-0-1#;gids=0-0-1":             `[] [] "" is not of the form ID-ID-SIZE`,
		"uids=0-0-0;gids=0-0-1":              `[] [] "0-0-0" is empty`,
		"uids=0-x-1;gids=0-0-1":              `[] [] "0-x-1": "x" is not a 32-bit number`,
		"uids=0-4294967296-1;gids=0-0-1":     `[] [] "0-4294967296-1": "4294967296" is not a 32-bit number`,
		"uids=@0-1000-30;gids=0-0-1":         `[] [] "@0-1000-30": the container's user namespace does not map the id 1011`,
		"uids=@0-4000000000-1;gids=0-0-1":    `[] [] "@0-4000000000-1": the container's user namespace does not map the id 4000000000`,
	} {
		u, g, err := ParseIDMap(text, namespace, namespace)
		if have := fmt.Sprint(u, g, err); have != want {
			t.Errorf("%q: %s\nnot %s", text, have, want)
		}
	}
	if _, _, err := ParseIDMap("uids=@0-0-1;gids=0-0-1", nil, nil); err == nil {
		t.Error("relative to nothing")
	}
}
