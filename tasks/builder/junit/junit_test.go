package junit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/junit"
)

func read(t testing.TB, text string) junit.Report {
	t.Helper()
	r, err := junit.Read(strings.NewReader(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// lines are a report in few words.
func lines(r junit.Report) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Tests, r.Failed, r.Errors, r.Skipped, r.Time, r.Omitted, r.Incomplete)
	for _, s := range r.Suites {
		fmt.Fprintf(&b, "%s: %d %d %d %d %v\n", s.Name, s.Tests, s.Failed, s.Errors, s.Skipped, s.Time)
		for _, c := range s.Cases {
			fmt.Fprintf(&b, "  %s|%s|%s %v %v|%s|%s|%q\n", c.Class, c.Name, c.Outcome, c.Flaky, c.Time, c.Type, c.Message, c.Text)
		}
	}
	return b.String()
}

func TestTheDialectsOfTheToolsAreRead(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"gotestsum.xml": `4 1 0 1 310ms 0 
example.org/product/ledger: 4 1 0 1 310ms
  example.org/product/ledger|TestBalance|passed false 100ms|||""
  example.org/product/ledger|TestClose|failed false 200ms||Failed|"=== RUN   TestClose\n    close_test.go:12: got 3, want 4\n--- FAIL: TestClose (0.20s)"
  example.org/product/ledger|TestSlow|skipped false 0s||=== RUN   TestSlow
    slow_test.go:5: not with -short
|""
  example.org/product/ledger|TestClose/of_a_<year>|passed false 10ms|||""
`,
		"surefire.xml": `5 1 1 1 16m42.5s 0 
org.example.LedgerTest: 5 1 1 1 16m42.5s
  org.example.LedgerTest|balances|passed false 16m41.2s|||""
  org.example.LedgerTest|closes|failed false 800ms|org.opentest4j.AssertionFailedError|expected: <4> but was: <3>|"org.opentest4j.AssertionFailedError: expected: <4> but was: <3>\n\tat org.example.LedgerTest.closes(LedgerTest.java:20)"
  org.example.LedgerTest|breaks|error false 100ms|java.lang.NullPointerException||"java.lang.NullPointerException\n\tat org.example.Ledger.of(Ledger.java:7)"
  org.example.LedgerTest|waits|skipped false 0s|||""
  org.example.LedgerTest|wavers|passed true 400ms|java.util.concurrent.TimeoutException|timed out|"at x"
`,
		"pytest.xml": `5 1 1 2 123ms 0 
pytest: 5 1 1 2 123ms
  tests.test_ledger|test_balance[1-2]|passed false 1ms|||""
  tests.test_ledger|test_close|failed false 2ms||assert 3 == 4|"def test_close():\n>       assert close() == 4\nE       assert 3 == 4\n\ntests/test_ledger.py:8: AssertionError"
  tests.test_ledger|test_later|skipped false 0s|pytest.skip|not yet|"/tests/test_ledger.py:11: not yet"
  tests.test_ledger|test_known|skipped false 1ms|pytest.xfail||""
  |tests.test_broken|error false 0s||collection failure|"ImportError: No module named 'none'"
`,
		"jest.xml": `3 1 0 1 900ms 0 
Ledger: 3 1 0 1 900ms
  Ledger closes a year|Ledger closes a year|failed false 4ms|||"Error: �[2mexpect(�[22m[31mreceived[39m[2m)[22m.toBe(expected)\n\nExpected: 4\nReceived: 3"
  Ledger balances|Ledger balances & more|passed false 1ms|||""
  Ledger is slow|Ledger is slow|skipped false 0s|||""
`,
		"nested.xml": `5 1 0 1 1.75s 0 
outer > inner > : 1 0 0 1 0s
  |c|skipped false 0s|||""
outer > inner: 1 0 0 0 250ms
  |b|passed false 250ms|||""
outer: 2 1 0 0 750ms
  |a|passed false 500ms|||""
  |d|failed false 0s|||""
: 1 0 0 0 1s
  |alone|passed false 1s|||""
`,
	} {
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "by bytes": iotest.OneByteReader(bytes.NewReader(b)), "with a mark": strings.NewReader("\ufeff" + string(b))} {
			got, err := junit.Read(r, 0)
			if err != nil || lines(got) != want {
				t.Errorf("%s, %s: %v\n%s\nwant\n%s", file, name, err, lines(got), want)
			}
		}
	}
}

