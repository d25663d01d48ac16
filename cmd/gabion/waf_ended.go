package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// endText is the end of a process in one line.
func endText(e filters.Event) string {
	p := e.Process
	text := p.Name + " ended: " + cut(cmp.Or(p.Fatal, p.Exit), 48)
	if away := p.Away(e.Time); away > 0 {
		return text + ", back after " + short(away)
	}
	return text + ", not known to be back"
}

// showEnd is the card of a process's end: when, why, what it meant, until when.
func (a *app) showEnd(e filters.Event) {
	p := e.Process
	fmt.Fprintln(a.out, a.paint(bold, "Event "+e.ID))
	fmt.Fprintf(a.out, "  %-9s %s\n", "time", e.Time.Local().Format(time.DateTime)+" ("+ago(a.now(), e.Time)+")")
	fmt.Fprintf(a.out, "  %-9s %s\n", "process", printable(p.Name))
	fmt.Fprintf(a.out, "  %-9s %s\n\n", "proxy", printable(e.Proxy))
	served := ""
	if !p.Ready.IsZero() {
		served = ", after it had served for " + age(e.Time, p.Ready)
	}
	fmt.Fprintf(a.out, "  %s: %s%s\n", a.decision(e.Decision), printable(p.Exit), served)
	if p.Fatal != "" {
		fmt.Fprintf(a.out, "  because: %s\n", printable(p.Fatal))
	}
	back := "not known"
	if away := p.Away(e.Time); away > 0 {
		back = "after " + short(away)
	}
	fmt.Fprintf(a.out, "  back: %s; started again %s since gabion up began\n\n", back, plural(p.Restarts, "time", "times"))
	fmt.Fprintln(a.out, "  "+meanwhile(p.Name))
	fmt.Fprintln(a.out, "  What it printed before is in the output of gabion up.")
}

// meanwhile says what became of requests without the process.
func meanwhile(process string) string {
	if process == filterProcess {
		return "Meanwhile requests were not judged: failureMode decided on each."
	}
	return "Meanwhile no request was answered, and what was under way was cut."
}
