package sqldb

import (
	"strings"

	"github.com/stint-run/stint/tasks"
)

// maxPostgresName is how many bytes of a name PostgreSQL keeps (NAMEDATALEN - 1); it cuts off the rest without an error.
const maxPostgresName = 63

// Quote returns a name as an identifier that means exactly this name, whatever is in it. A NUL byte, which no name can hold
// (see CheckName), becomes U+FFFD, so that the statement fails by naming nothing.
func (d Dialect) Quote(name string) string {
	name = strings.ReplaceAll(name, "\x00", "\uFFFD")
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// QuoteList returns names as identifiers, separated by commas.
func (d Dialect) QuoteList(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(d.Quote(name))
	}
	return b.String()
}

// QuoteTable returns a table's name as an identifier, with its schema when that is not "".
func (d Dialect) QuoteTable(schema, name string) string {
	if schema == "" {
		return d.Quote(name)
	}
	return d.Quote(schema) + "." + d.Quote(name)
}

// Literal returns a text as a string literal that means exactly this text. Like Quote it replaces NUL bytes.
func (d Dialect) Literal(text string) string {
	text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if d == Postgres && strings.Contains(text, `\`) {
		// An E string means the same whether or not the server runs with standard_conforming_strings.
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// CheckName says why a name cannot be the name of a table or column in this dialect, with a hint; nil when it can.
func (d Dialect) CheckName(name string) error {
	switch {
	case name == "":
		return tasks.WithHint(nil, "give it a name", "a name is empty")
	case strings.ContainsRune(name, 0):
		return tasks.WithHint(nil, "take the NUL byte out of the name", "the name %q holds a NUL byte", name)
	case d == Postgres && len(name) > maxPostgresName:
		return tasks.WithHint(nil, "use a name of at most 63 bytes", "the name %q has %d bytes, PostgreSQL keeps 63", name, len(name))
	}
	return nil
}

// isLedgerName reports whether a table is stint's own (ledger, chunks, quarantine) and so never part of a migration.
func isLedgerName(name string) bool { return strings.HasPrefix(strings.ToLower(name), "stint_") }
