package sys

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// FD is an open descriptor with one owner, who closes it or hands it over. A second Close does
// nothing, because by then the number may belong to another descriptor. All methods work on nil,
// which stands for no descriptor. An FD must not be used by several goroutines at once.
type FD struct{ n int }

// Own makes the caller the owner of descriptor n, which must belong to nobody else. It returns nil
// if n is negative.
func Own(n int) *FD {
	if n < 0 {
		return nil
	}
	f := &FD{n}
	if leaks.on {
		leaks.made(f)
	}
	return f
}

// Int returns the number for a system call, -1 if there is no descriptor. The owner keeps it.
func (f *FD) Int() int {
	if f == nil {
		return -1
	}
	return f.n
}

// Close closes the descriptor, unless it was closed or handed over before.
func (f *FD) Close() error {
	n := f.Disown()
	if n < 0 {
		return nil
	}
	// Linux frees the number whatever close(2) returns, even EINTR.
	return unix.Close(n)
}

// Disown hands the descriptor over: it returns the number, which the caller must close, or -1 if
// there is no descriptor.
func (f *FD) Disown() int {
	if f == nil || f.n < 0 {
		return -1
	}
	if leaks.on {
		leaks.gone(f)
	}
	n := f.n
	f.n = -1
	return n
}

// leaks records where owned descriptors were made, while a test looks for those that nobody closes.
var leaks leakTracer

type leakTracer struct {
	on   bool
	mu   sync.Mutex
	open map[*FD]string // where each was made
}

func (l *leakTracer) made(f *FD) {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // without this function, Own and Callers
	var b strings.Builder
	for {
		frame, more := frames.Next()
		fmt.Fprintf(&b, "\n\t%s\n\t\t%s:%d", frame.Function, frame.File, frame.Line)
		if !more {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[f] = b.String()
}

func (l *leakTracer) gone(f *FD) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, f)
}

// CheckLeaks is for a package's TestMain. It runs the tests, and prints for each descriptor that
// nobody has closed where it was made. If there is one, the exit status is 1.
func CheckLeaks(run func() int) int {
	leaks.open, leaks.on = map[*FD]string{}, true
	code := run()
	leaks.on = false
	for f, where := range leaks.open {
		fmt.Fprintf(os.Stderr, "descriptor %d is left open; made by%s\n", f.n, where)
		code = 1
	}
	return code
}
