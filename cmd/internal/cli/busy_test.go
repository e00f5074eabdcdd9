package cli

import (
	"bytes"
	"testing"
	"time"
)

func TestACommandThatTakesLongSaysWhatItIsAtAndTakesItAway(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	began := time.Now()
	tick := make(chan time.Time)
	stopped := false
	done := ticking(&out, "reading the schemas", began, tick, func() { stopped = true })
	tick <- began.Add(time.Second)
	tick <- began.Add(2 * time.Second)
	done()
	if want := clearLine + "reading the schemas ... 1s" + clearLine + "reading the schemas ... 2s" + clearLine; out.String() != want || !stopped {
		t.Errorf("%q, stopped: %v; want %q", out.String(), stopped, want)
	}
}

func TestNothingIsSaidInPassingWhereNobodyLooks(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, c := range []*command{{Env: Env{Stderr: &out}}, {Env: Env{Stderr: &out, Terminal: true}, quiet: true}, {Env: Env{Stderr: &out, Terminal: true}}} {
		c.busy("reading the schemas")() // the last one ends before its first tick
	}
	if out.Len() > 0 {
		t.Errorf("it says %q", out.String())
	}
}
