package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/buildlog"
)

// shownLines is how many lines of a log a page begins with: its last ones.
const shownLines = 2000

// logBody is what the page of a log shows.
type logBody struct {
	ID, Name string
	Title    string   // of the build
	Names    []string // the other logs
	Lines    []logLine
	More     bool  // there are lines before them
	Last     int64 // the number of the last line
	Stream   string
	Whole    string
	Ended    bool // nothing more comes
}

// logLine is a line as it is shown: without colours, and without what could play tricks on its reader.
type logLine struct {
	Seq    int64
	At     time.Time
	Stream string
	Text   string
}

var colours = regexp.MustCompile(`\x1b\[[0-9;:]*m`)

func plainLine(l tasks.LogLine) logLine {
	return logLine{l.Seq, l.At, l.Stream, colours.ReplaceAllString(buildlog.Printable(l.Text), "")}
}

func (b *buildPages) log(v *visit) (content, error) {
	id, name := v.PathValue("id"), v.PathValue("name")
	j, err := v.client.Job(v.ctx, id)
	if err != nil {
		return content{}, err
	}
	body := logBody{ID: id, Name: name, Title: id, Ended: j.State.Ended(), Stream: to("builds", id, "lines", name), Whole: to("builds", id, "whole", name)}
	if x, err := b.facts(v, j); err == nil && x.Version != "" {
		body.Title = x.Product + " " + x.Version
		for _, s := range x.Steps {
			if s.Name == name && (s.State == tasks.BuildPassed || s.State == tasks.BuildCached) {
				body.Ended = true
			}
		}
	}
	if body.Names, err = v.client.Logs(v.ctx, id); err != nil {
		return content{}, err
	}
	lines, err := v.client.LogEnd(v.ctx, id, name, shownLines+1)
	if err != nil {
		return content{}, err
	}
	if body.More = len(lines) > shownLines; body.More {
		lines = lines[1:]
	}
	for _, l := range lines {
		body.Lines, body.Last = append(body.Lines, plainLine(l)), l.Seq
	}
	return content{Title: "Log of " + name, Body: body, Still: true, Scripts: []string{"log.js"}}, nil
}

// wholeLog hands a log on as a text file.
func (b *buildPages) wholeLog(w http.ResponseWriter, v *visit) error {
	id, name := v.PathValue("id"), v.PathValue("name")
	attach(w, id+"-"+name+".log", "text/plain; charset=utf-8")
	c := http.NewResponseController(w)
	n := 0
	return v.client.Log(v.ctx, id, name, 0, false, func(l tasks.LogLine) error {
		if n%1000 == 0 {
			_ = c.SetWriteDeadline(time.Now().Add(liveUnread))
		}
		n++
		x := plainLine(l)
		_, err := fmt.Fprintf(w, "%s %s %s\n", x.At.UTC().Format("2006-01-02T15:04:05.000Z"), x.Stream, x.Text)
		return err
	})
}

// pour copies a file of any length to somebody who reads at their own speed.
func pour(w http.ResponseWriter, from io.Reader) error {
	c := http.NewResponseController(w)
	block := make([]byte, 256<<10)
	for {
		n, err := from.Read(block)
		if n > 0 {
			_ = c.SetWriteDeadline(time.Now().Add(liveUnread))
			if _, err := w.Write(block[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// How lines are sent: as many together as come within a moment.
const (
	linesAtOnce = 500
	linesWait   = 100 * time.Millisecond
)

// follow sends the lines of a log as they come: server-sent events of the type lines, whose data is a list of [time, stream, text] and
// whose id is the number of the last one, so that a browser that was cut off goes on after it. The event over says that the log has ended.
func (b *buildPages) follow(w http.ResponseWriter, r *http.Request) {
	v, ok := b.visitStream(w, r)
	if !ok {
		return
	}
	from, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		from = last
	}
	ctx, stop := context.WithCancel(v.ctx)
	defer stop()
	lines := make(chan tasks.LogLine, linesAtOnce)
	failure := make(chan error, 1)
	go func() {
		failure <- v.client.Log(ctx, v.PathValue("id"), v.PathValue("name"), max(from, 0)+1, true, func(l tasks.LogLine) error {
			select {
			case lines <- l:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(lines)
	}()
	out := &lineStream{w: w, c: http.NewResponseController(w)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	if !out.write("retry: 2000\n\n") {
		return
	}
	tick, beat := time.NewTicker(linesWait), time.NewTicker(liveHeartbeat)
	defer tick.Stop()
	defer beat.Stop()
	for {
		select {
		case l, more := <-lines:
			if !more {
				if err := <-failure; out.flush() && (err == nil || statusOf(err) != 0) { // what the API refuses is not asked for again
					out.write("event: over\ndata: \"\"\n\n")
				}
				return
			}
			if out.add(l); len(out.lines) >= linesAtOnce && !out.flush() {
				return
			}
		case <-tick.C:
			if !out.flush() {
				return
			}
		case <-beat.C:
			if _, err := b.api.Visitor(r, cookieOf(r)); err != nil && problemOf(err).Status == http.StatusUnauthorized { // who is logged out reads nothing more
				out.write("event: reload\ndata: \"\"\n\n")
				return
			}
			if !out.write(": still there\n\n") {
				return
			}
		case <-r.Context().Done():
			return
		case <-b.api.Stopping():
			return // the browser asks again, here or elsewhere
		}
	}
}

// lineStream gathers lines and sends them together.
type lineStream struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	lines [][3]string
	last  int64
}

func (s *lineStream) add(l tasks.LogLine) {
	x := plainLine(l)
	s.lines, s.last = append(s.lines, [3]string{x.At.UTC().Format("15:04:05"), x.Stream, x.Text}), x.Seq
}

func (s *lineStream) flush() bool {
	if len(s.lines) == 0 {
		return true
	}
	body, err := json.Marshal(s.lines)
	if err != nil {
		return false
	}
	s.lines = s.lines[:0]
	return s.write(fmt.Sprintf("id: %d\nevent: lines\ndata: %s\n\n", s.last, body))
}

func (s *lineStream) write(text string) bool {
	_ = s.c.SetWriteDeadline(time.Now().Add(liveUnread))
	if _, err := io.WriteString(s.w, text); err != nil {
		return false
	}
	return s.c.Flush() == nil
}
