package launch

import (
	"fmt"
	"strconv"

	"davit/internal/fault"
	"davit/internal/log"
	"davit/internal/sys"
)

const oomScoreFile = "/oom_score_adj"

// SetOOMScore sets the OOM score adjustment of process pid, which may be "self", to score, -1000 to 1000 (proc_pid_oom_score_adj(5)).
func SetOOMScore(pid string, adj int) error {
	path := "/proc/" + pid + oomScoreFile
	err := WriteProc(path, strconv.Itoa(adj))
	if err == nil {
		return nil
	}
	err = fault.In("process.oomScoreAdj", fmt.Errorf("%d: %w", adj, err))
	if have, readErr := oomScore(pid); readErr == nil && adj < have {
		return fault.WithHint(err, fmt.Sprintf("lowering the score (it is %d) needs CAP_SYS_RESOURCE", have))
	}
	return err
}

func oomScore(pid string) (int, error) {
	text, err := sys.ReadWhole("/proc/" + pid + oomScoreFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(TrimNewline(text))
}

func TrimNewline(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return string(b)
}

// InheritOOMScore sets the score of davit itself, so that the stage that it starts next inherits it. Without root that is the only way,
// because only root may write the score of a process that is not dumpable. A user may raise a score, and lower it again to the old value,
// which restore does. nil changes nothing.
func InheritOOMScore(adj *int, lg log.Logger) (restore func(), err error) {
	if adj == nil {
		return func() {}, nil
	}
	have, err := oomScore("self")
	if err != nil {
		return nil, fault.In("process.oomScoreAdj", err)
	}
	if err := SetOOMScore("self", *adj); err != nil {
		return nil, err
	}
	return func() {
		if err := SetOOMScore("self", have); err != nil {
			lg.Warnf("%v", err)
		}
	}, nil
}
