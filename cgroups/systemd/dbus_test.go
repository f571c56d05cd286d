package systemd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// server plays the other side of a connection.
type server struct {
	net.Conn
	t     *testing.T
	order binary.ByteOrder
}

// serve listens like a manager's private socket, and runs script for the one connection.
func serve(t *testing.T, script func(s *server)) *Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		script(&server{c, t, binary.LittleEndian})
	}()
	t.Cleanup(func() { l.Close(); <-done })
	w, err := dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return &Conn{wire: w}
}

func (s *server) auth() {
	want := "\x00AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n"
	b := make([]byte, len(want))
	if _, err := io.ReadFull(s, b); err != nil || string(b) != want {
		s.t.Errorf("authentication: %q, %v", b, err)
	}
	_, _ = s.Write([]byte("DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n"))
}

// call reads a call and returns its serial, the message and the body.
func (s *server) call() (serial uint32, m *message, body []byte) {
	head := make([]byte, 16)
	if _, err := io.ReadFull(s, head); err != nil {
		return 0, &message{}, nil
	}
	bodyLen, fields := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
	rest := make([]byte, (fields+7)&^7+bodyLen)
	if _, err := io.ReadFull(s, rest); err != nil {
		s.t.Error(err)
	}
	m, n, err := parse(append(head, rest...))
	if err != nil || m == nil || n != 16+len(rest) {
		s.t.Errorf("a call that cannot be parsed: %v", err)
	}
	return binary.LittleEndian.Uint32(head[8:]), m, m.body
}

// send sends a message, in the server's byte order. fields has the header fields that are strings
// (code → value).
func (s *server) send(kind byte, reply uint32, fields map[byte]string, body []byte) {
	mark := byte('l')
	if s.order == binary.BigEndian {
		mark = 'B'
	}
	b := []byte{mark, kind, 0, 1}
	word := func(v uint32) []byte { w := make([]byte, 4); s.order.PutUint32(w, v); return w }
	b = append(append(append(b, word(uint32(len(body)))...), word(99)...), 0, 0, 0, 0)
	pad := func() {
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
	}
	if reply != 0 {
		b = append(append(b, 5, 1, 'u', 0), word(reply)...)
	}
	for code, v := range fields {
		pad()
		b = append(append(append(append(b, code, 1, 's', 0), word(uint32(len(v)))...), v...), 0)
	}
	s.order.PutUint32(b[12:], uint32(len(b)-16))
	pad()
	_, _ = s.Write(append(b, body...))
}

func (s *server) strings(list ...string) []byte {
	var b []byte
	for _, v := range list {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		w := make([]byte, 4)
		s.order.PutUint32(w, uint32(len(v)))
		b = append(append(append(b, w...), v...), 0)
	}
	return b
}

func (s *server) jobRemoved(job, unit, result string) {
	body := append(make([]byte, 4), s.strings(job, unit, result)...)
	s.send(signal, 0, map[byte]string{3: "JobRemoved", 2: managerIface}, body)
}

func TestStartTransientUnit(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		c := serve(t, func(s *server) {
			s.order = order
			s.auth()
			serial, m, body := s.call()
			if m.member != "StartTransientUnit" {
				t.Errorf("called %s", m.member)
			}
			// "a.scope", "replace", [("Delegate", true), ("PIDs", [7])], [] in the layout that the
			// specification prescribes.
			want := "\x07\x00\x00\x00a.scope\x00\x07\x00\x00\x00replace\x00\x30\x00\x00\x00\x00\x00\x00\x00" +
				"\x08\x00\x00\x00Delegate\x00\x01b\x00\x01\x00\x00\x00\x00\x00\x00\x00" +
				"\x04\x00\x00\x00PIDs\x00\x02au\x00\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00" +
				"\x00\x00\x00\x00"
			if got := string(body); strings.TrimRight(got, "\x00") != strings.TrimRight(want, "\x00") {
				t.Errorf("body:\n%q\nwant\n%q", got, want)
			}
			// A signal about another job comes first, then one before the answer, then the answer
			// in two pieces.
			s.jobRemoved("/job/1", "x.scope", "failed")
			s.jobRemoved("/job/2", "a.scope", "done")
			s.send(methodReturn, serial, nil, s.strings("/job/2"))
		})
		if err := c.StartTransientUnit("a.scope", []Property{{"Delegate", true}, {"PIDs", []uint32{7}}}); err != nil {
			t.Error(err)
		}
	}
}

