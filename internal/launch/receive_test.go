package launch

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"davit/internal/plan"
	"davit/nsenter"
)

// said has the messages of a stage; the end of file follows them.
type said []nsenter.Message

func (s *said) Receive() (nsenter.Message, error) {
	if len(*s) == 0 {
		return nsenter.Message{}, io.EOF
	}
	m := (*s)[0]
	*s = (*s)[1:]
	return m, nil
}

var (
	errStep = errors.New("a step failed")
	errDied = errors.New("it died")
)

// TestExchange: which messages a stage may send at which time, and which are refused.
func TestExchange(t *testing.T) {
	var p plan.Plan
	p.Add("", plan.Keyring{})
	p.Add("", plan.Sync{Phase: plan.Mapped})
	p.Add("", plan.Sync{Phase: plan.Placed})
	p.Add("", plan.Exec{})
	phase := func(step int, which plan.Phase) nsenter.Message {
		return nsenter.Message{Kind: nsenter.Phase, Step: step, Value: int64(which)}
	}
	mapped, placed := phase(1, plan.Mapped), phase(2, plan.Placed)
	ready, failed := nsenter.Message{Kind: nsenter.Ready}, nsenter.Message{Kind: nsenter.Error}
	output, trace := nsenter.Message{Kind: nsenter.Output}, nsenter.Message{Kind: nsenter.Trace}
	for name, c := range map[string]struct {
		said   said
		begun  bool // start: the stage is waiting already
		phases []plan.Phase
		want   string // a part of the error
		none   bool   // no phase must come
	}{
		"all is well":           {said: said{trace, mapped, output, placed, ready, trace, output}, phases: []plan.Phase{plan.Mapped, plan.Placed}},
		"start":                 {said: said{output}, begun: true},
		"a step fails":          {said: said{mapped, failed}, phases: []plan.Phase{plan.Mapped}, want: errStep.Error()},
		"a step fails at last":  {said: said{failed}, begun: true, want: errStep.Error()},
		"it dies":               {said: said{mapped}, phases: []plan.Phase{plan.Mapped}, want: errDied.Error()},
		"ready twice":           {said: said{ready, ready}, want: "twice"},
		"ready in start":        {said: said{ready}, begun: true, want: "twice"},
		"phases in wrong order": {said: said{placed, mapped}, want: "out of its turn"},
		"a phase twice":         {said: said{mapped, mapped}, phases: []plan.Phase{plan.Mapped}, want: "out of its turn"},
		"another phase":         {said: said{phase(1, plan.Hooks)}, want: "out of its turn"},
		"a phase elsewhere":     {said: said{phase(0, plan.Mapped)}, want: "out of its turn"},
		"no such step":          {said: said{phase(77, plan.Mapped)}, want: "out of its turn"},
		"a phase too many":      {said: said{mapped, placed, placed}, phases: []plan.Phase{plan.Mapped, plan.Placed}, want: "out of its turn"},
		"a phase after ready":   {said: said{mapped, ready, placed}, phases: []plan.Phase{plan.Mapped}, want: "out of its turn"},
		"a phase in start":      {said: said{mapped}, begun: true, want: "out of its turn"},
		"no phase is expected":  {said: said{mapped}, none: true, want: "out of its turn"},
		"what a parent says":    {said: said{{Kind: nsenter.Proceed}}, want: "never"},
		"a second fork":         {said: said{{Kind: nsenter.Forked, Value: 1}}, want: "never"},
		"an unknown kind":       {said: said{{Kind: 99}}, want: "never"},
	} {
		var phases []plan.Phase
		x := Exchange{From: &c.said, Plan: func() *plan.Plan { return &p }, Begun: c.begun,
			Failed: func(nsenter.Message) error { return errStep }, Died: func() error { return errDied }}
		if !c.none {
			x.Phase = func(p plan.Phase) error {
				phases = append(phases, p)
				return nil
			}
		}
		err := x.UntilReady()
		if err == nil {
			err = x.UntilExec()
		}
		text := ""
		if err != nil {
			text = err.Error()
		}
		if (c.want == "") != (err == nil) || !strings.Contains(text, c.want) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
		if !slices.Equal(phases, c.phases) {
			t.Errorf("%s: phases %v, not %v", name, phases, c.phases)
		}
	}
}
