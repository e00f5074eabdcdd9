// Package junit reads test results in the XML that JUnit began and every tool writes in its own way: maven surefire, gotestsum, pytest,
// jest-junit, GoogleTest and others.
//
// What they say about totals is not believed, as many leave it out or count by other rules: tests are counted. A file may be cut off,
// because its writer was killed, and may be written by an enemy: it costs no more memory than the bounds below, whatever its length,
// nothing outside of it is read, and no entity of its own is expanded.
package junit

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
)

// Bounds of what is kept; the rest is counted.
const (
	MaxPassed  = 20_000 // tests that have passed or were skipped
	MaxFailed  = 1_000
	MaxSuites  = 5_000
	MaxName    = 512      // bytes of a name, a class or a file
	MaxMessage = 4 << 10  // bytes of a message
	MaxText    = 16 << 10 // bytes of the text of a failure
	maxDepth   = 64
)

// Outcome is how a test ended.
type Outcome string

// Outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed" // the test said so
	Errored Outcome = "error"  // something else went wrong
	Skipped Outcome = "skipped"
)

// Report is what a file says. Reports can be added up.
type Report struct {
	Counts
	Suites []Suite `json:"suites,omitempty"`
	// Omitted is how many tests are counted and not kept.
	Omitted int `json:"omitted,omitempty"`
	// Incomplete says why the file could not be read to its end; "" where it was.
	Incomplete string `json:"incomplete,omitempty"`
}

// Counts are numbers of tests, and how long they took together.
type Counts struct {
	Tests   int           `json:"tests"`
	Failed  int           `json:"failed"`
	Errors  int           `json:"errors"`
	Skipped int           `json:"skipped"`
	Time    time.Duration `json:"time"`
}

// Suite is a group of tests; of suites within suites each is one, with the names of those around it before its own.
type Suite struct {
	Name string `json:"name"`
	Counts
	Cases []Case `json:"cases,omitempty"`
}

// Case is one test.
type Case struct {
	Class   string        `json:"class,omitempty"`
	Name    string        `json:"name"`
	File    string        `json:"file,omitempty"`
	Outcome Outcome       `json:"outcome"`
	Flaky   bool          `json:"flaky,omitempty"` // it failed, and passed when it was tried again
	Time    time.Duration `json:"time,omitempty"`
	Type    string        `json:"type,omitempty"`
	Message string        `json:"message,omitempty"`
	// Text is what stands in the failure: a stack trace, a difference. Control characters and bytes that are no text are replaced.
	Text string `json:"text,omitempty"`
}

// Read reads a file, limit bytes of it at most (0 is no limit). What is not a report of tests is an error; what is one as far as it
// goes is Incomplete.
func Read(r io.Reader, limit int64) (Report, error) {
	in := &counted{r: r, left: limit}
	if limit <= 0 {
		in.left = math.MaxInt64
	}
	text, err := clean(in)
	if err != nil {
		return Report{}, fmt.Errorf("read test results: %w", err)
	}
	d := xml.NewDecoder(text)
	d.Strict = false
	d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil } // clean has made UTF-8 of it
	p := &parser{d: d}
	err = p.run()
	if in.failed != nil {
		return p.report, fmt.Errorf("read test results: %w", in.failed)
	}
	if !p.any {
		return Report{}, tasks.WithHint(err, "junit in the pipeline file names XML files with <testsuite> in them", "it is no report of tests")
	}
	for len(p.open) > 0 {
		p.endSuite()
	}
	switch {
	case in.over:
		p.report.Incomplete = fmt.Sprintf("it has more than %d bytes", limit)
	case err != nil:
		p.report.Incomplete = err.Error()
	}
	return p.report, nil
}

// counted reads as far as the limit.
type counted struct {
	r      io.Reader
	left   int64
	over   bool
	failed error
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	if c.left <= 0 {
		n, _ := c.r.Read(make([]byte, 1))
		c.over = c.over || n > 0
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.failed = err
	}
	return n, err
}

// parser goes through the elements.
type parser struct {
	d        *xml.Decoder
	report   Report
	any      bool // there was a suite
	open     []*openSuite
	c        *Case // the test that is open
	into     *strings.Builder
	depth    int
	inside   int // the depth of the element whose text is taken
	passed   int
	failures int
}

type openSuite struct {
	Suite
	told bool // its own time is known
	sum  time.Duration
}

