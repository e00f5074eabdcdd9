package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/stint-run/stint/client/wire"
)

// progress shows how far a job is: a bar on a terminal, a line now and then elsewhere, nothing when quiet.
type progress interface {
	show(v *wire.Job)
	end()
}

func (c *command) newProgress() progress {
	switch {
	case c.quiet || c.output == "json" && !c.Terminal:
		return silence{}
	case c.Terminal:
		return &bar{w: c.Stderr}
	}
	return &lines{w: c.Stderr}
}

type silence struct{}

func (silence) show(*wire.Job) {}
func (silence) end()           {}

// pace is the rate of the last seconds.
type pace struct {
	at   []time.Time
	rows []int64
}

const paceWindow = 5 * time.Second

func (p *pace) add(now time.Time, rows int64) float64 {
	p.at, p.rows = append(p.at, now), append(p.rows, rows)
	for len(p.at) > 2 && now.Sub(p.at[0]) > paceWindow {
		p.at, p.rows = p.at[1:], p.rows[1:]
	}
	d := now.Sub(p.at[0]).Seconds()
	if d < 0.1 {
		return 0
	}
	return max(0, float64(rows-p.rows[0])/d)
}

// sums of a job: rows done, rows expected, and the stage that is worked on.
func sums(v *wire.Job) (done, total int64, stage string) {
	for _, s := range v.Stages {
		done += s.Counters.Read
		total += max(s.Rows, s.Counters.Read)
		if s.State == "open" && stage == "" {
			stage = s.Name
		}
	}
	if stage == "" {
		stage = string(v.State)
	}
	return done, total, stage
}

// until writes how long it takes to a moment that is expected; "-" when none is.
func until(now time.Time, at *time.Time) string {
	if at == nil {
		return "-"
	}
	return short(max(0, at.Sub(now)).Round(time.Second))
}

// bar draws one bar for the whole job.
type bar struct {
	w     io.Writer
	p     *mpb.Progress
	b     *mpb.Bar
	pace  pace
	stage string
	text  string
}

func (p *bar) show(v *wire.Job) {
	if p.p == nil {
		p.p = mpb.New(mpb.WithOutput(p.w), mpb.WithWidth(40), mpb.WithAutoRefresh())
		p.b = p.p.AddBar(0, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return p.stage + " " })),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + p.text })))
	}
	done, total, stage := sums(v)
	rate := p.pace.add(time.Now(), done)
	p.stage = printable(stage)
	p.text = fmt.Sprintf("%s of %s rows · %s rows/s · ETA %s", thousands(done), thousands(total), thousands(int64(rate)), until(time.Now(), v.ETA))
	p.b.SetTotal(max(total, 1)+1, false)
	p.b.SetCurrent(done)
}

func (p *bar) end() {
	if p.p != nil {
		p.b.Abort(true)
		p.p.Wait()
	}
}

// lines writes a line each 10 %, each 10 s, and when the stage changes.
type lines struct {
	w     io.Writer
	pace  pace
	last  time.Time
	step  int64
	stage string
}

func (p *lines) show(v *wire.Job) {
	done, total, stage := sums(v)
	now := time.Now()
	rate := p.pace.add(now, done)
	step := int64(0)
	if total > 0 {
		step = done * 10 / total
	}
	if step == p.step && stage == p.stage && now.Sub(p.last) < 10*time.Second {
		return
	}
	p.last, p.step, p.stage = now, step, stage
	percent := int64(0)
	if total > 0 {
		percent = done * 100 / total
	}
	fmt.Fprintf(p.w, "%3d%%  %s  %s of %s rows  %s rows/s  eta %s\n", percent, printable(stage), thousands(done), thousands(total), thousands(int64(rate)), until(now, v.ETA))
}

func (p *lines) end() {}
