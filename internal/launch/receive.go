package launch

import (
	"errors"
	"fmt"
	"io"

	"davit/internal/plan"
	"davit/nsenter"
)

// Exchange is the parent's side of what it and a stage say to each other, from the clone to the exec: for create, run, start and
// exec. The stage may be in the hands of a container by the time that it speaks; so what it says is taken only at its place.
// nsenter/stage/stage.h has the messages.
type Exchange struct {
	From Receiver
	// Plan returns the plan that the stage carries out. It is called when there is a message for which it matters.
	Plan func() *plan.Plan
	// Phase does what the stage waits for, and answers. Nil: none is to come.
	Phase func(plan.Phase) error
	// Failed returns the error of a step.
	Failed func(nsenter.Message) error
	// Died returns the error of a stage that ended before it was ready.
	Died func() error
	// Trace and Output take messages of these kinds.
	Trace, Output func(*plan.Plan, nsenter.Message)
	// Begun: the stage has said that it is ready, and is on its way to the exec.
	Begun bool

	step int // the next phase is of this step or a later one
}

// Receiver is where messages come from: a stage, or a connection to one. The error is io.EOF when the other side is gone.
type Receiver interface {
	Receive() (nsenter.Message, error)
}

// UntilReady returns when the stage is ready.
func (x *Exchange) UntilReady() error {
	for !x.Begun {
		if _, err := x.next(); err != nil {
			return err
		}
	}
	return nil
}

// UntilExec returns when the program has begun: the stage's socket is closed by the exec.
func (x *Exchange) UntilExec() error {
	for {
		if ended, err := x.next(); ended || err != nil {
			return err
		}
	}
}

// next takes one message. ended: it was the end of file after the stage had been ready.
func (x *Exchange) next() (ended bool, err error) {
	m, err := x.From.Receive()
	switch {
	case err == io.EOF && x.Begun:
		return true, nil
	case err == io.EOF:
		return false, x.Died()
	case err != nil:
		return false, err
	}
	switch m.Kind {
	case nsenter.Error:
		return false, x.Failed(m)
	case nsenter.Trace:
		if x.Trace != nil {
			x.Trace(x.Plan(), m)
		}
		return false, nil
	case nsenter.Output:
		if x.Output != nil {
			x.Output(x.Plan(), m)
		}
		return false, nil
	case nsenter.Ready:
		if x.Begun {
			return false, errors.New("the stage says twice that it is ready")
		}
		x.Begun = true
		return false, nil
	case nsenter.Phase:
		if err := x.inOrder(m); err != nil {
			return false, err
		}
		return false, x.Phase(plan.Phase(m.Value))
	}
	return false, fmt.Errorf("the stage sends a message of kind %d, which it never does", m.Kind)
}

// inOrder refuses a phase that is not the plan's next one.
func (x *Exchange) inOrder(m nsenter.Message) error {
	if x.Phase != nil && !x.Begun {
		p := x.Plan()
		for ; x.step < len(p.Steps); x.step++ {
			if sync, is := p.Steps[x.step].Step.(plan.Sync); is {
				if x.step != m.Step || sync.Phase != plan.Phase(m.Value) {
					break
				}
				x.step++
				return nil
			}
		}
	}
	return fmt.Errorf("the stage asks for phase %d in step %d, out of its turn", m.Value, m.Step)
}
