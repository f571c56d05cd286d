package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// recorder stands in for a test, and records the outcome of a script that must fail.
type recorder struct {
	failed bool
	log    strings.Builder
}

type stop struct{}

func (r *recorder) Skip(...any)                             { panic(stop{}) }
func (r *recorder) Fatal(args ...any)                       { r.Log(args...); r.FailNow() }
func (r *recorder) Parallel()                               {}
func (r *recorder) FailNow()                                { r.failed = true; panic(stop{}) }
func (r *recorder) Verbose() bool                           { return false }
func (r *recorder) Run(_ string, script func(testscript.T)) { script(r) }
func (r *recorder) Log(args ...any) {
	for _, a := range args {
		if text, is := a.(string); is {
			r.log.WriteString(text)
		}
	}
}

// TestOnlyDavitMayBeNegated: "!" is an error before a command of the scripts that ignores it,
// because such a line would prove nothing. Before davit it is allowed.
func TestOnlyDavitMayBeNegated(t *testing.T) {
	called := map[string]bool{}
	note := func(name string) func(*testscript.TestScript, bool, []string) {
		return func(*testscript.TestScript, bool, []string) { called[name] = true }
	}
	for _, name := range []string{"davit", "status", "nothing", "state"} {
		file := filepath.Join(t.TempDir(), name+".txtar")
		if err := os.WriteFile(file, []byte("! "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &recorder{}
		func() {
			defer func() {
				if p := recover(); p != nil && p != (stop{}) {
					panic(p)
				}
			}()
			testscript.RunT(r, testscript.Params{Files: []string{file},
				Cmds: affirmative(map[string]func(*testscript.TestScript, bool, []string){name: note(name)})})
		}()
		if refused := name != "davit"; r.failed != refused || called[name] == refused {
			t.Errorf("! %s: failed %t, called %t: %s", name, r.failed, called[name], r.log.String())
		}
	}
}
