package config

import (
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var schedulerPolicies = [...]string{
	"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE",
}

var schedulerFlags = [...]string{
	"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX",
}

// scheduler refuses what sched_setattr(2) would refuse, or would take for something else.
func (c *checker) scheduler(s *specs.Scheduler) {
	if s == nil {
		return
	}
	m := c.mark()
	c.choice("policy", "scheduling policy", string(s.Policy), schedulerPolicies[:])
	if s.Policy == specs.SchedISO {
		c.problem("policy", "SCHED_ISO is reserved, but no Linux implements it")
	}
	if s.Nice < -20 || s.Nice > 19 {
		c.problem("nice", "%d is out of range: from -20 to 19", s.Nice)
	}
	realtime := s.Policy == specs.SchedFIFO || s.Policy == specs.SchedRR
	switch {
	case realtime && (s.Priority < 1 || s.Priority > 99):
		c.problem("priority", "%d is out of range for %s: from 1 to 99", s.Priority, s.Policy)
	case !realtime && s.Priority != 0:
		c.problem("priority", "%d is given, but only SCHED_FIFO and SCHED_RR have priorities, not %s", s.Priority, s.Policy)
	}
	if s.Nice != 0 && (realtime || s.Policy == specs.SchedDeadline) {
		c.warn("nice", "%d has no effect with %s", s.Nice, s.Policy)
	}
	c.deadline(s)
	for i, f := range s.Flags {
		c.choice(element("flags", i), "scheduling flag", string(f), schedulerFlags[:])
	}
	c.in("scheduler", m)
}

// deadline checks the times of SCHED_DEADLINE: __checkparam_dl of the kernel's
// kernel/sched/deadline.c.
func (c *checker) deadline(s *specs.Scheduler) {
	const least = 1024 // ns: the kernel's resolution of bandwidth, 1 << DL_SCALE
	if s.Policy != specs.SchedDeadline {
		for _, f := range [...]struct {
			name  string
			value uint64
		}{{"runtime", s.Runtime}, {"deadline", s.Deadline}, {"period", s.Period}} {
			if f.value != 0 {
				c.problem(f.name, "%d is given, but is for SCHED_DEADLINE, not %s", f.value, s.Policy)
			}
		}
		return
	}
	period := s.Period
	if period == 0 { // sched_setattr(2): the same as the deadline
		period = s.Deadline
	}
	switch {
	case s.Deadline == 0:
		c.problem("deadline", "is missing: SCHED_DEADLINE needs one, in nanoseconds")
	case s.Deadline > math.MaxInt64 || period > math.MaxInt64:
		c.problem("deadline", "deadline %d or period %d is beyond 2^63 nanoseconds", s.Deadline, period)
	case s.Runtime < least:
		c.problem("runtime", "%d is below the %d nanoseconds that the kernel can tell apart", s.Runtime, least)
	case s.Runtime > s.Deadline:
		c.problem("runtime", "%d is above the deadline, which is %d", s.Runtime, s.Deadline)
	case s.Deadline > period:
		c.problem("deadline", "%d is above the period, which is %d", s.Deadline, period)
	}
}
