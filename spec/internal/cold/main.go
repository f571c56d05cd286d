package main

import (
	"davit/spec"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	var a, b unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &a)
	if len(os.Args) > 2 {
		spec.Load(os.Args[2])
		unix.Getrusage(unix.RUSAGE_SELF, &a)
	}
	t := time.Now()
	s, err := spec.Load(os.Args[1])
	dt := time.Since(t)
	unix.Getrusage(unix.RUSAGE_SELF, &b)
	if err != nil || s == nil {
		panic(err)
	}
	os.Stdout.WriteString(strconv.Itoa(int(dt.Microseconds())) + " us " + strconv.Itoa(int(b.Minflt-a.Minflt)) + " faults (before " + strconv.Itoa(int(a.Minflt)) + ")\n")
}
