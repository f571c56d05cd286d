package jsonx

// Skip reads a value of any kind and discards it. The value must be well-formed.
func (d *Decoder) Skip() {
	switch d.peek() {
	case '{':
		if d.Object() {
			for d.Next() {
				d.Skip()
			}
		}
	case '[':
		if d.Array() {
			for d.More() {
				d.Skip()
			}
		}
	case '"':
		d.text()
	case 't', 'f', 'n':
		if !d.literal("true") && !d.literal("false") && !d.Null() {
			d.unexpected("a value")
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if end, _ := d.number(d.pos); end >= 0 {
			d.pos = end
		}
	default:
		d.unexpected("a value")
	}
}

// Raw is a value of any kind as JSON text.
type Raw string

// Raw reads a value of any kind, and returns its text.
func (d *Decoder) Raw() Raw {
	d.peek()
	start := d.pos
	if d.Skip(); d.err != nil {
		return ""
	}
	return Raw(d.data[start:d.pos])
}

// maxCount is the largest number that Count returns: a file full of commas must not make the caller
// allocate a hundred times the file's size.
const maxCount = 512

// Count returns the number of elements of an array that was just begun, at most maxCount. It is
// meant for the capacity of a slice. For a malformed array it may be wrong.
func (d *Decoder) Count() int {
	if d.peek() == ']' {
		return 0
	}
	n, open := 1, 0
	for i := d.pos; i < len(d.data) && n < maxCount; i++ {
		switch d.data[i] {
		case '"':
			for i++; i < len(d.data) && d.data[i] != '"'; i++ {
				if d.data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			open++
		case '}', ']':
			if open--; open < 0 {
				return n
			}
		case ',':
			if open == 0 {
				n++
			}
		}
	}
	return n
}
