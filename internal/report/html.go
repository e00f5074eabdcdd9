package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

//go:embed report.html.tmpl
var htmlText string

var htmlForm = template.Must(template.New("report").Funcs(template.FuncMap{"plain": plain, "mood": mood}).Parse(htmlText))

// html renders a report as one page that needs nothing else: no script, no style sheet, no font and no picture from anywhere.
func html(r *wire.Report) ([]byte, error) {
	var b bytes.Buffer
	if err := htmlForm.Execute(&b, compose(r)); err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	return b.Bytes(), nil
}

// mood is the colour of a state.
func mood(s tasks.State) string {
	switch s {
	case tasks.Succeeded:
		return "good"
	case tasks.Failed, tasks.Cancelled:
		return "bad"
	}
	return "open"
}
