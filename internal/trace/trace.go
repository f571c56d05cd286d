package trace

import (
	"fmt"
	"os"

	"davit/internal/jsonx"
	"davit/internal/log"
	"davit/internal/plan"
	"davit/nsenter"

	"golang.org/x/sys/unix"
)

//go:generate go run davit/build/jsongen -type Timeline -out trace_json.go

// Trace records a timeline of what parent and stage do, or logs it for --debug. All methods of a
// nil Trace do nothing, so that without --trace it costs nothing.
type Trace struct {
	path     string
	lg       log.Logger
	timeline Timeline
}

// Timeline is a trace in the form of Chrome's trace viewer and of Perfetto
// ("Trace Event Format", JSON object form).
type Timeline struct {
	Events []Event `json:"traceEvents"`
	Unit   string  `json:"displayTimeUnit"`
}

// Event is a span of a timeline, or with Phase "M" the name of a row.
type Event struct {
	Name     string    `json:"name"`
	Phase    string    `json:"ph"`
	Begin    float64   `json:"ts"`  // µs, CLOCK_MONOTONIC
	Duration float64   `json:"dur"` // µs
	Process  int       `json:"pid"`
	Row      int       `json:"tid"`
	Args     EventArgs `json:"args"`
}

// EventArgs are further facts about an event.
type EventArgs struct {
	Name  string `json:"name,omitempty"`  // the name of a row
	Field string `json:"field,omitempty"` // the field of config.json
	Step  string `json:"step,omitempty"`  // the arguments of a step
}

// The rows of a timeline.
const (
	RowParent = 1
	RowStage  = 2
)

// newTrace returns a trace that Close writes to the file path, if that is not empty, and that goes to the logger's Debug. It is nil
// without either.
func New(path string, l log.Logger) *Trace {
	if path == "" && l.Debug == nil {
		return nil
	}
	t := &Trace{path: path, lg: l}
	t.timeline.Unit = "ms"
	t.timeline.Events = append(t.timeline.Events, Event{Name: "process_name", Phase: "M", Process: 1, Args: EventArgs{Name: "davit"}})
	for row, name := range [...]string{RowParent: "davit", RowStage: "stage"} {
		if name != "" {
			t.timeline.Events = append(t.timeline.Events, Event{Name: "thread_name", Phase: "M", Process: 1, Row: row, Args: EventArgs{Name: name}})
		}
	}
	return t
}

func monotonic() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano()
}

// Span begins a span of something that the caller does; the returned function ends it.
func (t *Trace) Span(name string) (end func()) {
	if t == nil {
		return func() {}
	}
	begin := monotonic()
	return func() { t.add(Event{Name: name, Row: RowParent}, begin, monotonic()) }
}

// Part is a part of a verb that gets a span of its own.
type Part struct {
	Name string
	Do   func() error
}

// InOrder carries out the parts, up to the first one that fails.
func (t *Trace) InOrder(parts []Part) error {
	for _, part := range parts {
		end := t.Span(part.Name)
		err := part.Do()
		end()
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Trace) add(e Event, begin, end int64) {
	e.Phase, e.Process = "X", 1
	e.Begin, e.Duration = float64(begin)/1e3, float64(end-begin)/1e3
	t.timeline.Events = append(t.timeline.Events, e)
	if t.lg.Debug != nil {
		t.logEvent(e)
	}
}

func (t *Trace) logEvent(e Event) {
	text := e.Name
	if e.Row == RowStage {
		text = "stage: " + text
	}
	for _, part := range [...]string{e.Args.Field, e.Args.Step} {
		// a step of exec has the environment, in which many containers have secrets
		if part != "" && e.Name != plan.OpOf(plan.Exec{}).String() {
			text += ", " + part
		}
	}
	t.lg.Debugf("%s: %.0f µs", text, e.Duration)
}

// Stage adds a step that the stage reports.
func (t *Trace) Stage(p *plan.Plan, m nsenter.Message) {
	if t == nil || p == nil || m.Step >= len(p.Steps) {
		return
	}
	entry := p.Steps[m.Step]
	t.add(Event{Name: plan.OpOf(entry.Step).String(), Row: RowStage,
		Args: EventArgs{Field: entry.Field, Step: plan.Arguments(entry.Step)}}, m.Value, m.End)
}

// SetName sets the title of the timeline, which distinguishes it in a viewer that has several open.
func (t *Trace) SetName(name string) {
	if t != nil {
		t.timeline.Events[0].Args.Name = name
	}
}

// Timeline returns what was recorded so far.
func (t *Trace) Timeline() *Timeline { return &t.timeline }

// Close writes the timeline to the file, unless that is "-".
func (t *Trace) Close() error {
	if t == nil || t.path == "" || t.path == "-" {
		return nil
	}
	var e jsonx.Encoder
	encodeTimeline(&e, &t.timeline)
	e.Newline()
	if err := os.WriteFile(t.path, e.Bytes(), 0o644); err != nil {
		return fmt.Errorf("option Trace: %w", err)
	}
	return nil
}

// ReadTimeline reads a file that Close has written.
func ReadTimeline(path string) (*Timeline, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var t Timeline
	d := jsonx.NewDecoder(path, data)
	decodeTimeline(&d, &t)
	return &t, d.End()
}
