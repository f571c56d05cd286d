package sys

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// FD is an open descriptor with one owner, who closes it or hands it over. What is closed is not closed again: by then the number
// may be that of another descriptor. Its methods may be called on nil, which is no descriptor. It is not for several goroutines at once.
type FD struct{ n int }

// Own returns the owner of descriptor n, which belongs to nobody else. A negative n is none: then it returns nil.
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

// Int returns the number for a system call, -1 if there is no descriptor (any more). It stays the owner's.
func (f *FD) Int() int {
	if f == nil {
		return -1
	}
	return f.n
}

// Close closes the descriptor, unless that was done or it was handed over.
func (f *FD) Close() error {
	n := f.Disown()
	if n < 0 {
		return nil
	}
	// Linux frees the number whatever close(2) returns, EINTR too.
	return unix.Close(n)
}

// Disown returns the number to a new owner, -1 if there is no descriptor.
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

// leaks knows the owned descriptors, while a test looks for those that nobody closes.
var leaks leakTracer

type leakTracer struct {
	on   bool
	mu   sync.Mutex
	open map[*FD]string // where they were made
}

func (l *leakTracer) made(f *FD) {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // without this, Own and Callers
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

// CheckLeaks is for a package's TestMain: it runs the tests, and prints where each descriptor was made that nobody has closed. The
// exit status is 1 then.
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
