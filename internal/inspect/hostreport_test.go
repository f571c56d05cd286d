package inspect

import "testing"

// The names are properties of an object in `davit check --format json`. So no two may be equal.
func TestHostFactsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range CheckHost() {
		if seen[f.Name] {
			t.Errorf("two facts are called %q", f.Name)
		}
		seen[f.Name] = true
	}
}
