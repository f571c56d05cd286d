package launch

import (
	"errors"
	"fmt"
	"io"

	"davit/internal/plan"
	"davit/nsenter"
)

// Exchange is the parent's side of the conversation with a stage, from the clone to the exec. create, run, start and exec use it. A
// container may control the stage by the time that it sends a message. Therefore a message is accepted only where the plan has it.
// nsenter/stage/stage.h lists the messages.
type Exchange struct {
	From Receiver
	// Plan returns the plan that the stage carries out. It is called only for messages that need it.
	Plan func() *plan.Plan
	// Phase does the work for which the stage waits, and answers it. nil means that a phase is an error.
	Phase func(plan.Phase) error
	// Failed returns the error for the message that a step has failed.
	Failed func(nsenter.Message) error
	// Died returns the error for a stage that has ended before it was ready.
	Died func() error
	// Trace and Output take messages of these kinds.
	Trace, Output func(*plan.Plan, nsenter.Message)
	// Begun is set when the stage has said that it is ready. After that only the exec follows.
	Begun bool

	step int // the next phase is of this step or a later one
}

// Receiver is a stage, or a connection to one, from which messages come. Receive returns io.EOF when the other side has gone.
type Receiver interface {
	Receive() (nsenter.Message, error)
}

// UntilReady handles messages until the stage is ready, and returns the error if it does not get there.
func (x *Exchange) UntilReady() error {
	for !x.Begun {
		if _, err := x.next(); err != nil {
			return err
		}
	}
	return nil
}

// UntilExec handles messages until the program has begun, which closes the stage's socket.
func (x *Exchange) UntilExec() error {
	for {
		if ended, err := x.next(); ended || err != nil {
			return err
		}
	}
}

// next handles one message. ended is true at the end of file, if the stage had been ready before.
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

// inOrder fails if a phase is not the next one of the plan.
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
