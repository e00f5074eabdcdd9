package condition

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks"
)

var (
	percentVerb = regexp.MustCompile(`%(?:%|([-+ 0#]*)(\d*)(?:\.(\d+))?([a-zA-Z]))`)
	bracesVerb  = regexp.MustCompile(`\{\{|\}\}|\{0?(?::(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\d*)([,_])?(?:\.(\d+))?([a-zA-Z%])?)?\}`)
)

// Format writes a number in the way of Python's % ("%.2f") or, where the format begins with a brace, of its str.format ("{:.1%}"). The error
// says what cannot be understood.
func Format(format string, value any) (string, error) {
	bad := func() error {
		return tasks.Permanent(tasks.WithHint(nil, "write, for example, %.2f or {:.1%}", "the format %q cannot be understood", format))
	}
	f, isNumber := document.Number(value)
	if !isNumber {
		return "", bad()
	}
	verb, ok := percentVerb, true
	if strings.HasPrefix(format, "{") {
		verb = bracesVerb
	}
	rest := verb.ReplaceAllString(format, "")
	if verb == percentVerb && strings.Contains(rest, "%") || verb == bracesVerb && strings.ContainsAny(rest, "{}") {
		return "", bad()
	}
	out := verb.ReplaceAllStringFunc(format, func(s string) string {
		switch s {
		case "%%", "{{", "}}":
			return s[:1]
		}
		var l layout
		if p := verb.FindStringSubmatch(s); verb == percentVerb {
			l = layout{align: '>', width: atoi(p[2]), precision: precision(p[3]), kind: p[4], zero: strings.Contains(p[1], "0"), alternate: strings.Contains(p[1], "#")}
			if strings.Contains(p[1], "-") {
				l.align, l.zero = '<', false
			}
			if i := strings.IndexAny(p[1], "+ "); i >= 0 {
				l.sign = p[1][i : i+1]
			}
			if l.kind == "d" || l.kind == "i" { // it cuts off, where {:d} refuses
				f = math.Trunc(f)
				l.kind = "d"
			}
		} else {
			l = layout{fill: p[1], align: '>', sign: p[3], alternate: p[4] != "", zero: p[5] != "", width: atoi(p[6]), group: p[7], precision: precision(p[8]), kind: p[9]}
			if p[2] != "" {
				l.align = p[2][0]
			}
		}
		text, fine := l.write(f, value)
		ok = ok && fine
		return text
	})
	if !ok {
		return "", bad()
	}
	return out, nil
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return min(n, 200)
}

func precision(s string) int {
	if s == "" {
		return -1
	}
	return atoi(s)
}

// layout is what stands between the braces, or after the %.
type layout struct {
	fill, sign, group, kind string
	align                   byte
	zero, alternate         bool
	width, precision        int
}

func (l *layout) write(f float64, value any) (string, bool) {
	digits, ok := l.digits(math.Abs(f), value)
	if !ok {
		return "", false
	}
	if l.group != "" {
		digits = grouped(digits, l.group)
	}
	sign := ""
	switch {
	case math.Signbit(f):
		sign = "-"
	case l.sign != "" && l.sign != "-":
		sign = l.sign
	}
	pad := max(l.width-len([]rune(sign+digits)), 0)
	fill := l.fill
	if fill == "" {
		fill = " "
		if l.zero {
			fill, l.align = "0", '='
		}
	}
	switch l.align {
	case '<':
		return sign + digits + strings.Repeat(fill, pad), true
	case '^':
		return strings.Repeat(fill, pad/2) + sign + digits + strings.Repeat(fill, pad-pad/2), true
	case '=':
		return sign + strings.Repeat(fill, pad) + digits, true
	}
	return strings.Repeat(fill, pad) + sign + digits, true
}

// digits writes a number that is not less than zero.
func (l *layout) digits(f float64, value any) (string, bool) {
	p := l.precision
	if p < 0 {
		p = 6
	}
	switch l.kind {
	case "f", "F":
		return strconv.FormatFloat(f, 'f', p, 64), true
	case "e", "E":
		return strconv.FormatFloat(f, l.kind[0], p, 64), true
	case "g", "G", "n":
		return l.general(f, max(p, 1)), true
	case "%":
		return strconv.FormatFloat(f*100, 'f', p, 64) + "%", true
	case "d":
		return strconv.FormatFloat(f, 'f', 0, 64), f == math.Trunc(f)
	case "s", "r", "":
		if l.kind == "" && l.precision >= 0 {
			return l.general(f, max(p, 1)), true
		}
		if n, ok := value.(json.Number); ok {
			return strings.TrimPrefix(document.Text(n), "-"), true
		}
		return document.Text(f), true
	}
	return "", false
}

// general is the shorter of the two ways, without zeros at the end.
func (l *layout) general(f float64, p int) string {
	exponent := 0
	if f != 0 {
		s := strconv.FormatFloat(f, 'e', p-1, 64)
		exponent = signed(s[strings.IndexByte(s, 'e')+1:])
	}
	var s string
	if exponent < -4 || exponent >= p {
		s = strconv.FormatFloat(f, 'e', p-1, 64)
		if i := strings.IndexByte(s, 'e'); strings.Contains(s[:i], ".") {
			s = strings.TrimRight(strings.TrimRight(s[:i], "0"), ".") + s[i:]
		}
	} else if s = strconv.FormatFloat(f, 'f', p-1-exponent, 64); strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if l.kind == "G" {
		return strings.ToUpper(s)
	}
	return s
}

func signed(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

// grouped puts a sign between each three digits before the point.
func grouped(s, by string) string {
	whole, rest := s, ""
	if i := strings.IndexAny(s, ".e%"); i >= 0 {
		whole, rest = s[:i], s[i:]
	}
	var b strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(by)
		}
		b.WriteRune(d)
	}
	return b.String() + rest
}
