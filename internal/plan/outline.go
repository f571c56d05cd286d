package plan

import (
	"fmt"
	"strings"

	"davit/internal/jsonx"
	"davit/internal/show"
)

// Act is one thing that is done for a container by the parent and not by the stage, so that the plan has no step for it.
type Act struct{ What, Arguments, Field string }

// Outline lists what is done for a container besides the steps of its plan. explain prints it.
type Outline struct {
	Claim  []Act           // by the parent, once what is on the host already is open
	Before []Act           // by the parent, before it clones the stage
	Beside []Act           // by the parent once there is the stage, which does not wait for it
	Phases map[Phase][]Act // by the parent while the stage waits at the step sync of that phase
	After  []Act           // by the parent when the stage is ready
	Start  []Act           // by start, when the program runs
	Delete []Act           // by delete
}

// Text returns the plan as text for people: what the parent does, and then every step with the field of config.json from which it
// comes.
func (p *Plan) Text() string { return p.TextWith(&Outline{}) }

// TextWith returns the same together with an outline.
func (p *Plan) TextWith(o *Outline) string {
	var b strings.Builder
	section := func(name string, acts []Act) {
		if len(acts) > 0 {
			b.WriteString(name + "\n")
			lines(&b, "", acts)
		}
	}
	b.WriteString("parent\n")
	p.opens(&b, func(d *Descriptor) bool { return !d.inState() && (!d.Within || o.Phases[Sources] == nil) })
	lines(&b, "", o.Claim)
	p.opens(&b, (*Descriptor).inState)
	lines(&b, "", o.Before)
	line(&b, "clone", flagNames(p.Clone, cloneFlags), "linux.namespaces")
	lines(&b, "", o.Beside)
	b.WriteString("stage\n")
	for _, e := range p.Steps {
		arguments := Arguments(e.Step)
		if e.Late != "" {
			arguments = strings.TrimSpace(arguments + " <" + show.Line(e.Late) + ">")
		}
		line(&b, e.Step.op().String(), arguments, e.Field)
		if s, is := e.Step.(Sync); is { // the parent's part, while the stage waits
			lines(&b, "parent: ", o.Phases[s.Phase])
		}
		if e.Step.op() == opReady {
			lines(&b, "parent: ", o.After)
		}
	}
	section("start", o.Start)
	section("delete", o.Delete)
	return b.String()
}

// opens prints the chosen descriptors that the parent opens. For those that the stage opens the plan has a step.
func (p *Plan) opens(b *strings.Builder, chosen func(d *Descriptor) bool) {
	for i := range p.Descriptors {
		d := &p.Descriptors[i]
		if d.Kind == Own || !chosen(d) {
			continue
		}
		idmapped := ""
		if d.Mapped() {
			idmapped = ", idmapped"
		}
		line(b, "open", fmt.Sprintf("%s %s (descriptor %d%s)", d.Kind, show.Line(d.Path), i+1, idmapped), d.Field)
	}
}

// inState reports whether a descriptor is in the state directory, which the parent makes first.
func (d *Descriptor) inState() bool { return d.Kind == Listen || d.Kind == StateTree }

func lines(b *strings.Builder, indent string, acts []Act) {
	for _, a := range acts {
		line(b, indent+a.What, show.Line(a.Arguments), a.Field)
	}
}

// encode writes the outline's parts that the parent does, as properties of an object.
func (o *Outline) encode(e *jsonx.Encoder) {
	encodeActs(e, "claim", o.Claim)
	encodeActs(e, "before", o.Before)
	encodeActs(e, "beside", o.Beside)
	for phase := range phaseNames {
		encodeActs(e, Phase(phase).String(), o.Phases[Phase(phase)])
	}
	encodeActs(e, "after", o.After)
}

// encodeActs writes the acts as a property, unless there are none.
func encodeActs(e *jsonx.Encoder, name string, acts []Act) {
	if len(acts) == 0 {
		return
	}
	e.Key(name)
	e.Array()
	for _, a := range acts {
		e.Object()
		e.Key("what")
		e.String(a.What)
		if a.Arguments != "" {
			e.Key("arguments")
			e.String(a.Arguments)
		}
		if a.Field != "" {
			e.Key("field")
			e.String(a.Field)
		}
		e.EndObject()
	}
	e.EndArray()
}

// RenameFields replaces the field of each act by what f returns for it.
func (o *Outline) RenameFields(f func(field string) string) {
	lists := [][]Act{o.Claim, o.Before, o.Beside, o.After, o.Start, o.Delete}
	for _, acts := range o.Phases {
		lists = append(lists, acts)
	}
	for _, acts := range lists {
		for i := range acts {
			acts[i].Field = f(acts[i].Field)
		}
	}
}
