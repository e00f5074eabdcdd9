package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"github.com/stint-run/stint/client/wire"
)

//go:embed report.md.tmpl
var markdownText string

var markdownForm = template.Must(template.New("report").Funcs(template.FuncMap{"md": escape, "fence": fence}).Parse(markdownText))

// markdown renders a report as GitHub-flavoured Markdown.
func markdown(r *wire.Report) ([]byte, error) {
	var b bytes.Buffer
	if err := markdownForm.Execute(&b, Compose(r)); err != nil {
		return nil, fmt.Errorf("render report: %w", err)
	}
	return b.Bytes(), nil
}

// escape makes a text one line that Markdown shows as it is: it ends no cell, begins no markup and is no tag.
func escape(s string) string {
	s = Plain(s)
	var b strings.Builder
	for i, r := range s {
		switch r {
		case '&':
			b.WriteString("&amp;")
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '\\', '`', '*', '_', '[', ']', '|', '~', '#', '!', '$', '@':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '-', '+', '=':
			if i == 0 { // a list, or the line below a heading
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		case ':':
			if strings.HasPrefix(s[i:], "://") { // no link that nobody set
				b.WriteString("&#58;")
				continue
			}
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fence returns a text between fences that it cannot close.
func fence(code string) string {
	longest, run := 2, 0
	for _, r := range code {
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	marks := strings.Repeat("`", longest+1)
	return marks + "\n" + strings.ToValidUTF8(strings.TrimRight(code, "\n"), "\uFFFD") + "\n" + marks
}
