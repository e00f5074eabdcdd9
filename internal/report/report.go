// Package report seals the account of a job with a digest and renders it: as JSON for programs, as Markdown for tickets and mails,
// and as HTML for people who want to read, print or keep it. All three say the same, from the same values.
//
// Nothing of a report is trusted: names of tenants, labels, reasons and findings come from customers and from their data. In HTML
// every value is escaped by its place; in Markdown no value can end its cell, begin markup or become a tag.
package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/client/wire"
)

// Format is a form of a report.
type Format string

// The formats.
const (
	JSON     Format = "json"
	Markdown Format = "markdown"
	HTML     Format = "html"
)

// Formats are all of them, the default first.
var Formats = []Format{JSON, Markdown, HTML}

// MediaType returns what the format is called over HTTP.
func (f Format) MediaType() string {
	switch f {
	case Markdown:
		return "text/markdown"
	case HTML:
		return "text/html"
	}
	return "application/json"
}

// OfFile returns the format that the name of a file stands for by its ending, and whether it stands for one.
func OfFile(name string) (Format, bool) {
	name = strings.ToLower(name)
	for ending, f := range map[string]Format{".json": JSON, ".md": Markdown, ".markdown": Markdown, ".html": HTML, ".htm": HTML} {
		if strings.HasSuffix(name, ending) {
			return f, true
		}
	}
	return "", false
}

// Known reports whether there is such a format.
func (f Format) Known() bool { return slices.Contains(Formats, f) }

// unsealed are the parts of a report that its digest leaves out: itself, and what is of the moment in which it is read.
var unsealed = []string{"digest", "made"}

// Seal fills in the digest of a report. Whoever changes the report afterwards breaks it.
func Seal(r *wire.Report) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	r.Digest, err = Digest(body)
	return err
}

// Digest works out the digest of a report that is given as JSON, whatever digest stands in it. Fields that this build does not know
// are part of it.
func Digest(text []byte) (string, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return "", fmt.Errorf("read report: %w", err)
	}
	for _, name := range unsealed {
		delete(members, name)
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return "", fmt.Errorf("encode report: %w", err)
	}
	sum, err := Sum(rest)
	return "sha256:" + sum, err
}

// Render writes a report in a format.
func Render(r *wire.Report, f Format) ([]byte, error) {
	switch f {
	case JSON:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err := e.Encode(r)
		return b.Bytes(), err
	case Markdown:
		return markdown(r)
	case HTML:
		return html(r)
	}
	return nil, fmt.Errorf("there is no format %q", f)
}
