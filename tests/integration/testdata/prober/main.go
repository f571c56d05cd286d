// Prober is the program of an attacker in a container (CVE-2016-9962). It waits for processes that
// join, and tries to get access to what they bring along. It prints how many it saw and what it
// got, and ends when its standard input ends.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

func main() {
	var over atomic.Bool
	go func() {
		os.Stdin.Read(make([]byte, 1))
		over.Store(true)
	}()
	seen, got := map[string]bool{}, map[string]bool{}
	for !over.Load() {
		proc, err := os.Open("/proc")
		if err != nil {
			panic(err)
		}
		names, _ := proc.Readdirnames(-1)
		proc.Close()
		for _, name := range names {
			if name[0] < '2' || name[0] > '9' { // skips pid 1 and self; this is precise enough
				if len(name) < 2 || name[0] != '1' {
					continue
				}
			}
			probe(name, seen, got)
		}
	}
	fmt.Printf("saw %d, got %q\n", len(seen), keys(got))
}

func keys(m map[string]bool) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	return list
}

// probe looks at a process while it is the stage.
func probe(pid string, seen, got map[string]bool) {
	for isStage(pid) {
		seen[pid] = true
		found := map[string]bool{}
		for _, name := range []string{"mem", "exe", "environ", "maps"} {
			if f, err := os.OpenFile("/proc/"+pid+"/"+name, os.O_RDWR, 0); err == nil {
				f.Close()
				found["written "+name] = true
			}
		}
		if _, err := os.ReadDir("/proc/" + pid + "/root/"); err == nil {
			found["root"] = true
		}
		if fds, err := os.ReadDir("/proc/" + pid + "/fd"); err == nil {
			for _, fd := range fds { // only their targets are secret, not their numbers
				if to, err := os.Readlink("/proc/" + pid + "/fd/" + fd.Name()); err == nil {
					found["fd "+to] = true
				}
			}
		}
		if seize(pid) {
			found["ptrace"] = true
		}
		// If it has become another program by then, nothing found is secret.
		if isStage(pid) {
			for k := range found {
				got[k] = true
			}
		}
	}
}

// seize traces a process from a thread that ends at once; the tracing ends with it.
func seize(pid string) bool {
	n, _ := strconv.Atoi(pid)
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, 0x4206 /* PTRACE_SEIZE */, uintptr(n), 0, 0, 0, 0)
		done <- errno == 0
	}()
	return <-done
}

func isStage(pid string) bool {
	comm, err := os.ReadFile("/proc/" + pid + "/comm")
	return err == nil && strings.HasPrefix(string(comm), "davit")
}
