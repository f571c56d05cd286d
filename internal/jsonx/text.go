package jsonx

import "encoding"

// Text reads a string into a type that has a text form, such as time.Time. null leaves u unchanged.
func (d *Decoder) Text(u encoding.TextUnmarshaler) {
	if d.Null() {
		return
	}
	at := d.pos
	s := d.String()
	if d.err != nil {
		return
	}
	if err := u.UnmarshalText([]byte(s)); err != nil {
		d.fail(at, err.Error())
	}
}

// Text writes the text form of m as a string, or null if it has none.
func (e *Encoder) Text(m encoding.TextMarshaler) {
	text, err := m.MarshalText()
	if err != nil {
		e.Null()
		return
	}
	e.String(string(text))
}
