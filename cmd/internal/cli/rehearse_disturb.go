package cli

import (
	"context"
	"slices"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
)

// disturbance is what happens to the workers in one run: at random moments one is killed or drained, and a successor starts at
// once. Nobody waits for a killed one's steps before the next one dies.
type disturbance struct {
	re     *rehearsal
	events []event
	killed []*loss
}

// event is due when so many rows have been read, and a worker holds a step.
type event struct {
	rows int64
	kill bool
}

// loss is a killed worker whose steps are not yet known to run elsewhere.
type loss struct {
	worker string
	held   []wire.Out
	at     time.Time
	over   bool
}

// newDisturbance draws the moments of what is still to come. They are within the first nine tenths: what is due in the last
// moment finds nobody at work.
func newDisturbance(re *rehearsal) *disturbance {
	d := &disturbance{re: re}
	for i := range re.kills + re.drains - re.res.Kills - re.res.Drains {
		d.events = append(d.events, event{kill: i < re.kills-re.res.Kills})
	}
	re.r.Shuffle(len(d.events), func(i, j int) { d.events[i], d.events[j] = d.events[j], d.events[i] })
	moments := make([]int64, len(d.events))
	for i := range moments {
		moments[i] = int64(re.r.Float64() * 0.9 * float64(re.total))
	}
	slices.Sort(moments)
	for i := range moments {
		d.events[i].rows = moments[i]
	}
	return d
}

// play carries the events out, one by one, until the job has ended.
func (d *disturbance) play(ctx context.Context, job string, p progress) error {
	for _, e := range d.events {
		var at *workerProcess
		view, err := d.re.until(ctx, job, p, func(v *wire.Job) bool {
			d.observe(v)
			at = nil
			if done, _, _ := sums(v); done >= e.rows {
				at = d.someone(v)
			}
			return v.State.Ended() || at != nil
		})
		if err != nil || view.State.Ended() {
			return err
		}
		if e.kill {
			d.kill(view, at)
		} else {
			took, err := d.re.drain(ctx, at)
			if err != nil {
				return err
			}
			d.re.res.Drains++
			d.re.res.DrainMS = append(d.re.res.DrainMS, took.Milliseconds())
			d.re.say("   drained %s: safe to stop after %s", at.id, short(took))
		}
		if _, err := d.re.hire(ctx); err != nil {
			return err
		}
	}
	return nil
}

// someone chooses one of the workers that hold steps; nil when none does.
func (d *disturbance) someone(v *wire.Job) *workerProcess {
	var busy []*workerProcess
	for _, m := range d.re.members {
		if len(heldBy(v, m.id)) > 0 {
			busy = append(busy, m)
		}
	}
	if len(busy) == 0 {
		return nil
	}
	return busy[d.re.r.IntN(len(busy))]
}

func (d *disturbance) kill(v *wire.Job, at *workerProcess) {
	held := heldBy(v, at.id)
	d.killed = append(d.killed, &loss{worker: at.id, held: held, at: time.Now()})
	at.kill()
	d.re.forget(at)
	d.re.res.Kills++
	d.re.say("   killed %s, which held %s", at.id, plural(len(held), "step"))
}

// observe sees whose steps run elsewhere by now.
func (d *disturbance) observe(v *wire.Job) {
	for _, l := range d.killed {
		if !l.over && recovered(v, l.worker, l.held) {
			l.over = true
			took := time.Since(l.at)
			d.re.res.RecoveryMS = append(d.re.res.RecoveryMS, took.Milliseconds())
			d.re.say("   what %s held runs elsewhere after %s", l.worker, short(took))
		}
	}
}

// giveUp cancels the job of a rehearsal that is interrupted: nobody asks for its result any more.
func (re *rehearsal) giveUp(ctx context.Context) {
	if re.job == "" {
		return
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := re.s.Control(short, re.job, client.Cancel); err != nil {
		re.log.Warn("the job of the rehearsal could not be cancelled", "job", re.job, "err", err)
	}
}
