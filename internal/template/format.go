// Package template fills in texts in the two ways in which alert rules write them: Python's str.format, and Jinja.
package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/document"
)

// Format fills in {0}, {}, {name}, {0[key]} and {0:>10.2f}, as Python's str.format does: that is what rules are written with.
func Format(text string, args []any, named map[string]any) (string, error) {
	f := formatter{args: args, named: named}
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			f.out.WriteString(rest)
			break
		}
		f.out.WriteString(rest[:i])
		if strings.HasPrefix(rest[i+1:], rest[i:i+1]) { // {{ and }} stand for themselves
			f.out.WriteByte(rest[i])
			rest = rest[i+2:]
			continue
		}
		end := strings.IndexByte(rest[i:], '}')
		if rest[i] == '}' || end < 0 {
			return "", fmt.Errorf("%q has a single { or }; write {{ or }} for the character itself", text)
		}
		if err := f.field(rest[i+1 : i+end]); err != nil {
			return "", err
		}
		rest = rest[i+end+1:]
	}
	return f.out.String(), nil
}

type formatter struct {
	out   strings.Builder
	args  []any
	named map[string]any
	next  int // of {}
}

// field writes what stands between { and }.
func (f *formatter) field(text string) error {
	name, spec, _ := strings.Cut(text, ":")
	if strings.Contains(spec, "{") {
		return fmt.Errorf("{%s}: a format within a format is not known", text)
	}
	name, conversion, converted := strings.Cut(name, "!")
	v, err := f.value(name)
	if err != nil {
		return fmt.Errorf("{%s}: %w", text, err)
	}
	if converted {
		switch conversion {
		case "s":
			v = document.Text(v)
		case "r", "a":
			v = strings.TrimSuffix(strings.TrimPrefix(document.Text([]any{v}), "["), "]")
		default:
			return fmt.Errorf("{%s}: there is no conversion !%s", text, conversion)
		}
	}
	s, err := formatValue(v, spec)
	if err != nil {
		return fmt.Errorf("{%s}: %w", text, err)
	}
	f.out.WriteString(s)
	return nil
}

// value follows a name: a number or a word, then [keys].
func (f *formatter) value(name string) (any, error) {
	first, rest := name, ""
	if i := strings.IndexAny(name, ".["); i >= 0 {
		first, rest = name[:i], name[i:]
	}
	var v any
	n, err := strconv.Atoi(first)
	switch {
	case first == "":
		n, f.next = f.next, f.next+1
		fallthrough
	case err == nil:
		if n < 0 || n >= len(f.args) {
			return nil, fmt.Errorf("there are %d arguments, counted from 0", len(f.args))
		}
		v = f.args[n]
	default:
		var known bool
		if v, known = f.named[first]; !known {
			return nil, fmt.Errorf("nothing is named %q", first)
		}
	}
	for rest != "" {
		key, after, closed := strings.Cut(strings.TrimPrefix(rest, "["), "]")
		if rest[0] != '[' || !closed {
			return nil, errors.New("only [key] can follow a name")
		}
		switch in := v.(type) {
		case map[string]any:
			var there bool
			if v, there = in[key]; !there {
				return nil, fmt.Errorf("it has no %q", key)
			}
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(in) {
				return nil, fmt.Errorf("it has %d items, counted from 0", len(in))
			}
			v = in[i]
		default:
			return nil, fmt.Errorf("it has nothing in it that [%s] could be", key)
		}
		rest = after
	}
	return v, nil
}

// layout is a format specification.
type layout struct {
	fill         rune
	align        byte // < > = ^, 0 for the type's own
	sign         byte
	alternate    bool
	width        int
	group        string
	precision    int // -1: none
	presentation byte
}

// maxWidth is the widest that a value is made.
const maxWidth = 1000

func parseLayout(spec string) (layout, error) {
	l := layout{fill: ' ', precision: -1}
	wrong := fmt.Errorf("the format %q is not known", spec)
	filled := true
	if r, n := utf8.DecodeRuneInString(spec); n > 0 && len(spec) > n && strings.IndexByte("<>=^", spec[n]) >= 0 {
		l.fill, l.align, spec = r, spec[n], spec[n+1:]
	} else if spec != "" && strings.IndexByte("<>=^", spec[0]) >= 0 {
		l.align, spec, filled = spec[0], spec[1:], false
	} else {
		filled = false
	}
	if spec != "" && strings.IndexByte("+- ", spec[0]) >= 0 {
		l.sign, spec = spec[0], spec[1:]
	}
	if strings.HasPrefix(spec, "#") {
		l.alternate, spec = true, spec[1:]
	}
	if strings.HasPrefix(spec, "0") {
		if spec = spec[1:]; !filled {
			l.fill = '0'
		}
		if l.align == 0 {
			l.align = '='
		}
	}
	number := func() (int, bool) {
		i := 0
		for i < len(spec) && spec[i] >= '0' && spec[i] <= '9' {
			i++
		}
		n, err := strconv.Atoi(spec[:i])
		spec = spec[i:]
		return n, err == nil
	}
	l.width, _ = number()
	if spec != "" && (spec[0] == ',' || spec[0] == '_') {
		l.group, spec = spec[:1], spec[1:]
	}
	if strings.HasPrefix(spec, ".") {
		spec = spec[1:]
		var ok bool
		if l.precision, ok = number(); !ok {
			return l, wrong
		}
	}
	if len(spec) == 1 && strings.IndexByte("sdnfFeEgG%xXob", spec[0]) >= 0 {
		l.presentation, spec = spec[0], ""
	}
	if spec != "" || l.width > maxWidth || l.precision > maxWidth {
		return l, wrong
	}
	return l, nil
}

