package httpsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Statuses is a set of HTTP statuses, or of the words that an API uses for them in an answer: 404, "5xx", "created". In YAML and JSON
// each may be a number or a text, and one alone needs no list. nil means the default of its field.
type Statuses []string

// has reports whether a status is in the set, itself or by its class.
func (s Statuses) has(status int) bool {
	text := strconv.Itoa(status)
	for _, w := range s {
		if w == text || len(w) == 3 && strings.HasSuffix(strings.ToLower(w), "xx") && w[0] == text[0] {
			return true
		}
	}
	return false
}

// hasWord reports whether a word of an answer is in the set; numbers count by their text and class.
func (s Statuses) hasWord(word string) bool {
	if n, err := strconv.Atoi(word); err == nil && s.has(n) {
		return true
	}
	for _, w := range s {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// checkNumbers returns an error unless each is an HTTP status or a class of them.
func (s Statuses) checkNumbers(field string) error {
	for _, w := range s {
		n, err := strconv.Atoi(w)
		class := len(w) == 3 && w[0] >= '2' && w[0] <= '5' && strings.EqualFold(w[1:], "xx")
		if !class && (err != nil || n < 200 || n > 599) {
			return fieldError(field, `Write statuses as 409 or "5xx".`, "%q is no status that an answer may have", w)
		}
	}
	return nil
}

// UnmarshalJSON reads a number, a text or a list of them.
func (s *Statuses) UnmarshalJSON(data []byte) error {
	v, err := decode(data)
	if err != nil {
		return err
	}
	return s.set(v)
}

// UnmarshalYAML reads a number, a text or a list of them. The signature is the one that every YAML library knows.
func (s *Statuses) UnmarshalYAML(unmarshal func(any) error) error {
	var v any
	if err := unmarshal(&v); err != nil {
		return err
	}
	return s.set(v)
}

func (s *Statuses) set(v any) error {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := Statuses{}
	for _, e := range list {
		switch e := e.(type) {
		case string:
			out = append(out, e)
		case json.Number:
			out = append(out, e.String())
		case int:
			out = append(out, strconv.Itoa(e))
		default:
			return fmt.Errorf("%v is neither a status nor a word", e)
		}
	}
	*s = out
	return nil
}

// Duration is a time.Duration that plans write as 30s or 2m.
type Duration time.Duration

// MarshalText writes 30s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads 30s.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is no duration such as 500ms, 30s or 2m", text)
	}
	if v < 0 {
		return fmt.Errorf("the duration %s is negative", v)
	}
	*d = Duration(v)
	return nil
}

// or returns the duration, or a default for zero.
func (d Duration) or(otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return time.Duration(d)
}

// Secret is a text that is used and never shown: whatever prints or encodes it gets stars.
type Secret string

const stars = "***"

// String returns stars.
func (s Secret) String() string { return stars }

// GoString returns stars.
func (s Secret) GoString() string { return stars }

// MarshalText writes stars; an empty secret stays empty.
func (s Secret) MarshalText() ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return []byte(stars), nil
}

// pace is a number of requests in a time.
type pace struct {
	n   float64
	per time.Duration
}

// perSecond returns the pace as requests a second; 0 is without a limit.
func (r pace) perSecond() float64 {
	if r.per == 0 {
		return 0
	}
	return r.n / r.per.Seconds()
}

// PerSecond returns how many requests a second the endpoint's rate allows; 0 is without a limit, or a rate that Check refuses.
func (e Endpoint) PerSecond() float64 {
	r, err := parseRate(e.Rate)
	if err != nil {
		return 0
	}
	return r.perSecond()
}

// parseRate reads 20/s, 600/m or 5000/h; "" is without a limit.
func parseRate(text string) (pace, error) {
	if text == "" {
		return pace{}, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n > 0) || n > 1e6 {
		return pace{}, errors.New("it has to be a number from above 0 to a million, a slash and s, m or h")
	}
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[strings.TrimSpace(unit)]
	if per == 0 {
		return pace{}, errors.New("after the slash has to stand s, m or h")
	}
	return pace{n, per}, nil
}
