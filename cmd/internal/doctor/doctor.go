// Package doctor looks at what stint finds, the Redis, the databases, the fleet, the artifacts and this machine, and says what
// is wrong with it and what to do. It changes nothing: of an artifact that it writes to see whether it can it leaves nothing. What it is not allowed to see it says so.
//
// RefuseEvicting is the one check that also stands at the start of every process of the engine.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks"
)

// Verdict says how bad a finding is.
type Verdict string

// The verdicts, from good to bad.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // it works, and may cost more than one thinks; or it cannot be seen
	Problem Verdict = "problem" // it does not work, or not for long
)

// Finding is what was found out about one thing.
type Finding struct {
	Subject string  `json:"subject"` // redis, embedded queue, connection NAME, fleet, kind NAME, tokens, ...
	Check   string  `json:"check"`   // what was looked at: eviction, loss, clock, ...
	Verdict Verdict `json:"verdict"`
	Message string  `json:"message"`
	Hint    string  `json:"hint,omitempty"` // what to do; "" when there is nothing
}

// Worst returns the worst verdict of a list; of an empty one, OK.
func Worst(list []Finding) Verdict {
	worst := OK
	for _, f := range list {
		if f.Verdict == Problem || f.Verdict == Warning && worst == OK {
			worst = f.Verdict
		}
	}
	return worst
}

// Options say what to look at. What is nil or zero is not looked at.
type Options struct {
	Config *config.Config
	App    *app.App       // connected to Redis; nil with a server, or when it could not be connected
	Client *client.Client // of the API: of App's, or of a server
	Server bool           // Client speaks to a server: what it stands on is not this machine's
	// Refused is why App could not be connected, or the server's client not be made.
	Refused error
	Version string // of this build
	Now     func() time.Time
}

// within bounds each part of an examination.
const within = 15 * time.Second

// Examine looks at everything and returns what it found, in the order in which a person would look. It takes some seconds at
// most when something does not answer; ctx may end it earlier.
func Examine(ctx context.Context, o Options) []Finding {
	parts := []func(context.Context) []Finding{}
	look := func(f func(context.Context) []Finding) { parts = append(parts, f) }
	if o.Refused != nil {
		look(func(context.Context) []Finding { return []Finding{refused(o)} })
	}
	if o.App != nil {
		look(func(ctx context.Context) []Finding { return examineQueue(ctx, o) })
	}
	if !o.Server {
		for _, c := range o.Config.Connections {
			look(func(ctx context.Context) []Finding { return examineConnection(ctx, c, o.Now) })
		}
	}
	if o.Client != nil {
		look(func(ctx context.Context) []Finding { return examineFleet(ctx, o) })
	}
	if !o.Server {
		look(func(ctx context.Context) []Finding { return examineTelemetry(ctx, o.Config.Telemetry) })
		look(func(ctx context.Context) []Finding { return examineArtifacts(ctx, o.Config.Artifacts, o.Config.Data) })
		look(func(context.Context) []Finding { return examineData(o.Config.Data) })
	}
	found := make([][]Finding, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			found[i] = part(ctx)
		})
	}
	wg.Wait()
	return slices.Concat(found...)
}

// refused is the finding about a Redis or server that could not be connected.
func refused(o Options) Finding {
	f := failed("redis", "reachable", o.Refused)
	switch text := o.Refused.Error(); {
	case o.Server:
		f.Subject = "server"
	case o.Config.Redis.URL.IsZero():
		f.Subject = "embedded queue"
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"):
		f.Hint = "set redis.username and redis.password; Redis' ACL GETUSER says what the user may do"
	}
	return f
}

// failed is the finding that something went wrong, with the error's own hint.
func failed(subject, check string, err error) Finding {
	return Finding{subject, check, Problem, err.Error(), tasks.HintOf(err)}
}

// notes gathers the findings about one subject.
type notes struct {
	subject string
	list    []Finding
}

func (n *notes) add(v Verdict, check, hint, format string, args ...any) {
	n.list = append(n.list, Finding{n.subject, check, v, fmt.Sprintf(format, args...), hint})
}

func (n *notes) ok(check, format string, args ...any) { n.add(OK, check, "", format, args...) }

func (n *notes) failed(check string, err error) {
	n.list = append(n.list, failed(n.subject, check, err))
}

// clockTolerance is how far two clocks may be apart without anybody noticing.
const clockTolerance = time.Second

// clock compares another clock with this machine's: what it said between two looks at ours.
func (n *notes) clock(before, said, after time.Time) {
	round := after.Sub(before)
	off := said.Sub(before.Add(round / 2))
	unsure := round / 2
	switch {
	case off.Abs() > clockTolerance+unsure:
		way := "ahead of"
		if off < 0 {
			way = "behind"
		}
		n.add(Warning, "clock", "let both machines follow a time server: the end of tokens and the times of jobs go by different clocks",
			"its clock is %s %s this machine's", rounded(off.Abs()), way)
	default:
		n.ok("clock", "agrees with this machine's to %s", rounded(max(off.Abs(), unsure)))
	}
}

// rounded cuts a duration to what says something.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// size writes bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// plural writes 1 worker, 2 workers.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
