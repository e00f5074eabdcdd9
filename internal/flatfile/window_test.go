package flatfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// scanAll returns all rows that a scanner finds, with their positions, through a window of some bytes.
func scanAll(r io.Reader, size, limit int, wide bool, d *dialect) (out []string, err error) {
	if wide {
		r = &utf16Reader{r: r}
	}
	s := newCSVScanner(&window{r: r, buf: make([]byte, size), limit: limit, wide: wide}, d, true)
	for {
		row, err := s.row()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		var fields []field
		var reason string
		if s.simple && !s.cut {
			fields = d.splitSimple(row, nil)
			other, why := d.split(row, nil)
			if fmt.Sprint(fields) != fmt.Sprint(other) || why != "" {
				return out, fmt.Errorf("%q has the fields %v, and %v by the way of rows with quotes", row, fields, other)
			}
		} else if !s.cut {
			fields, reason = d.split(row, nil)
		}
		out = append(out, fmt.Sprintf("%d %q %d %v %v %d %s", s.pos, row, len(fields), s.cut, s.unended, s.opened, reason))
	}
}

func TestRowsAreTheSameThroughAnyWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("a,\"\n\r\\ #é𝄞")), 0, 60, -1).Draw(rt, "text")
		d := &dialect{delimiter: ',', quote: rapid.SampledFrom([]byte{'"', 0}).Draw(rt, "quote"), comment: rapid.SampledFrom([]byte{'#', 0}).Draw(rt, "comment"),
			backslash: rapid.Bool().Draw(rt, "backslash"), trim: rapid.Bool().Draw(rt, "trim"), newline: rapid.SampledFrom([]newline{anyEnd, lfEnd, crEnd}).Draw(rt, "newline")}
		limit := rapid.SampledFrom([]int{1 << 20, 7}).Draw(rt, "limit")
		wide := rapid.Bool().Draw(rt, "wide")
		if wide {
			var b strings.Builder
			for _, u := range utf16.Encode([]rune(text)) {
				b.WriteByte(byte(u))
				b.WriteByte(byte(u >> 8))
			}
			text = b.String()
		}
		want, err := scanAll(strings.NewReader(text), 1<<10, limit, wide, d)
		if err != nil {
			rt.Fatal(err)
		}
		size := rapid.IntRange(1, 20).Draw(rt, "size")
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(text), "bytes": iotest.OneByteReader(strings.NewReader(text)),
			"halves": iotest.HalfReader(strings.NewReader(text)), "end": iotest.DataErrReader(strings.NewReader(text))} {
			got, err := scanAll(r, size, limit, wide, d)
			if err != nil {
				rt.Fatal(err)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				rt.Fatalf("%s, through %d bytes:\n%s\nwant\n%s", name, size, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	})
}

func TestAWindowSaysWhatIsWrongWithItsFile(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, r := range []io.Reader{iotest.ErrReader(broken), io.MultiReader(strings.NewReader("a\n\"b"), iotest.ErrReader(broken))} {
		if _, err := scanAll(r, 4, 100, false, &dialect{delimiter: ',', quote: '"'}); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := scanAll(silent{}, 4, 100, false, &dialect{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

// silent gives nothing, for ever.
type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }
