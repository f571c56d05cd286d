package show

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "",
		"/srv/a b":             "/srv/a b",
		"größe 大 😀":            "größe 大 😀",
		`C:\n`:                 `C:\n`,
		"a\nb\r\tc":            `a\nb\r\tc`,
		"\x1b[2J\x7f\x00":      `\x1b[2J\x7f\x00`,
		"\u009b2J\u0085":       `\u009b2J\u0085`,
		"a\u202eb\u2066c":      `a\u202eb\u2066c`,
		"\u200b\u00ad\ufeff":   `\u200b\u00ad\ufeff`,
		"\u2028\u2029\u00a0":   `\u2028\u2029\u00a0`,
		"\U000e0041\U0010ffff": `\U000e0041\U0010ffff`,
		"\xff\xc3":             `\xff\xc3`,
		"\ufffd":               "\ufffd", // as somebody wrote it
	} {
		if have := Line(in); have != want {
			t.Errorf("%q: %s, not %s", in, have, want)
		}
		if have := Plain(in); have != (in == want) {
			t.Errorf("%q: Plain: %v", in, have)
		}
	}
}

// All line breaks in the output are davit's own, wherever an error has line breaks.
func TestError(t *testing.T) {
	bad := errors.New("open /a\nb")
	for _, test := range []struct {
		err  error
		want string
	}{
		{bad, `open /a\nb`},
		{fmt.Errorf("create \n: %w", bad), `create \n: open /a\nb`},
		{errors.Join(bad, errors.New("close: \x1b")), "open /a\\nb\nclose: \\x1b"},
		{fmt.Errorf("delete c\n: %w", errors.Join(bad, bad)), "delete c\\n: open /a\\nb\nopen /a\\nb"},
		{fmt.Errorf("%w\n: %w.", bad, errors.Join(bad, bad)), `open /a\nb\n: open /a\nb` + "\n" + `open /a\nb.`},
		{lines{"x: a\nb", "  hint: do"}, "x: a\\nb\n  hint: do"},
		{fmt.Errorf("run c: %w", lines{"x\n", "y"}), "run c: x\\n\ny"},
		{fmt.Errorf("%s", errors.Join(bad, bad)), `open /a\nb\nopen /a\nb`}, // only its text is left
	} {
		if have := Error(test.err); have != test.want {
			t.Errorf("%q: %q, not %q", test.err, have, test.want)
		}
	}
}

// lines is an error of several lines, such as all problems of a config.
type lines []string

func (l lines) Error() string   { return strings.Join(l, "\n") }
func (l lines) Lines() []string { return l }
