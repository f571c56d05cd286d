package seccomp

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// engineProfile returns a profile like those that container engines give every container: it allows
// all calls except those that concern the host, and some only with certain arguments.
func engineProfile(t testing.TB) *specs.LinuxSeccomp {
	byRule := []string{"clone", "clone3", "personality", "socket"}
	denied := strings.Fields(`acct add_key afs_syscall bdflush bpf break create_module delete_module fanotify_init finit_module
		fsconfig fsmount fsopen fspick ftime get_kernel_syms getpmsg gtty init_module ioperm iopl io_uring_setup io_uring_enter
		io_uring_register kcmp kexec_file_load kexec_load keyctl lock lookup_dcookie mbind mount mount_setattr move_mount
		move_pages mpx nfsservctl nice open_by_handle_at open_tree open_tree_attr perf_event_open pivot_root prof profil
		putpmsg query_module quotactl quotactl_fd reboot request_key security set_mempolicy setdomainname sethostname setns
		settimeofday stime stty swapoff swapon syslog tuxcall ulimit umount umount2 unshare uselib userfaultfd
		ustat vhangup vm86 vm86old vserver listns`)
	var allowed []string
	for _, arch := range []string{"amd64", "386", "arm64"} {
		for name := range syscallTable(t, arch) {
			if !slices.Contains(denied, name) && !slices.Contains(byRule, name) && !slices.Contains(allowed, name) {
				allowed = append(allowed, name)
			}
		}
	}
	slices.Sort(allowed)
	equal := func(index uint, value uint64) []specs.LinuxSeccompArg {
		return []specs.LinuxSeccompArg{{Index: index, Value: value, Op: specs.OpEqualTo}}
	}
	enosys := uint(38)
	c := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{
			{Names: allowed, Action: specs.ActAllow},
			{Names: []string{"socket"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Value: 40, Op: specs.OpNotEqual}}},
			{Names: []string{"clone"}, Action: specs.ActAllow,
				Args: []specs.LinuxSeccompArg{{Value: 0x7e020000, ValueTwo: 0, Op: specs.OpMaskedEqual}}},
			{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys},
		},
	}
	for _, value := range []uint64{0, 8, 0x20000, 0x20008, 0xffffffff} {
		c.Syscalls = append(c.Syscalls, specs.LinuxSyscall{Names: []string{"personality"}, Action: specs.ActAllow, Args: equal(0, value)})
	}
	return c
}

func TestEngineProfile(t *testing.T) {
	needAMD64(t)
	c := engineProfile(t)
	f := mustCompile(t, c)
	t.Logf("%d names, %d instructions, ignored: %v", len(c.Syscalls[0].Names), len(f.Program)/insnSize, f.Ignored)
	// libseccomp makes some 1,400 instructions of it, and the kernel needs 0.3 ms to load them.
	if n := len(f.Program) / insnSize; n > 350 {
		t.Errorf("%d instructions", n)
	}
	const eperm, enosys = retErrno | 1, retErrno | 38
	for _, test := range []struct {
		arch, number uint32
		arg          uint64
		want         uint32
	}{
		{archX8664, 0, 0, retAllow}, {archX8664, 165, 0, eperm}, {archX8664, 462, 0, retAllow},
		{archX8664, 41, 2, retAllow}, {archX8664, 41, 40, eperm}, {archX8664, 41, 1<<32 | 40, retAllow},
		{archX8664, 56, 0x11, retAllow}, {archX8664, 56, 0x10000000, eperm}, {archX8664, 56, 1<<40 | 0x11, retAllow},
		{archX8664, 435, 0, enosys}, {archX8664, 470, 0, eperm}, {archX8664, 471, 0, retAllow}, {archX8664, 472, 0, enosys},
		{archX8664, 135, 8, retAllow}, {archX8664, 135, 0xffffffff, retAllow}, {archX8664, 135, 0xffffffffffffffff, eperm},
		{archX8664, 135, 1, eperm}, {archX86, 21, 0, eperm}, {archX86, 3, 0, retAllow}, {archX86, 136, 8, retAllow},
		{archX86, 359, 40, eperm}, {archX86, 359, 2, retAllow}, {archX8664, x32Bit | 165, 0, eperm},
		{archX8664, x32Bit | 520, 0, retAllow}, {archAARCH64, 0, 0, retKillThread},
	} {
		e := event{arch: test.arch, number: test.number, args: [6]uint64{test.arg}}
		if got := interpret(t, f.Program, e); got != test.want {
			t.Errorf("%+v: %s, want %s", e, describe(got), describe(test.want))
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	needAMD64(b)
	c := engineProfile(b)
	b.ReportAllocs()
	for b.Loop() {
		mustCompile(b, c)
	}
}

func BenchmarkCached(b *testing.B) {
	c := engineProfile(b)
	dir := b.TempDir() + "/cache"
	if f, err := Compile(c, dir); err != nil || f.CacheError != nil {
		b.Fatal(err, f)
	}
	b.ReportAllocs()
	for b.Loop() {
		f, err := Compile(c, dir)
		if err != nil || !f.Cached {
			b.Fatal(err)
		}
	}
}
