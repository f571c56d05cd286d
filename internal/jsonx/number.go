package jsonx

import (
	"math"
	"strconv"
)

// Int reads an integer that fits a signed type with that number of bits. null is 0. A fraction or
// an exponent is an error, even if the value is a whole number.
func (d *Decoder) Int(bits int) int64 {
	top := uint64(1)<<(bits-1) - 1
	neg, abs, end := d.integer()
	switch {
	case end < 0:
		return 0
	case neg && abs <= top+1:
		d.pos = end
		return -int64(abs)
	case !neg && abs <= top:
		d.pos = end
		return int64(abs)
	}
	d.unexpected("an integer from " + strconv.FormatInt(-int64(top)-1, 10) + " to " + strconv.FormatUint(top, 10))
	return 0
}

// Uint reads an integer that fits an unsigned type with that number of bits. null is 0.
func (d *Decoder) Uint(bits int) uint64 {
	top := uint64(math.MaxUint64) >> (64 - bits)
	neg, abs, end := d.integer()
	switch {
	case end < 0:
		return 0
	case !neg && abs <= top:
		d.pos = end
		return abs
	}
	d.unexpected("an integer from 0 to " + strconv.FormatUint(top, 10))
	return 0
}

// integer returns the whole number that comes next, and the index of its end, without moving there.
// For null, which it reads, and after an error that index is -1. A number that is too long for 64
// bits becomes minus math.MaxUint64, which fits no type.
func (d *Decoder) integer() (neg bool, abs uint64, end int) {
	c := d.peek()
	if c != '-' && (c < '0' || c > '9') {
		if !d.Null() {
			d.unexpected("an integer")
		}
		return false, 0, -1
	}
	end, whole := d.number(d.pos)
	if end < 0 {
		return false, 0, -1
	}
	if !whole {
		d.unexpected("an integer")
		return false, 0, -1
	}
	i := d.pos
	if neg = c == '-'; neg {
		i++
	}
	for ; i < end; i++ {
		digit := uint64(d.data[i] - '0')
		if abs > (math.MaxUint64-digit)/10 {
			return true, math.MaxUint64, end
		}
		abs = abs*10 + digit
	}
	return neg, abs, end
}

// Float reads a number; null is 0. One that is too large for a float64 is refused.
func (d *Decoder) Float() float64 {
	c := d.peek()
	if c != '-' && (c < '0' || c > '9') {
		if !d.Null() {
			d.unexpected("a number")
		}
		return 0
	}
	end, _ := d.number(d.pos)
	if end < 0 {
		return 0
	}
	f, err := strconv.ParseFloat(d.data[d.pos:end], 64)
	if err != nil {
		d.unexpected("a number of at most 1.8e308")
		return 0
	}
	d.pos = end
	return f
}

// number returns the index of the end of the number at i, and whether it is written as an integer.
// After an error the index is -1.
func (d *Decoder) number(i int) (end int, whole bool) {
	start := i
	if d.at(i) == '-' {
		i++
	}
	digits := d.digits(i)
	if digits == i || d.at(i) == '0' && digits > i+1 {
		return d.badNumber(start)
	}
	i, whole = digits, true
	if d.at(i) == '.' {
		whole = false
		if digits = d.digits(i + 1); digits == i+1 {
			return d.badNumber(start)
		}
		i = digits
	}
	if c := d.at(i); c == 'e' || c == 'E' {
		whole = false
		i++
		if c := d.at(i); c == '+' || c == '-' {
			i++
		}
		if digits = d.digits(i); digits == i {
			return d.badNumber(start)
		}
		i = digits
	}
	return i, whole
}

func (d *Decoder) badNumber(start int) (int, bool) {
	d.pos = start
	d.unexpected("a number as JSON writes them")
	return -1, false
}

// at returns the byte at i, 0 past the end.
func (d *Decoder) at(i int) byte {
	if i < len(d.data) {
		return d.data[i]
	}
	return 0
}

// digits returns the index of the end of the digits that begin at i.
func (d *Decoder) digits(i int) int {
	for i < len(d.data) && '0' <= d.data[i] && d.data[i] <= '9' {
		i++
	}
	return i
}
