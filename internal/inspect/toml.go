package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// setting is one key of a TOML file with its full name: table and key. davit only needs values that
// are strings, other scalars, and lists of strings.
type setting struct {
	name  []string
	value string   // the content of a string; anything else as it stands in the file
	list  []string // the scalars of an array
	line  int
}

func (s *setting) is(name ...string) bool { return slices.Equal(s.name, name) }

func equal(a, b []string) bool { return slices.Equal(a, b) }

// parseTOML returns all settings of a file in their order. Settings of inline tables have names
// like those of other tables. In an array of tables the settings of each table have the name of the
// array.
func parseTOML(text string) ([]setting, error) {
	// The parser below knows lines, but it accepts a key that comes twice.
	var whole map[string]any
	if err := toml.Unmarshal([]byte(text), &whole); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, _ := at.Position()
			return nil, fmt.Errorf("line %d: %s", line, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return nil, err
	}
	r := settingReader{}
	r.parser.Reset([]byte(text))
	var table []string
	for r.parser.NextExpression() {
		switch node := r.parser.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, _ = r.key(node, nil)
		case unstable.KeyValue:
			r.add(node, table)
		}
	}
	return r.settings, r.parser.Error()
}

// settingReader collects settings from the library's syntax tree.
type settingReader struct {
	parser   unstable.Parser
	settings []setting
}

// key returns the full name of a node, which begins with prefix, and its line.
func (r *settingReader) key(node *unstable.Node, prefix []string) (name []string, line int) {
	name = slices.Clone(prefix)
	for part := node.Key(); part.Next(); {
		if line == 0 {
			line = r.parser.Shape(part.Node().Raw).Start.Line
		}
		name = append(name, string(part.Node().Data))
	}
	return name, line
}

// add adds the setting of a node, or the settings of its inline table.
func (r *settingReader) add(node *unstable.Node, table []string) {
	name, line := r.key(node, table)
	value := node.Value()
	switch value.Kind {
	case unstable.InlineTable:
		for entries := value.Children(); entries.Next(); {
			r.add(entries.Node(), name)
		}
	case unstable.Array:
		r.settings = append(r.settings, setting{name: name, list: scalars(value), line: line})
	default:
		r.settings = append(r.settings, setting{name: name, value: string(value.Data), line: line})
	}
}

// scalars returns the scalars of an array, without those of nested arrays.
func scalars(array *unstable.Node) []string {
	var list []string
	for items := array.Children(); items.Next(); {
		switch item := items.Node(); item.Kind {
		case unstable.Array, unstable.InlineTable, unstable.Comment:
		default:
			list = append(list, string(item.Data))
		}
	}
	return list
}
