package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"github.com/stint-run/stint/client/wire"
)

//go:embed report.html.tmpl
var htmlText string

var htmlForm = template.Must(template.New("report").Funcs(template.FuncMap{"plain": Plain}).Parse(htmlText))

// html renders a report as one page that needs nothing else: no script, no style sheet, no font and no picture from anywhere.
func html(r *wire.Report) ([]byte, error) {
	var b bytes.Buffer
	if err := htmlForm.Execute(&b, Compose(r)); err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	return b.Bytes(), nil
}
