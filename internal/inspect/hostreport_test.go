package inspect

import "testing"

// The names are the properties of an object of `davit check --format json`: no two are the same.
func TestHostFactsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range CheckHost() {
		if seen[f.Name] {
			t.Errorf("two facts are called %q", f.Name)
		}
		seen[f.Name] = true
	}
}
