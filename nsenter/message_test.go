package nsenter

import (
	"os"
	"regexp"
	"testing"
)

// The kinds of messages, and what a message consists of, are the same in stage/stage.h.
func TestMessagesAreTheStages(t *testing.T) {
	header, err := os.ReadFile("stage/stage.h")
	if err != nil {
		t.Fatal(err)
	}
	kinds := regexp.MustCompile(`(?s)enum message_kind \{(.*?)\}`).FindSubmatch(header)
	if kinds == nil {
		t.Fatal("stage.h has no enum message_kind")
	}
	names := regexp.MustCompile(`MSG_\w+`).FindAllString(string(kinds[1]), -1)
	want := map[string]Kind{"MSG_ERROR": Error, "MSG_FORKED": Forked, "MSG_PHASE": Phase, "MSG_PROCEED": Proceed, "MSG_READY": Ready, "MSG_TRACE": Trace, "MSG_OPENED": Opened}
	if len(names) != len(want) {
		t.Errorf("stage.h has the kinds %q", names)
	}
	for i, name := range names { // MSG_ERROR is 1
		if want[name] != Kind(i+1) {
			t.Errorf("%s is %d in stage.h, %d here", name, i+1, want[name])
		}
	}
	fields := `struct message \{\s*uint32_t kind, step;\s*int32_t err;\s*uint32_t pad;\s*int64_t value, end;\s*char call\[24\];\s*\}`
	if !regexp.MustCompile(fields).Match(header) {
		t.Error("stage.h has another struct message than decode reads")
	}
}