func formatValue(v any, spec string) (string, error) {
	if spec == "" {
		return document.Text(v), nil
	}
	l, err := parseLayout(spec)
	if err != nil {
		return "", err
	}
	if s, ok := v.(string); ok {
		if l.presentation != 0 && l.presentation != 's' || l.sign != 0 || l.group != "" || l.align == '=' && l.fill != '0' {
			return "", fmt.Errorf("the format %q is for numbers, and this is a text", spec)
		}
		if l.align == '=' {
			l.align = '<'
		}
		if l.precision >= 0 && utf8.RuneCountInString(s) > l.precision {
			s = string([]rune(s)[:l.precision])
		}
		return l.pad("", s, '<'), nil
	}
	n, ok := document.Number(v)
	if !ok {
		return "", fmt.Errorf("the format %q is for texts and numbers", spec)
	}
	whole, err := integer(v, n)
	if l.presentation == 's' || err != nil && strings.IndexByte("dxXob", l.presentation) >= 0 && l.presentation != 0 ||
		err == nil && l.precision >= 0 && strings.IndexByte("\x00dnxXob", l.presentation) >= 0 {
		return "", fmt.Errorf("the format %q is not for this number", spec)
	}
	sign := ""
	if n < 0 {
		sign = "-"
	} else if l.sign == '+' || l.sign == ' ' {
		sign = string(l.sign)
	}
	digits, err := l.digits(math.Abs(n), whole, err == nil)
	return l.pad(sign, digits, '>'), err
}

// integer returns a whole number, or an error when it is written as a float.
func integer(v any, n float64) (int64, error) {
	switch v := v.(type) {
	case json.Number:
		return v.Int64()
	case float64:
		return 0, errors.New("a float")
	}
	return int64(n), nil
}

// digits writes a number without its sign.
func (l layout) digits(n float64, whole int64, isWhole bool) (string, error) {
	magnitude := uint64(whole)
	if whole < 0 {
		magnitude = uint64(-whole)
	}
	precision := l.precision
	if precision < 0 {
		precision = 6
	}
	var s string
	switch l.presentation {
	case 'x', 'o', 'b', 'X':
		base := map[byte]int{'x': 16, 'X': 16, 'o': 8, 'b': 2}[l.presentation]
		s = strconv.FormatUint(magnitude, base)
		if l.alternate {
			s = "0" + strings.ToLower(string(l.presentation)) + s
		}
		if l.presentation == 'X' {
			s = strings.ToUpper(s)
		}
		return s, nil
	case 'f', 'F':
		s = strconv.FormatFloat(n, 'f', precision, 64)
	case '%':
		s = strconv.FormatFloat(n*100, 'f', precision, 64) + "%"
	case 'e', 'E':
		s = strconv.FormatFloat(n, l.presentation, precision, 64)
	case 'g', 'G':
		s = strconv.FormatFloat(n, l.presentation, max(precision, 1), 64)
	default:
		switch {
		case isWhole:
			s = strconv.FormatUint(magnitude, 10)
		case l.presentation == 'n':
			s = strconv.FormatFloat(n, 'g', max(precision, 1), 64)
		case l.precision >= 0:
			s = short(n, max(l.precision, 1))
		default:
			s = document.Text(n)
		}
	}
	if l.group != "" {
		s = grouped(s, l.group)
	}
	return s, nil
}

// short writes a float with so many digits, one of which at least is behind the point: 1.0, and 1e+02 where there is no room for it.
func short(n float64, precision int) string {
	s := strconv.FormatFloat(n, 'g', precision, 64)
	if strings.ContainsAny(s, ".e") {
		return s
	}
	if len(s) < precision {
		return s + ".0"
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(n, 'e', precision-1, 64), "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	return mantissa + "e" + exponent
}

// grouped puts a separator between each three digits before the point.
func grouped(s, separator string) string {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	for i := end - 3; i > 0; i -= 3 {
		s = s[:i] + separator + s[i:]
	}
	return s
}

// pad fills up to the width.
func (l layout) pad(sign, s string, own byte) string {
	missing := l.width - utf8.RuneCountInString(sign+s)
	if missing <= 0 {
		return sign + s
	}
	align := l.align
	if align == 0 {
		align = own
	}
	fill := func(n int) string { return strings.Repeat(string(l.fill), n) }
	switch align {
	case '<':
		return sign + s + fill(missing)
	case '^':
		return fill(missing/2) + sign + s + fill(missing-missing/2)
	case '=':
		return sign + fill(missing) + s
	}
	return fill(missing) + sign + s
}
