package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"davit/internal/jsonx"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// everything returns a spec in which every field that concerns Linux has a value.
func everything(t *testing.T) *specs.Spec {
	t.Helper()
	s := new(specs.Spec)
	fill(reflect.ValueOf(s).Elem(), new(int64))
	return s
}

// fill gives different values to v and to everything in it.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, k := range []string{"b", "a.c"} {
			x := reflect.New(v.Type().Elem()).Elem()
			fill(x, n)
			v.SetMapIndex(reflect.ValueOf(k), x)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			platforms := v.Type().Field(i).Tag.Get("platform")
			if platforms == "" || strings.Contains(platforms, "linux") {
				fill(v.Field(i), n)
			}
		}
	case reflect.String:
		v.SetString("é" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(-*n)
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		panic("no value for a " + v.Kind().String())
	}
}

func TestEveryField(t *testing.T) {
	want := everything(t)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded differently:\n%s\nwant\n%s", dump(got), dump(want))
	}
	var b bytes.Buffer
	if err := Write(&b, want); err != nil {
		t.Fatal(err)
	}
	if b.String() != dump(want) {
		t.Errorf("written differently:\n%s\nwant\n%s", b.String(), dump(want))
	}
}

func dump(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{\n\t\"linux\": {\"resources\": {\"memory\": {\n\t\t\"limit\": \"512m\"}}}}",
			`config.json:3:12: linux.resources.memory.limit: expected an integer, found "512m"`},
		{`{"process": {"args": "sh"}}`, `config.json:1:22: process.args: expected an array, found "sh"`},
		{`{"process": {"user": {"uid": -1}}}`, `config.json:1:30: process.user.uid: expected an integer from 0 to 4294967295, found -1`},
		{`{"process": {"user": []}}`, `config.json:1:22: process.user: expected an object, found an array`},
		{`{"mounts": [{}, {"options": ["ro", 5]}]}`, `config.json:1:36: mounts[1].options[1]: expected a string, found 5`},
		{`{"annotations": {"org.example/a": true}}`, `config.json:1:35: annotations["org.example/a"]: expected a string, found true`},
		{`{"linux": {"resources": {"blockIO": {"weight": 65536}}}}`, `config.json:1:48: linux.resources.blockIO.weight: expected an integer from 0 to 65535, found 65536`},
		{`{"linux": {"timeOffsets": {"monotonic": {"secs": 1.5}}}}`, `config.json:1:50: linux.timeOffsets.monotonic.secs: expected an integer, found 1.5`},
		{`{"root": {"readonly": "yes"}}`, `config.json:1:23: root.readonly: expected true or false, found "yes"`},
		{`[]`, `config.json:1:1: expected an object, found an array`},
		{`null`, `config.json:1:1: expected an object, found null`},
		{``, `config.json:1:1: expected an object, found the end of the file`},
		{"{}\n{}", `config.json:2:1: expected the end of the file, found an object`},
	} {
		_, err := Decode([]byte(c.text))
		var e *jsonx.Error
		if !errors.As(err, &e) || err.Error() != c.want {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
	if _, err := DecodeProcess([]byte(`{"cwd": 1}`)); err == nil || err.Error() != "process:1:9: cwd: expected a string, found 1" {
		t.Errorf("DecodeProcess: %v", err)
	}
	if _, _, err := DecodeResources([]byte(`{"pids": {"limit": ""}}`)); err == nil || err.Error() != `resources:1:20: pids.limit: expected an integer, found ""` {
		t.Errorf("DecodeResources: %v", err)
	}
}

func TestDuplicatePropertyReplacesAll(t *testing.T) {
	s, err := Decode([]byte(`{"process": {"cwd": "/a", "user": {"uid": 1, "gid": 2}, "user": {"gid": 3}}, "hostname": "h",
		"root": {"path": "a"}, "root": null, "linux": {"cgroupsPath": "x"}, "linux": {"mountLabel": "y"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &specs.Spec{Hostname: "h", Process: &specs.Process{Cwd: "/a", User: specs.User{GID: 3}}, Linux: &specs.Linux{MountLabel: "y"}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %s", dump(s))
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ConfigFile)
	if _, err := load(dir); !errors.Is(err, syscall.ENOENT) || !strings.HasPrefix(err.Error(), "open "+path) {
		t.Errorf("no file: %v", err)
	}
	for name, text := range configs(t) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := load(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want, _ := Decode(text); !reflect.DeepEqual(s, want) {
			t.Errorf("%s: loaded differently", name)
		}
	}
	if err := os.Truncate(path, MaxConfig+1); err != nil {
		t.Fatal(err)
	}
	if _, err := load(dir); err == nil || !strings.HasSuffix(err.Error(), "has 16777217 bytes, more than the 16777216 that it may have") {
		t.Errorf("huge: %v", err)
	}
	os.Remove(path)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(dir); err == nil || err.Error() != path+" is not a regular file" {
		t.Errorf("fifo: %v", err)
	}
}

// FuzzDecode compares Decode with encoding/json: both refuse a text, or both return the same spec.
// It skips texts for which they differ on purpose (see comparable).
func FuzzDecode(f *testing.F) {
	for _, text := range fuzzSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := Decode(bytes.Clone(text))
		if !comparable(text) {
			return
		}
		want := new(specs.Spec)
		wantErr := json.Unmarshal(text, want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("davit says %v, encoding/json %v", err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", dump(got), dump(want))
		}
	})
}

// fuzzSeeds are small on purpose, because the fuzzer spends minutes on shortening large ones.
var fuzzSeeds = []string{
	`{"ociVersion":"1.3.0","process":{"terminal":true,"consoleSize":{"height":1,"width":2},"user":{"uid":1,"gid":2,"umask":63,"additionalGids":[1]},"args":["a"],"env":["A=b"],"cwd":"/"}}`,
	`{"process":{"capabilities":{"bounding":["CAP_KILL"],"ambient":[]},"rlimits":[{"type":"RLIMIT_AS","hard":18446744073709551615,"soft":0}],"oomScoreAdj":-1,"noNewPrivileges":false}}`,
	`{"process":{"scheduler":{"policy":"SCHED_FIFO","nice":-2147483648,"priority":2147483647,"flags":["x"],"runtime":1},"ioPriority":{"class":"a","priority":1},"execCPUAffinity":{"initial":"0"}}}`,
	`{"root":{"Path":"r","readOnly":true},"HOSTNAME":"h","domainname":null,"mounts":[{"destination":"/p","type":"t","source":"s","options":["ro"],"uidMappings":[{"containerID":0,"hostID":1,"size":4294967295}]}]}`,
	`{"hooks":{"prestart":[{"path":"/p","args":["a"],"env":[],"timeout":3}],"poststop":null},"annotations":{"a.b/c":"é
","":"x"}}`,
	`{"linux":{"namespaces":[{"type":"pid","path":"/x"}],"devices":[{"path":"/d","type":"c","major":1,"minor":-1,"fileMode":438,"uid":0}],"netDevices":{"eth0":{"name":"e"}},"sysctl":{"a":"b"},"timeOffsets":{"boottime":{"secs":-1,"nanosecs":2}}}}`,
	`{"linux":{"seccomp":{"defaultAction":"A","defaultErrnoRet":1,"architectures":["x"],"syscalls":[{"names":["a","b"],"action":"c","errnoRet":3,"args":[{"index":0,"value":1,"valueTwo":2,"op":"EQ"}]}]}}}`,
	`{"linux":{"resources":{"devices":[{"allow":true,"type":"c","major":1}],"memory":{"limit":-9223372036854775808,"swappiness":60,"useHierarchy":true},"cpu":{"shares":1,"quota":-1,"idle":1},"pids":{"limit":0}}}}`,
	`{"linux":{"resources":{"blockIO":{"weight":65535,"weightDevice":[{"major":8,"minor":0,"weight":1}],"throttleReadBpsDevice":[{"major":8,"rate":1}]},"hugepageLimits":[{"pageSize":"2MB","limit":1}],"network":{"classID":1,"priorities":[{"name":"a","priority":1}]},"rdma":{"m":{"hcaHandles":1}},"unified":{"a.b":"1"}}}}`,
	`{"linux":{"personality":{"domain":"LINUX","flags":[]},"memoryPolicy":{"mode":"m","nodes":"0-1"},"intelRdt":{"closID":"c","schemata":["L3"],"enableMonitoring":true},"maskedPaths":["/a"],"rootfsPropagation":"slave"},"x":[1.5e3,{"y":[null,false]}]}`,
}

// comparable reports whether Decode and encoding/json should agree on a text. They differ on
// purpose (see package jsonx) in text that is not UTF-8, unpaired surrogates, duplicate names, the
// sections of other platforms, a lone null, and nesting.
func comparable(text []byte) bool {
	if !utf8.Valid(text) || bytes.Contains(bytes.ToLower(text), []byte(`\ud`)) || bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	type level struct {
		object bool
		name   bool // the next string is a name
		seen   map[string]bool
	}
	stack := []level{{}}
	for {
		token, err := d.Token()
		if err != nil {
			return errors.Is(err, io.EOF) || len(stack) < jsonx.MaxDepth
		}
		top := &stack[len(stack)-1]
		if s, ok := token.(string); ok && top.name {
			if top.seen[fold(s)] || foreign[fold(s)] {
				return false
			}
			top.seen[fold(s)] = true
			top.name = false
			continue
		}
		top.name = top.object
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{object: true, name: true, seen: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > jsonx.MaxDepth {
			return false
		}
	}
}

// fold maps names that encoding/json treats as equal to the same name.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// foreign has the names of fields that Decode leaves out because they are not for Linux.
var foreign = map[string]bool{"windows": true, "solaris": true, "vm": true, "zos": true, "freebsd": true, "commandline": true, "username": true}

// TestDecodeAllocations limits the allocations of Decode. The benchmark measures times.
func TestDecodeAllocations(t *testing.T) {
	most := map[string]float64{"default": 1, "pod": 48}
	for name, text := range configs(t) {
		got := testing.AllocsPerRun(20, func() {
			if _, err := Decode(text); err != nil {
				t.Fatal(err)
			}
		})
		if got > most[name] {
			t.Errorf("%s: %v allocations, at most %v are allowed", name, got, most[name])
		}
	}
}
