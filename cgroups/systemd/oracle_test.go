package systemd

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/godbus/dbus/v5"
)

// A D-Bus library is the oracle for this package's encoder and parsers. docs/design.md says why
// davit does not link it.

var oracleProperties = []Property{
	{"Description", "ä container"}, {"Slice", ""}, {"Delegate", true}, {"CPUWeight", uint64(1 << 63)}, {"PIDs", []uint32{1, 1 << 31}},
	{"A", byte(7)}, {"B", int16(-7)}, {"C", uint16(7)}, {"D", int32(-7)}, {"E", uint32(7)}, {"F", int64(-7)}, {"G", 1.5},
	{"Path", Path("/a/b")}, {"Wants", []string{"a", "", "b"}}, {"None", []string{}}, {"AllowedCPUs", []byte{1, 2, 3}},
	{"H", []bool{true, false}}, {"I", []int32{-1}}, {"J", []int64{-1}}, {"K", []uint64{}}, {"L", []float64{0.5}},
	{"DeviceAllow", []Pair{{"/dev/null", "rwm"}, {"char-pts", "rw"}}}, {"Last", "x"},
}

// TestCallsAreReadByOracle: the oracle reads the same values that davit has sent, for every type of
// value.
func TestCallsAreReadByOracle(t *testing.T) {
	body := &encoder{}
	body.string("a.scope")
	body.string("replace")
	body.properties(oracleProperties)
	body.array(8, func() {})
	sent := callMessage(5, service, managerPath, managerIface, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
	m, err := dbus.DecodeMessage(bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.IsValid(); err != nil {
		t.Error(err)
	}
	for field, want := range map[dbus.HeaderField]any{
		dbus.FieldPath: dbus.ObjectPath(managerPath), dbus.FieldInterface: managerIface, dbus.FieldMember: "StartTransientUnit", dbus.FieldDestination: service,
	} {
		if got := m.Headers[field].Value(); got != want {
			t.Errorf("header %d is %v, want %v", field, got, want)
		}
	}
	var got struct {
		Name, Mode string
		Properties []struct {
			Name  string
			Value dbus.Variant
		}
		Units []struct {
			Name       string
			Properties []struct {
				Name  string
				Value dbus.Variant
			}
		}
	}
	if err := dbus.Store(m.Body, &got.Name, &got.Mode, &got.Properties, &got.Units); err != nil {
		t.Fatal(err)
	}
	if got.Name != "a.scope" || got.Mode != "replace" || len(got.Properties) != len(oracleProperties) || len(got.Units) != 0 {
		t.Fatalf("%+v", got)
	}
	for i, p := range got.Properties {
		want := oracleProperties[i]
		if sig, _ := signatureOf(want.Value); p.Name != want.Name || p.Value.Signature().String() != sig ||
			!reflect.DeepEqual(p.Value.Value(), oracleForm(want.Value)) {
			t.Errorf("%s is %v, want %v", p.Name, p.Value, want)
		}
	}
}

// oracleForm returns a value in the form in which the oracle returns it.
func oracleForm(v any) any {
	switch v := v.(type) {
	case Path:
		return dbus.ObjectPath(v)
	case []Pair:
		list := [][]any{}
		for _, p := range v {
			list = append(list, []any{p[0], p[1]})
		}
		return list
	}
	return v
}

// TestAnswersOfOracleAreRead: davit reads messages of the oracle in either byte order.
func TestAnswersOfOracleAreRead(t *testing.T) {
	for _, order := range []byte{'l', 'B'} {
		for _, c := range []struct {
			message dbus.Message
			want    message
			text    string
		}{
			{dbus.Message{Type: dbus.TypeMethodReply, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(uint32(9)), dbus.FieldSender: dbus.MakeVariant(":1.2")},
				Body: []any{"/job/1"}}, message{kind: methodReturn, reply: 9}, "/job/1"},
			{dbus.Message{Type: dbus.TypeError, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(uint32(1 << 31)), dbus.FieldErrorName: dbus.MakeVariant("a.b.C")},
				Body: []any{"no"}}, message{kind: errorReply, reply: 1 << 31, name: "a.b.C"}, "no"},
			{dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(managerPath)), dbus.FieldInterface: dbus.MakeVariant(managerIface),
				dbus.FieldMember: dbus.MakeVariant("JobRemoved")},
				Body: []any{"done"}}, message{kind: signal, member: "JobRemoved"}, "done"},
		} {
			c.message.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(c.message.Body...))
			var b bytes.Buffer
			if err := c.message.EncodeTo(&b, oracleOrder(order)); err != nil {
				t.Fatal(err)
			}
			m, n, err := parse(b.Bytes())
			if err != nil || m == nil || n != b.Len() {
				t.Fatalf("%q: %v, %d of %d bytes, %v", order, m, n, b.Len(), err)
			}
			d := decoder{b: m.body, order: m.order}
			if m.kind != c.want.kind || m.reply != c.want.reply || m.member != c.want.member || m.name != c.want.name || d.text() != c.text || d.failed {
				t.Errorf("%q: %+v, want %+v", order, m, c.want)
			}
		}
	}
}

// TestValuesAreReadAsByOracle: davit and the oracle read GVariant's text format alike.
func TestValuesAreReadAsByOracle(t *testing.T) {
	for _, text := range []string{
		"true", "5", "-5", "0x10", "1.5", "1e3", "uint64 18446744073709551615", "uint32 7", "int64 -7", "byte 255", "int16 -3",
		"'a b'", `"it's"`, `'it\'s\n'`, "['a', 'b']", "@as []", "[1,2]", "@au [1]", "[true]", "objectpath '/a'",
	} {
		want, err := dbus.ParseVariant(text, dbus.Signature{})
		if err != nil {
			t.Errorf("the oracle does not read %s: %v", text, err)
			continue
		}
		got, err := ParseValue(text)
		if err != nil || !reflect.DeepEqual(oracleForm(got), want.Value()) {
			t.Errorf("%s is %#v, %v; the oracle reads %#v", text, got, err, want.Value())
		}
	}
}

func oracleOrder(mark byte) binary.ByteOrder {
	if mark == 'B' {
		return binary.BigEndian
	}
	return binary.LittleEndian
}