func (p *parser) run() error {
	for {
		token, err := p.d.RawToken()
		if errors.Is(err, io.EOF) {
			if p.depth > 0 {
				return errors.New("its end is missing")
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if p.depth++; p.depth > maxDepth {
				return fmt.Errorf("its elements are more than %d deep", maxDepth)
			}
			p.start(t)
		case xml.EndElement:
			p.depth--
			p.end(t.Name.Local)
		case xml.CharData:
			if p.into != nil && p.into.Len() < MaxText {
				p.into.Write(t)
			}
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (p *parser) start(e xml.StartElement) {
	switch name := e.Name.Local; {
	case name == "testsuites":
		p.any = true
	case name == "testsuite":
		p.any, p.c = true, nil
		s := &openSuite{Suite: Suite{Name: cut(attribute(e, "name"), MaxName)}}
		if len(p.open) > 0 {
			if outer := p.open[len(p.open)-1].Name; outer != "" {
				s.Name = cut(outer+" > "+s.Name, MaxName)
			}
		}
		s.Time, s.told = seconds(attribute(e, "time"))
		p.open = append(p.open, s)
	case name == "testcase" && p.any:
		p.startCase(e)
	case p.c != nil && p.into == nil:
		p.outcome(e)
	}
}

func (p *parser) startCase(e xml.StartElement) {
	if len(p.open) == 0 { // right below testsuites, as some write it
		p.open = append(p.open, &openSuite{})
	}
	p.c = &Case{Class: cut(attribute(e, "classname"), MaxName), Name: cut(attribute(e, "name"), MaxName), File: cut(attribute(e, "file"), MaxName), Outcome: Passed}
	p.c.Time, _ = seconds(attribute(e, "time"))
	switch strings.ToLower(attribute(e, "status")) {
	case "notrun", "skipped", "disabled":
		p.c.Outcome = Skipped
	}
}

// outcome reads an element within a test that says how it ended. A failure and an error beside each other are an error.
func (p *parser) outcome(e xml.StartElement) {
	c := p.c
	switch e.Name.Local {
	case "error":
		c.Outcome = Errored
	case "failure":
		if c.Outcome != Errored {
			c.Outcome = Failed
		}
	case "skipped":
		if c.Outcome == Passed {
			c.Outcome = Skipped
		}
	case "flakyFailure", "flakyError":
		c.Flaky = true
	default:
		return
	}
	if c.Message == "" && c.Type == "" {
		c.Message, c.Type = cut(attribute(e, "message"), MaxMessage), cut(attribute(e, "type"), MaxName)
	}
	p.into, p.inside = &strings.Builder{}, p.depth
}

func (p *parser) end(name string) {
	switch {
	case p.into != nil && p.depth < p.inside:
		if p.c != nil && p.c.Text == "" {
			p.c.Text = cut(strings.TrimSpace(p.into.String()), MaxText)
		}
		p.into = nil
		if name == "testcase" || name == "testsuite" { // the end of the inner element is missing
			p.end(name)
		}
	case name == "testcase" && p.c != nil:
		p.endCase()
	case name == "testsuite" && len(p.open) > 0:
		p.endSuite()
	}
}

func (p *parser) endCase() {
	s, c := p.open[len(p.open)-1], *p.c
	p.c = nil
	s.Tests++
	s.sum += c.Time
	switch c.Outcome {
	case Failed:
		s.Failed++
	case Errored:
		s.Errors++
	case Skipped:
		s.Skipped++
	}
	kept, most := &p.passed, MaxPassed
	if c.Outcome == Failed || c.Outcome == Errored {
		kept, most = &p.failures, MaxFailed
	}
	if *kept >= most {
		p.report.Omitted++
		return
	}
	*kept++
	s.Cases = append(s.Cases, c)
}

// endSuite counts a suite. Its time is that which it says, or that of its tests, and holds what the suites within it took.
func (p *parser) endSuite() {
	s := p.open[len(p.open)-1]
	p.open, p.c, p.into = p.open[:len(p.open)-1], nil, nil
	if !s.told {
		s.Time = s.sum
	}
	if len(p.open) > 0 {
		p.open[len(p.open)-1].sum += s.Time
	} else {
		p.report.Time += s.Time
	}
	p.report.Tests += s.Tests
	p.report.Failed += s.Failed
	p.report.Errors += s.Errors
	p.report.Skipped += s.Skipped
	switch {
	case s.Tests == 0:
	case len(p.report.Suites) >= MaxSuites:
		p.report.Omitted += len(s.Cases)
	default:
		p.report.Suites = append(p.report.Suites, s.Suite)
	}
}

// seconds reads a time as the tools write it: 1.5, 0,5 and 1,234.5. What is none is 0.
func seconds(text string) (time.Duration, bool) {
	text = strings.TrimSuffix(strings.TrimSpace(text), "s")
	if strings.Contains(text, ".") {
		text = strings.ReplaceAll(text, ",", "")
	} else {
		text = strings.Replace(text, ",", ".", 1)
	}
	f, err := strconv.ParseFloat(text, 64)
	const most = 1e9 // thirty years
	if err != nil || !(f >= 0 && f < most) {
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}

// cut shortens a text, between two characters, and marks it.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const mark = "…"
	n := most - len(mark)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + mark
}

// Add takes another file's results along.
func (r *Report) Add(o Report) {
	r.Tests += o.Tests
	r.Failed += o.Failed
	r.Errors += o.Errors
	r.Skipped += o.Skipped
	r.Time += o.Time
	r.Omitted += o.Omitted
	r.Suites = append(r.Suites, o.Suites...)
	if r.Incomplete == "" {
		r.Incomplete = o.Incomplete
	}
}