func TestWhatNoXMLMayHaveInItIsReplaced(t *testing.T) {
	t.Parallel()
	r := read(t, "<testsuite><testcase name='a\x00b&#0;&#x1B;&#27;c&#65;&amp;&#xD800;\xff'><failure><![CDATA[\x01 &#27; ]] ]]>&#8;\x0c</failure></testcase></testsuite>")
	c := r.Suites[0].Cases[0]
	if c.Name != "a\uFFFDb\uFFFD\uFFFD\uFFFDcA&\uFFFD\uFFFD" || c.Text != "\uFFFD &#27; ]] \uFFFD\uFFFD" || r.Incomplete != "" {
		t.Errorf("%q %q %s", c.Name, c.Text, r.Incomplete)
	}
}

func TestAnotherEncodingIsRead(t *testing.T) {
	t.Parallel()
	text := `<?xml version="1.0" encoding="%s"?><testsuite name="Prüfung"><testcase name="ä"/></testsuite>`
	latin := strings.NewReplacer("ü", "\xfc", "ä", "\xe4").Replace(fmt.Sprintf(text, "ISO-8859-1"))
	wide := "\xff\xfe"
	for _, u := range utf16.Encode([]rune(fmt.Sprintf(text, "UTF-16"))) {
		wide += string([]byte{byte(u), byte(u >> 8)})
	}
	for name, in := range map[string]string{"latin": latin, "utf-16": wide, "none": fmt.Sprintf(text, "x-none"), "wrong": fmt.Sprintf(text, "utf-16")} {
		if r := read(t, in); r.Suites[0].Name != "Prüfung" || r.Suites[0].Cases[0].Name != "ä" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestAFileWhoseWriterWasKilledTellsWhatItHas(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/surefire.xml")
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for n := range b {
		r, err := junit.Read(bytes.NewReader(b[:n]), 0)
		if err == nil && r.Tests < last || r.Tests > 0 && err != nil {
			t.Fatalf("%d bytes: %+v, %v", n, r, err)
		}
		if last = r.Tests; r.Tests > 0 && n < len(b)-20 && r.Incomplete == "" {
			t.Fatalf("%d bytes are not incomplete", n)
		}
	}
	if last != 5 {
		t.Errorf("%d tests", last)
	}
}

func TestWhatIsNoReportIsAnErrorWithAHint(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hello", "<html><body>404</body></html>", "{}", "\x00\x01", "<", "<a><testcase name='x'/></a>"} {
		if r, err := junit.Read(strings.NewReader(text), 0); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
	broken := errors.New("broken")
	if _, err := junit.Read(io.MultiReader(strings.NewReader("<testsuite>"), iotest.ErrReader(broken)), 0); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestEntitiesOfAFileAreNeitherReadNorExpanded(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`<!DOCTYPE x [<!ENTITY s SYSTEM "file://` + secret + `">]><testsuite><testcase name="a"><failure>&s;</failure></testcase></testsuite>`,
		`<!DOCTYPE x [<!ENTITY % p SYSTEM "file://` + secret + `"> %p;]><testsuite><testcase name="a"><failure>&p;</failure></testcase></testsuite>`,
		`<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]><testsuite><testcase name="a"><failure>&c;</failure></testcase></testsuite>`,
	} {
		r := read(t, text)
		if c := r.Suites[0].Cases[0]; strings.Contains(c.Text, "hunter2") || len(c.Text) > 10 || c.Outcome != junit.Failed {
			t.Errorf("%+v", r)
		}
	}
}

// endless repeats a text between two others.
func endless(before, again, after string, size int) io.Reader {
	return io.MultiReader(strings.NewReader(before), io.LimitReader(&repeat{text: again}, int64(size/len(again)*len(again))), strings.NewReader(after))
}

type repeat struct {
	text string
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

// It does not run beside others: they would be in its measure.
func TestAHugeFileIsBoundedInMemory(t *testing.T) {
	const size, bound = 24 << 20, 48 << 20
	for name, r := range map[string]io.Reader{
		"tests":     endless("<testsuite>", "<testcase classname='org.example.Test' name='x'/>\n", "</testsuite>", size/4),
		"failures":  endless("<testsuite>", "<testcase name='x'><failure>"+strings.Repeat("long ", 2000)+"</failure></testcase>", "</testsuite>", size/3),
		"suites":    endless("<testsuites>", "<testsuite><testcase name='x'/></testsuite>", "</testsuites>", size/4),
		"a text":    endless("<testsuite><testcase name='a'/><system-out>", "0123456789", "</system-out></testsuite>", size),
		"cdata":     endless("<testsuite><testcase name='a'><failure><![CDATA[", "]] >é", "]]></failure></testcase></testsuite>", size),
		"attribute": endless("<testsuite><testcase name='a'/><testcase name='", "0123456789", "'/></testsuite>", size),
		"comment":   endless("<testsuite><testcase name='a'/><!--", "0123456789", "--></testsuite>", size),
		"directive": endless("<testsuite><testcase name='a'/></testsuite><!DOCTYPE ", "0123456789", ">", size),
		"tag":       endless("<testsuite><testcase name='a'/><", "abc", "/></testsuite>", size),
		"depth":     endless("<testsuite><testcase name='a'/>", "<b>", "", size),
		"suitedeep": endless("<testsuite><testcase name='a'/>", "<testsuite name='x'>", "", size),
	} {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		got, err := junit.Read(r, 0)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if err != nil || got.Tests < 1 {
			t.Errorf("%s: %d tests, %v", name, got.Tests, err)
		}
		if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > bound {
			t.Errorf("%s: the heap grew by %d MiB", name, grown>>20)
		}
		for _, s := range got.Suites {
			for _, c := range s.Cases {
				if len(c.Text) > junit.MaxText || len(c.Name) > junit.MaxName || !utf8.ValidString(c.Text) {
					t.Fatalf("%s: %d bytes", name, len(c.Text))
				}
			}
		}
		t.Logf("%s: %v, %d tests, %d omitted, %s", name, took, got.Tests, got.Omitted, got.Incomplete)
	}
	got, err := junit.Read(endless("<testsuite>", "<testcase name='x'/>", "</testsuite>", size), 1<<20)
	if err != nil || got.Incomplete != "it has more than 1048576 bytes" || got.Tests < 40_000 {
		t.Errorf("%d %s, %v", got.Tests, got.Incomplete, err)
	}
}

func TestReportsAreAddedUp(t *testing.T) {
	t.Parallel()
	var sum junit.Report
	sum.Add(read(t, "<testsuite><testcase name='a' time='1'/></testsuite>"))
	sum.Add(read(t, "<testsuite><testcase name='b' time='2'><error/></testcase>"))
	if sum.Tests != 2 || sum.Errors != 1 || sum.Time != 3*time.Second || len(sum.Suites) != 2 || sum.Incomplete == "" {
		t.Errorf("%+v", sum)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<testsuite><testcase name='a'><failure>x</testsuite>")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := junit.Read(strings.NewReader(text), 0)
		if err == nil && r.Tests < r.Failed+r.Errors+r.Skipped {
			t.Errorf("%+v", r)
		}
	})
}
