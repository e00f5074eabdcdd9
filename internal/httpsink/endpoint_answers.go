package httpsink

import (
	"net/http"
	"strings"
)

// usualReasons are where many APIs have the reason of a refusal (RFC 9457 and its forerunners).
var usualReasons = []string{"$.error.message", "$.errors[0].message", "$.errors[0].detail", "$.errors[0]", "$.detail", "$.message", "$.title", "$.error"}

func (c *compiled) checkAnswers() error {
	sets := map[string]Statuses{"success": c.Success, "exists": c.Exists, "retry": c.Retry, "reject": c.Reject}
	seen := map[string]string{}
	for _, name := range []string{"success", "exists", "retry", "reject"} {
		words := c.Partial != nil && name != "success" // a partial answer may speak in words
		for _, w := range sets[name] {
			if !words {
				if err := sets[name].checkNumbers(name); err != nil {
					return err
				}
			}
			if other, ok := seen[w]; ok {
				return fieldError(name, "Leave it in one of them.", "%s stands in %s too", w, other)
			}
			seen[w] = name
		}
	}
	var err error
	if c.reason, err = reasonPaths("error", c.Error); err != nil {
		return err
	}
	switch header, isHeader := strings.CutPrefix(c.ID, "header:"); {
	case c.ID == "":
	case isHeader && (header == "" || c.batched):
		return fieldError("id", "Write header:Location, and for a batch $.results[*].id.", "%q cannot name the ids", c.ID)
	case isHeader:
		c.idHeader = header
	default:
		if c.idPath, err = parsePath(c.ID); err != nil {
			return fieldError("id", "Write $.data.id, $.results[*].id or header:Location.", "%v", err)
		}
		if c.batched != c.idPath.many() {
			return fieldError("id", "Use [*] in a batch, as $.results[*].id, and only there.", "%q does not name one id for each record of a request", c.ID)
		}
		if c.Partial != nil {
			return fieldError("id", "Use partial.id.", "the ids of a partial answer stand in its items")
		}
	}
	return nil
}

func reasonPaths(field, text string) ([]jsonPath, error) {
	texts := usualReasons
	if text != "" {
		texts = []string{text}
	}
	var out []jsonPath
	for _, t := range texts {
		p, err := parsePath(t)
		if err != nil {
			return nil, fieldError(field, "Write $.error.message.", "%v", err)
		}
		out = append(out, p)
	}
	return out, nil
}

func (c *compiled) checkLookup() error {
	if c.Lookup == nil {
		return nil
	}
	l := &compiledLookup{}
	var err error
	if l.path, err = pathTemplate("lookup.path", c.Lookup.Path); err != nil {
		return err
	}
	if l.path.constant() {
		return fieldError("lookup.path", "Write the record's key into it: /v1/customers?legacy_id={{ .id }}.", "%q asks the same for each record", c.Lookup.Path)
	}
	if l.id, err = parsePath(c.Lookup.ID); err != nil {
		return fieldError("lookup.id", "Write $.id or $.data[0].id.", "%v", err)
	}
	c.lookup = l
	return nil
}

func (c *compiled) checkPartial() error {
	if c.Partial == nil {
		return nil
	}
	p, from := &compiledPartial{}, c.Partial
	for _, path := range []struct {
		field, text string
		to          *jsonPath
		set         *bool
	}{
		{"items", from.Items, &p.items, nil},
		{"status", from.Status, &p.status, &p.hasStatus},
		{"id", from.ID, &p.id, &p.hasID},
	} {
		if path.text == "" && path.set != nil {
			continue
		}
		parsed, err := parsePath(path.text)
		if err != nil {
			return fieldError("partial."+path.field, "Write $.results, and $.id for what stands in each item.", "%v", err)
		}
		if path.to.steps = parsed.steps; path.set != nil {
			*path.set = true
		}
		path.to.text = parsed.text
	}
	var err error
	if p.reason, err = reasonPaths("partial.error", from.Error); err != nil {
		return err
	}
	if !p.hasStatus && from.Error == "" {
		return fieldError("partial", "Set status, error or both.", "nothing tells an item that was taken from one that was refused")
	}
	if from.Match != "" && from.Match != "index" {
		if p.match, err = parsePath(from.Match); err != nil {
			return fieldError("partial.match", "Write index, or the path of a field that record and item share: $.legacy_id.", "%v", err)
		}
		p.field = from.MatchField
		if n := len(p.match.steps); p.field == "" && n > 0 {
			p.field = p.match.steps[n-1].name
		}
		if p.field == "" {
			return fieldError("partial.match_field", "Name the record's field that is compared.", "%q does not end with a name", from.Match)
		}
	}
	c.partial = p
	return nil
}

// meaning is what a status says about what happens next.
type meaning int

const (
	succeeded meaning = iota
	existed
	retryable
	refused
	unauthorized // stops the job
	redirected   // stops the job
	unexpected   // a 2xx that the endpoint leaves out of success: stops the job
)

// classify is the table of statuses. What the endpoint names goes before what holds in general.
func (c *compiled) classify(status int) meaning {
	switch {
	case c.Reject.has(status):
		return refused
	case c.Retry.has(status):
		return retryable
	case c.Exists.has(status):
		return existed
	case c.Success.has(status):
		return succeeded
	case status < 300:
		return unexpected
	case status <= 399:
		return redirected
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired:
		return unauthorized
	case status == http.StatusConflict && c.key != "":
		return retryable // the first request of this key is still under way
	case RetryDefault.has(status):
		return retryable
	case status >= 500 && status != http.StatusNotImplemented && status != http.StatusHTTPVersionNotSupported:
		return retryable
	}
	return refused
}

// undone reports whether a status says that the request had no effect, although it is worth another try.
func undone(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusTooEarly
}
