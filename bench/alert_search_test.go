package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/elastictest"
)

// A search server in a process of its own, so that what it costs is not counted as somebody else's: the double, into which events come
// all the time, and out of which they go when they are old.

const (
	// benchEvents is how many events come a second.
	benchEvents = 20
	// benchServices is how many services they are of.
	benchServices = 50
	// benchKeeps is for how many minutes they are kept: more than any rule asks for.
	benchKeeps = 5
)

// counts are how many requests of a kind there were.
type counts map[string]int

func (c counts) since(before counts) counts {
	out := counts{}
	for kind, n := range c {
		if n -= before[kind]; n > 0 {
			out[kind] = n
		}
	}
	return out
}

func (c counts) total() int {
	n := 0
	for _, of := range c {
		n += of
	}
	return n
}

func (c counts) String() string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Sprintf("%d %s", c[kind], kind))
	}
	return strings.Join(parts, ", ")
}

// searchProcess is the server, as the bench sees it.
type searchProcess struct {
	b     *testing.B
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	url   string
}

func startSearch(b *testing.B) *searchProcess {
	s := &searchProcess{b: b, cmd: exec.Command(os.Args[0])}
	s.cmd.Env = append(os.Environ(), "STINT_BENCH_SEARCH=1")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	s.in, s.lines = in, bufio.NewScanner(out)
	s.url = s.line()
	return s
}

func (s *searchProcess) line() string {
	if !s.lines.Scan() {
		s.b.Fatalf("the search server has ended: %v", s.lines.Err())
	}
	return s.lines.Text()
}

func (s *searchProcess) pid() int { return s.cmd.Process.Pid }

// requests asks how many requests there were.
func (s *searchProcess) requests() counts {
	if _, err := fmt.Fprintln(s.in, "requests"); err != nil {
		s.b.Fatal(err)
	}
	out := counts{}
	if err := json.Unmarshal([]byte(s.line()), &out); err != nil {
		s.b.Fatal(err)
	}
	return out
}

func (s *searchProcess) stop() {
	_ = s.in.Close()
	_ = s.cmd.Wait() // nobody is interested any more
}

// serveSearch is the process: it says where it listens, answers each line with how many requests there were, and ends with its input.
func serveSearch(in io.Reader, out io.Writer) error {
	s, err := elastictest.Start(elastictest.Options{Version: "7.17.0"})
	if err != nil {
		return err
	}
	defer s.Close()
	for _, index := range []string{"elastalert_status", "elastalert_status_status", "elastalert_status_silence", "elastalert_status_error", "elastalert_status_past"} {
		s.Add(docsearch.Document{Index: index, Source: map[string]any{"@timestamp": "2000-01-01T00:00:00Z"}}) // they exist
	}
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Now()
	for at := now.Add(-benchKeeps * time.Minute); at.Before(now); at = at.Add(time.Second / benchEvents) {
		s.Add(event(random, at))
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		tick := time.NewTicker(time.Second / benchEvents)
		defer tick.Stop()
		for {
			select {
			case at := <-tick.C:
				s.Remove(indexOf(at.Add(-benchKeeps * time.Minute)))
				s.Add(event(random, at))
			case <-done:
				return
			}
		}
	}()
	fmt.Fprintln(out, s.URL())
	for lines := bufio.NewScanner(in); lines.Scan(); {
		all := counts{}
		for _, kind := range []string{"search", "count", "msearch", "pit", "close", "scroll", "bulk", "doc", "health", "info"} {
			all[kind] = s.Requests(kind)
		}
		if err := json.NewEncoder(out).Encode(all); err != nil {
			return err
		}
	}
	return nil
}

func indexOf(at time.Time) string { return "logs-" + at.UTC().Format("2006.01.02-15.04") }

// event is one of a service: a tenth have failed, and one in 500 is fatal.
func event(r *rand.Rand, at time.Time) docsearch.Document {
	service, status, level := r.IntN(benchServices), 200, "info"
	if r.IntN(10) == 0 {
		status, level = 500+r.IntN(50), "error"
	}
	if r.IntN(500) == 0 {
		level = "fatal"
	}
	number := func(n int) json.Number { return json.Number(strconv.Itoa(n)) }
	return docsearch.Document{Index: indexOf(at), Source: map[string]any{"@timestamp": at.UTC().Format("2006-01-02T15:04:05.000Z"), "service": "s" + strconv.Itoa(service),
		"host": fmt.Sprintf("h%d-%d", service, r.IntN(4)), "status": number(status), "level": level, "took_ms": number(r.IntN(1000))}}
}