func TestFailedUnitIsReset(t *testing.T) {
	var called []string
	done := make(chan struct{})
	c := serve(t, func(s *server) {
		defer close(done)
		s.auth()
		for i := range 3 {
			serial, m, _ := s.call()
			called = append(called, m.member)
			switch i {
			case 0:
				s.send(errorReply, serial, map[byte]string{4: service + ".UnitExists"}, s.strings("it exists"))
			case 1:
				s.send(methodReturn, serial, nil, nil)
			case 2:
				s.send(methodReturn, serial, nil, s.strings("/job/3"))
				s.jobRemoved("/job/3", "a.scope", "done")
			}
		}
	})
	if err := c.StartTransientUnit("a.scope", nil); err != nil {
		t.Error(err)
	}
	<-done
	if got := strings.Join(called, " "); got != "StartTransientUnit ResetFailedUnit StartTransientUnit" {
		t.Error(got)
	}
}

func TestErrors(t *testing.T) {
	for want, script := range map[string]func(s *server){
		"no (org.freedesktop.DBus.Error.AccessDenied)": func(s *server) {
			s.auth()
			serial, _, _ := s.call()
			s.send(errorReply, serial, map[byte]string{4: "org.freedesktop.DBus.Error.AccessDenied"}, s.strings("no"))
		},
		"connection closed":       func(s *server) { s.auth(); s.call() },
		"malformed D-Bus message": func(s *server) { s.auth(); s.call(); _, _ = s.Write(bytes.Repeat([]byte("x"), 32)) },
		`the job for a.scope ended as "timeout": it took too long`: func(s *server) {
			s.auth()
			serial, _, _ := s.call()
			s.send(methodReturn, serial, nil, s.strings("/job/1"))
			s.jobRemoved("/job/1", "a.scope", "timeout")
			serial, _, _ = s.call() // the call is ResetFailedUnit
			s.send(methodReturn, serial, nil, nil)
		},
	} {
		err := serve(t, script).StopUnit("a.scope")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c := serve(t, func(s *server) {
		s.auth()
		serial, _, _ := s.call()
		s.send(errorReply, serial, map[byte]string{4: service + ".NoSuchUnit"}, nil)
	})
	if err := c.StopUnit("a.scope"); err != nil {
		t.Errorf("stop what is not there: %v", err)
	}
	if _, err := dial(filepath.Join(t.TempDir(), "none")); !errors.Is(err, io.EOF) && err == nil {
		t.Error("connected to nothing")
	}
}

func TestAuthenticationRefused(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = c.Write([]byte("REJECTED EXTERNAL\r\n"))
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	if _, err := dial(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "REJECTED") {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	for s, want := range map[string]int{"252": 252, "v245.4-1.fc32": 245, "252.38-1~deb12u1": 252, `"v246"`: 246} {
		if got, err := parseVersion(s); got != want || err != nil {
			t.Errorf("%s: %d, %v", s, got, err)
		}
	}
	if _, err := parseVersion("devel"); err == nil {
		t.Error("a version without a number")
	}
}

func TestBusPath(t *testing.T) {
	for address, want := range map[string]string{
		"": "/other", "unix:path=/a": "/a", "tcp:host=x;unix:guid=1,path=/b,x=y": "/b", "unix:abstract=/c": "/other",
	} {
		if got := busPath(address, "/other"); got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(callMessage(1, service, managerPath, managerIface, "Get", "", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, n, err := parse(b); err == nil && m != nil && n > len(b) {
			t.Fatal("longer than what came")
		}
	})
}
