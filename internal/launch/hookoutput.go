package launch

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"davit/internal/config"
	"davit/internal/diagnose"
	"davit/internal/fault"
	"davit/internal/log"
	"davit/internal/plan"
	"davit/internal/sys"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

// hookLimit is how many of the last bytes of a hook's output davit keeps for an error or the log.
const hookLimit = 4096

// HookOutput collects what hooks write to stdout and stderr. Its zero value writes nothing to files.
type HookOutput struct {
	files [2]int // descriptors, 0 for none
	text  []byte // the end of what the current hook has written to either
	cut   bool   // there was more before
	lg    log.Logger
}

// OpenHookOutput opens the files that annotations name for the output of hooks. A relative path starts at the bundle. The caller
// closes the result.
func OpenHookOutput(annotations map[string]string, bundle string, lg log.Logger) (*HookOutput, error) {
	o := &HookOutput{lg: lg}
	for i, name := range [...]string{config.AnnotationHooksStdout, config.AnnotationHooksStderr} {
		path, ok := annotations[name]
		if !ok {
			continue
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(bundle, path)
		}
		// O_NOCTTY and O_NONBLOCK: it may be a terminal, or a fifo without a reader.
		fd, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0o600)
		if err != nil {
			o.Close()
			return nil, fault.In(fmt.Sprintf("annotations[%s]", name), fmt.Errorf("open %s: %w", path, err))
		}
		o.files[i] = fd
	}
	return o, nil
}

func (o *HookOutput) Close() {
	if o == nil {
		return
	}
	for i, fd := range o.files {
		if fd > 0 {
			unix.Close(fd)
			o.files[i] = 0
		}
	}
}

// add takes text that a hook has written to stream 1 or 2. Errors of the files are ignored, because a full disk is not the hook's fault.
func (o *HookOutput) add(stream int, text []byte) {
	if fd := o.files[stream-1]; fd > 0 {
		sys.WriteAll(fd, text)
	}
	o.text = append(o.text, text...)
	if over := len(o.text) - hookLimit; over > 0 {
		o.text, o.cut = append(o.text[:0], o.text[over:]...), true
	}
}

// take returns the end of what the current hook has written, and empties the buffer for the next hook.
func (o *HookOutput) take() string {
	text := strings.TrimSpace(string(o.text))
	if o.cut {
		text = "… " + text
	}
	o.text, o.cut = o.text[:0], false
	return text
}

// told is the output of a hook as a part of an error. The lines are indented, so that none of them looks like a line of davit's own
// (see package show).
type told string

func (t told) Error() string { return string(t) }

// Lines returns the lines of the output.
func (t told) Lines() []string {
	lines := strings.Split(string(t), "\n")
	for i := 1; i < len(lines); i++ {
		lines[i] = "  " + strings.TrimSuffix(lines[i], "\r")
	}
	return lines
}

// log logs the output of a hook that has succeeded.
func (o *HookOutput) log(name string) {
	if text := o.take(); text != "" {
		o.lg.Debugf("%s: %s", name, text)
	}
}

// StageHooks collects the output of hooks that the stage runs. The stage sends it in messages.
type StageHooks struct {
	*HookOutput
	step int // whose hook has written last
}

// Message takes a message of kind nsenter.Output of the plan p.
func (h *StageHooks) Message(p *plan.Plan, m nsenter.Message) {
	if m.Step != h.step {
		h.Flush(p)
		h.step = m.Step
	}
	if h.HookOutput != nil && (m.Value == 1 || m.Value == 2) {
		h.add(int(m.Value), []byte(m.Detail))
	}
}

// Flush logs the output of the last hook. It is called when that has succeeded: when another hook begins, or after the last one.
func (h *StageHooks) Flush(p *plan.Plan) {
	if h.HookOutput == nil {
		return
	}
	name := "hook"
	if h.step < len(p.Steps) {
		name = p.Steps[h.step].Field
		if hook, ok := p.Steps[h.step].Step.(plan.Hook); ok {
			name += ": " + hook.Path
		}
	}
	h.log(name)
}

// Fail returns the error for a message that a step has failed, with the output of its hook.
func (h *StageHooks) Fail(p *plan.Plan, m nsenter.Message) error {
	if m.Step != h.step {
		h.Flush(p)
	}
	err := diagnose.Step(p, m)
	var e *fault.Error
	if h.HookOutput != nil && errors.As(err, &e) && strings.HasPrefix(m.Call, "hook") {
		if text := h.take(); text != "" {
			e.Err = told(text)
		}
	}
	return err
}

// colon puts text after a colon, if there is any.
func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
