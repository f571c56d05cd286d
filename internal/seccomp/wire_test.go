package seccomp

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// wire.go and compiler/wire.h define the same layout.
func TestWireLayout(t *testing.T) {
	dir := t.TempDir()
	want := ""
	source := "#include <stdio.h>\n#include <seccomp.h>\n#include \"wire.h\"\nint main(void) {\n"
	for _, pair := range []struct {
		c    string
		here int
	}{
		{"sizeof(struct request)", requestSize}, {"sizeof(struct request_arg)", requestArgSize},
		{"sizeof(struct request_name)", requestNameSize}, {"sizeof(struct request_rule)", requestRuleSize},
		{"sizeof(struct answer)", answerSize}, {"WIRE_REQUEST", wireRequest}, {"WIRE_ANSWER", wireAnswer},
		{"WIRE_REQUEST_MAX", wireRequestMax}, {"WIRE_NAME_MAX", wireNameMax},
		{"STEP_DONE", stepDone}, {"STEP_REQUEST", stepRequest}, {"STEP_INIT", stepInit}, {"STEP_ARCH", stepArch},
		{"STEP_RULE", stepRule}, {"STEP_EXPORT", stepExport}, {"STEP_ANSWER", stepAnswer},
		{"SCMP_ARCH_X86", archX86}, {"SCMP_ARCH_X86_64", archX8664}, {"SCMP_ARCH_X32", archX32},
		{"SCMP_ARCH_ARM", archARM}, {"SCMP_ARCH_AARCH64", archAARCH64}, {"SCMP_ARCH_RISCV64", archRISCV64},
		{"SCMP_ARCH_PPC64LE", archPPC64LE}, {"SCMP_ARCH_S390", archS390}, {"SCMP_ARCH_S390X", archS390X},
		{"SCMP_ACT_KILL_PROCESS", retKillProcess}, {"SCMP_ACT_KILL", retKillThread}, {"SCMP_ACT_TRAP", retTrap},
		{"SCMP_ACT_ERRNO(0)", retErrno}, {"SCMP_ACT_NOTIFY", retNotify}, {"SCMP_ACT_TRACE(0)", retTrace},
		{"SCMP_ACT_LOG", retLog}, {"SCMP_ACT_ALLOW", retAllow},
		{"SECCOMP_FILTER_FLAG_TSYNC", FlagTSync}, {"SECCOMP_FILTER_FLAG_LOG", FlagLog},
		{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", FlagSpecAllow}, {"SECCOMP_FILTER_FLAG_NEW_LISTENER", FlagNewListener},
		{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FlagWaitKillableRecv},
	} {
		source += fmt.Sprintf("printf(\"%%s %%llu\\n\", %q, (unsigned long long)(%s));\n", pair.c, pair.c)
		want += fmt.Sprintf("%s %d\n", pair.c, pair.here)
	}
	for _, op := range operators() {
		source += fmt.Sprintf("printf(\"%s %%d\\n\", %s);\n", op.name, op.name)
		want += fmt.Sprintf("%s %d\n", op.name, op.value)
	}
	file := filepath.Join(dir, "layout.c")
	if err := os.WriteFile(file, []byte(source+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-Icompiler", file, "-o", dir+"/layout").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got, err := exec.Command(dir + "/layout").Output()
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

// sanitized builds the compiler with sanitizers, and returns its path.
func sanitized(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "compiler")
	out, err := exec.Command("gcc", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-static-libasan",
		"-o", path, "compiler/compiler.c", "-l:libseccomp.a").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// ask runs a compiler as tryCompiler does, and returns its answer.
func ask(t testing.TB, path string, request []byte) []byte {
	t.Helper()
	answer, err := os.CreateTemp(t.TempDir(), "answer")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	var stderr bytes.Buffer
	cmd := exec.Command(path)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), answer, &stderr
	cmd.Env = []string{"ASAN_OPTIONS=detect_leaks=0"}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	b, err := os.ReadFile(answer.Name())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func requests(t testing.TB) map[string][]byte {
	out := map[string][]byte{}
	for name, c := range map[string]*specs.LinuxSeccomp{
		"small": small("read"), "none": {DefaultAction: specs.ActAllow}, "engine": engineProfile(t),
	} {
		cfg, err := parse(c, thisMachine())
		if err != nil {
			t.Fatal(err)
		}
		if out[name], err = cfg.request(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// The embedded compiler, and one that is built with sanitizers, give the same answers.
func TestCompilerSanitized(t *testing.T) {
	path := sanitized(t)
	for name, request := range requests(t) {
		want, err := tryCompiler(request)
		if err != nil {
			t.Fatal(err)
		}
		if got := ask(t, path, request); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
	}
}

// The compiler refuses a request if any length, offset or count in it is changed so that it no
// longer fits.
func TestCompilerBadRequests(t *testing.T) {
	cfg, err := parse(small("read"), thisMachine())
	if err != nil {
		t.Fatal(err)
	}
	good, err := cfg.request()
	if err != nil {
		t.Fatal(err)
	}
	arg, name := requestSize, requestSize+requestArgSize
	rule := name + 2*requestNameSize
	for what, at := range map[string]int{"magic": 0, "size": 4, "args": 12, "names": 16, "rules": 20, "archs": 24, "text": 28, "programs": 32,
		"arg index": arg, "arg op": arg + 4, "name offset": name, "name length": name + 4, "rule program": rule, "rule name": rule + 4,
		"rule arg": rule + 12, "rule args": rule + 16} {
		for _, value := range []uint32{0xffffffff, 0x7fffffff, 0x20000000, 1000} {
			b := bytes.Clone(good)
			copy(b[at:], put32(nil, value))
			reply, err := tryCompiler(b)
			if err != nil {
				t.Fatalf("%s %#x: %v", what, value, err)
			}
			if _, err := parseAnswer(reply, cfg); err == nil || !strings.Contains(err.Error(), "step 1: bad message") {
				t.Errorf("%s %#x: %v", what, value, err)
			}
		}
	}
	for n := range good {
		reply, err := tryCompiler(good[:n])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseAnswer(reply, cfg); err == nil {
			t.Errorf("the first %d bytes pass", n)
		}
	}
	reply, err := tryCompiler(make([]byte, wireRequestMax+5))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseAnswer(reply, cfg); err == nil || !strings.Contains(err.Error(), "argument list too long") {
		t.Error(err)
	}
}

func FuzzRequest(f *testing.F) {
	path := sanitized(f)
	for name, r := range requests(f) {
		if name != "engine" { // it is slow with sanitizers
			f.Add(r)
		}
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		if reply := ask(t, path, request); len(reply) < answerSize {
			t.Errorf("no answer but %d bytes", len(reply))
		}
	})
}

func FuzzAnswer(f *testing.F) {
	cfg, err := parse(small("read", "socket"), thisMachine())
	if err != nil {
		f.Fatal(err)
	}
	request, err := cfg.request()
	if err != nil {
		f.Fatal(err)
	}
	reply, err := tryCompiler(request)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reply)
	f.Fuzz(func(t *testing.T, reply []byte) {
		ans, err := parseAnswer(reply, cfg)
		if err != nil {
			return
		}
		program, err := optimize(cfg, ans)
		if err != nil {
			return
		}
		checkEquivalent(t, cfg, ans, program)
	})
}

// checkEquivalent compares the program that was made of an answer with the programs of the answer,
// run one after the other.
func checkEquivalent(t *testing.T, cfg *config, ans *answer, program []byte) {
	t.Helper()
	tried := []uint32{0, 1, 1 << 30, 1<<32 - 1}
	for _, list := range ans.programs {
		for _, prog := range list {
			for _, in := range prog {
				if in.code != opRet {
					tried = append(tried, in.k-1, in.k, in.k+1)
				}
			}
		}
	}
	for i, number := range tried {
		for a, arch := range cfg.arches {
			e := event{number: number, arch: arch, args: [6]uint64{edges[i%len(edges)], 1, edges[(i+5)%len(edges)], 0, 5 << 40, 7}}
			want := firstOf(t, cfg.defaultAction, ans.programs[a], e)
			_, last := numbers(arch)
			if above := ans.above[a]; wantsENOSYS(cfg.defaultAction) && above != 0 && number >= above && number <= last {
				want = retErrno | 38
			}
			if got := interpret(t, program, e); got != want {
				t.Fatalf("%+v: %s, want %s", e, describe(got), describe(want))
			}
		}
	}
}

// firstOf returns the result of the first program that does not look at arguments, if that result
// is not none. Otherwise it returns the first result that is not none.
func firstOf(t *testing.T, none uint32, programs [][]insn, e event) uint32 {
	first := none
	for _, prog := range programs {
		got := interpret(t, encode(prog), e)
		g := newGraph()
		f := follower{prog: prog, arch: e.arch, number: e.number, g: g}
		if what, err := f.follow(0, accumulator{known: true}); err == nil && g.nodes[what].code == opRet && got != none {
			return got
		}
		if first == none {
			first = got
		}
	}
	return first
}

func FuzzCacheFile(f *testing.F) {
	c := small("read")
	key, err := cacheKey(c)
	if err != nil {
		f.Fatal(err)
	}
	good := mustCompile(f, c)
	f.Add(formatCache(key, good))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got := parseCache(b, key); got != nil && (!bytes.Equal(b, formatCache(key, got)) || len(got.Program)%insnSize != 0) {
			t.Errorf("a file that is not as written passes: %+v", got)
		}
	})
}

func FuzzProgram(f *testing.F) {
	c := small("read")
	c.Architectures = nil
	f.Add(mustCompile(f, c).Program)
	f.Add([]byte("\x06\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		prog, err := decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(encode(prog), b) {
			t.Error("decode and encode differ")
		}
		cfg := &config{defaultAction: retAllow, arches: []uint32{archX8664}, programs: 1}
		ans := &answer{above: []uint32{0}, programs: [][][]insn{{prog}}}
		if program, err := optimize(cfg, ans); err == nil {
			checkEquivalent(t, cfg, ans, program)
		}
	})
}

func TestDecode(t *testing.T) {
	ret := insn{code: opRet}
	for name, prog := range map[string][]insn{
		"nothing":               {},
		"no return at the end":  {{code: opLoad}},
		"load behind the data":  {{code: opLoad, k: dataSize}, ret},
		"load between words":    {{code: opLoad, k: 2}, ret},
		"jump to the end":       {{code: opJump, k: 1}, ret},
		"jump far away":         {{code: opJump, k: 0xffffffff}, ret},
		"branch to the end":     {{code: opEQ, jf: 1}, ret},
		"other branch":          {{code: opGE, jt: 255}, ret},
		"unknown instruction":   {{code: 0x07}, ret},
		"store":                 {{code: 0x02}, ret},
		"division":              {{code: 0x34}, ret},
		"load of a packet byte": {{code: 0x30}, ret},
	} {
		if _, err := decode(encode(prog)); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	if _, err := decode(append(encode([]insn{ret}), 0)); err == nil {
		t.Error("half an instruction passes")
	}
	if _, err := decode(encode([]insn{{code: opSet, jf: 1}, {code: opJump}, {code: opAnd}, ret})); err != nil {
		t.Error(err)
	}
}
