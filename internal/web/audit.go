package web

import (
	"net/http"
	"strings"

	"github.com/stint-run/stint/client/wire"
)

// Bounds of a page of the audit trail: how many entries it shows, and through how many a filter looks at once.
const (
	auditShown = 100
	auditRead  = 1000 // the most that the API gives at once
	auditLooks = 10
)

// auditBody is a page of the audit trail.
type auditBody struct {
	By, Action, Target string
	Refused            bool // those alone that were refused, or went wrong
	Entries            []auditEntry
	Looked             int // entries that the filter has seen
	More, First        string
}

// auditEntry is an entry, and where what it is about has a page.
type auditEntry struct {
	wire.AuditEntry
	Link string
}

// State says in a word what came of it.
func (e auditEntry) State() string {
	switch {
	case e.Status >= http.StatusInternalServerError:
		return "error"
	case e.Status >= http.StatusBadRequest:
		return "refused"
	}
	return "done"
}

func (s *Site) audit(v *visit) (content, error) {
	q := v.URL.Query()
	b := auditBody{By: strings.TrimSpace(q.Get("by")), Action: strings.TrimSpace(q.Get("action")), Target: strings.TrimSpace(q.Get("target")), Refused: q.Get("refused") != ""}
	filtered := b.By+b.Action+b.Target != "" || b.Refused
	limit, looks := auditShown, 1
	if filtered {
		limit, looks = auditRead, auditLooks
	}
	cursor := q.Get("after")
	if cursor != "" {
		b.First = pageAfter(v.URL, "")
	}
	for ; looks > 0; looks-- {
		list, err := v.client.Audit(v.ctx, cursor, limit)
		if err != nil {
			return content{}, err
		}
		full, last := false, ""
		for _, e := range list.Entries {
			if filtered && len(b.Entries) >= auditShown && e.ID != last { // a cursor cannot stand between two of one id
				list.Next, full = last, true
				break
			}
			b.Looked, last = b.Looked+1, e.ID
			if b.wants(e) {
				b.Entries = append(b.Entries, auditEntry{e, pageAbout(e.Target)})
			}
		}
		cursor = list.Next
		if cursor == "" || full {
			break
		}
	}
	if cursor != "" {
		b.More = pageAfter(v.URL, cursor)
	}
	return content{Title: "Audit", Body: b, Still: filtered || q.Get("after") != ""}, nil
}

func (b *auditBody) wants(e wire.AuditEntry) bool {
	has := func(text, part string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(part)) }
	return has(e.By, b.By) && has(e.Action, b.Action) && has(e.Target, b.Target) && (!b.Refused || e.Status >= http.StatusBadRequest)
}

// pageAbout is the page of what a path of the API is about; "" when it has none.
func pageAbout(target string) string {
	words := strings.Split(strings.TrimPrefix(target, "/v1/"), "/")
	if !strings.HasPrefix(target, "/v1/") || len(words) < 2 || words[1] == "" {
		return ""
	}
	switch words[0] {
	case "jobs", "builds", "schedules":
		return "/" + words[0] + "/" + words[1]
	case "alerts":
		if words[1] != "silences" && words[1] != "rules" {
			return "/alerts/" + words[1]
		}
	case "workers":
		if words[1] != "drain" && words[1] != "undrain" {
			return "/fleet/" + words[1]
		}
	case "analyses", "deletions":
		return "/jobs/" + words[1]
	case "webhooks":
		return "/access/webhooks/" + words[1]
	}
	return ""
}
