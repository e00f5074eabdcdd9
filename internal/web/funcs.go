package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/report"
)

// funcs are what templates may call. None returns HTML: all that a page shows goes through the escaping of html/template.
func (s *Site) funcs() template.FuncMap {
	return template.FuncMap{
		"link": s.link, "dict": dict, "can": can, "to": to, "query": withQuery,
		"num": number, "short": short, "bytes": byteSize, "dur": duration, "ms": func(ms int64) string { return duration(time.Duration(ms) * time.Millisecond) },
		"ago": ago, "until": until, "stamp": stamp, "iso": func(t any) string { return momentOf(t).UTC().Format(time.RFC3339) },
		"pct": percent, "rate": rate, "glyph": glyph, "tone": tone, "words": words,
		"join": strings.Join, "has": func(list []string, x string) bool { return slices.Contains(list, x) },
		"json": pretty, "clip": func(n int, text string) string { return clip(text, n) }, "add": func(a, b int) int { return a + b },
		"took": took, "spark": sparkline, "chart": chartOf, "graph": graphOf, "plain": report.Plain, "ref": refName, "head": func(n int, text string) string { return text[:min(n, len(text))] },
	}
}

// dict makes the argument of a part that needs more than one: dict "name" value ...
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict: a name without a value")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

var roles = []string{"viewer", "submitter", "operator", "admin"}

// can reports whether a reader's token has a role, or one that may do more. The API has the last word; this is for what is shown.
func can(me *wire.About, role string) bool {
	return me != nil && slices.Index(roles, me.Role) >= slices.Index(roles, role)
}

// to makes a path of words, each of which may hold anything.
func to(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}

// withQuery makes an address: query "/jobs" "state" "failed" ... Empty values are left out.
func withQuery(path string, pairs ...string) (string, error) {
	if len(pairs)%2 != 0 {
		return "", errors.New("query: a name without a value")
	}
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Add(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path, nil
	}
	return path + "?" + q.Encode(), nil
}

// number writes a whole number with commas.
func number(v any) string {
	n, ok := toInt(v)
	if !ok {
		return fmt.Sprint(v)
	}
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

func toInt(v any) (int64, bool) {
	switch n := v.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case int32:
		return int64(n), true
	case float64:
		return int64(math.Round(n)), true
	}
	return 0, false
}

// short writes a large number so that it can be read at a glance: 1.2 M.
func short(v any) string {
	n, ok := toInt(v)
	if !ok {
		return fmt.Sprint(v)
	}
	for _, u := range []struct {
		at   float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if math.Abs(float64(n)) >= u.at {
			by := u.at
			if u.name == "k" {
				by = 1e3
			}
			return trimZero(float64(n)/by) + " " + u.name
		}
	}
	return number(n)
}

func trimZero(f float64) string {
	text := strconv.FormatFloat(f, 'f', 1, 64)
	return strings.TrimSuffix(text, ".0")
}

func byteSize(v any) string {
	n, ok := toInt(v)
	if !ok {
		return fmt.Sprint(v)
	}
	f := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB", "TiB"} {
		if math.Abs(f) < 1024 || unit == "TiB" {
			return trimZero(f) + " " + unit
		}
		f /= 1024
	}
	return ""
}

// duration writes a duration in its two largest units.
func duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return trimZero(d.Seconds()) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return pair(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d < 48*time.Hour:
		return pair(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return pair(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

func pair(a int, ua string, b int, ub string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, ua)
	}
	return fmt.Sprintf("%d %s %d %s", a, ua, b, ub)
}

// momentOf takes a time or a pointer to one; the zero time is none.
func momentOf(t any) time.Time {
	switch x := t.(type) {
	case time.Time:
		return x
	case *time.Time:
		if x != nil {
			return *x
		}
	}
	return time.Time{}
}

// ago says how long before now a moment is, or how long after it.
func ago(t any, now time.Time) string {
	at := momentOf(t)
	if at.IsZero() {
		return "never"
	}
	d := now.Sub(at)
	switch {
	case d < -time.Second:
		return "in " + duration(-d)
	case d < time.Second:
		return "now"
	}
	return duration(d) + " ago"
}

// took is how long something took, or takes so far; "" when it has not begun.
func took(from, to any, now time.Time) string {
	a, b := momentOf(from), momentOf(to)
	if a.IsZero() {
		return ""
	}
	if b.IsZero() {
		b = now
	}
	return duration(b.Sub(a))
}

// until says how long it is from now to a moment.
func until(t any, now time.Time) string {
	at := momentOf(t)
	switch {
	case at.IsZero():
		return ""
	case at.Before(now):
		return "now"
	}
	return duration(at.Sub(now))
}

// stamp writes a moment in full.
func stamp(t any) string {
	at := momentOf(t)
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05 UTC")
}

// percent is what of a whole is done: 0 to 100.
func percent(done, whole any) int {
	a, _ := toInt(done)
	b, _ := toInt(whole)
	switch {
	case b <= 0 || a <= 0:
		return 0
	case a >= b:
		return 100
	}
	return int(a * 100 / b)
}

func rate(perSecond float64) string {
	if perSecond > 0 && perSecond < 10 {
		return trimZero(perSecond) + "/s"
	}
	return short(perSecond) + "/s"
}

// tone is the colour of a state: a class of the style sheet.
func tone(state any) string {
	switch fmt.Sprint(state) {
	case "running", "planning", "active", "fired", "sent", "acknowledged", "queued", "draining":
		if fmt.Sprint(state) == "draining" {
			return "warn"
		}
		return "info"
	case "succeeded", "drained", "resolved", "done", "delivered", "passed", "equal", "ok", "cached":
		return "good"
	case "failed", "lost", "open", "missed", "gave_up", "critical", "error", "failing":
		return "bad"
	case "paused", "silenced", "warning", "waiting", "skipped", "pending", "held", "unknown", "to be tried again":
		return "warn"
	}
	return "calm"
}

// glyph says the same as tone without colour.
func glyph(state any) string {
	switch fmt.Sprint(state) {
	case "paused":
		return "‖"
	case "cached":
		return "↺"
	case "cancelled", "stopped", "skipped", "dropped":
		return "–"
	}
	switch tone(state) {
	case "info":
		return "▸"
	case "good":
		return "✓"
	case "bad":
		return "!"
	case "warn":
		return "◐"
	}
	return "○"
}

// words makes words of a name with underscores.
func words(name any) string { return strings.ReplaceAll(fmt.Sprint(name), "_", " ") }

// pretty writes JSON for people.
func pretty(v any) string {
	raw, ok := v.(json.RawMessage)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		raw = b
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return string(raw)
	}
	return b.String()
}
