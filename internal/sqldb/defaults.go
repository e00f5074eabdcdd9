package sqldb

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mapDefaults translates the defaults of table i. What is more than a literal or the current time is dropped and noted:
// values that are copied do not need it.
func (m *schemaMap) mapDefaults(i int) {
	t := &m.dst.Tables[i]
	for j := range t.Columns {
		c := &t.Columns[j]
		if c.Identity {
			c.Default = ""
		}
		if c.Default == "" {
			continue
		}
		value := parseDefault(m.src.Dialect, c.Default)
		if m.same() {
			c.Default = m.to.words().ownDefault(c.Default, value)
			continue
		}
		was := c.Default
		c.Default = m.to.words().writeDefault(value, c.Kind)
		if c.Default == "" && value.kind != litNull {
			m.note("The default of column %s of table %s is left out: %s.", c.Name, t.FullName(), was)
		}
	}
}

type literalKind int

const (
	litUnknown literalKind = iota
	litNull
	litNumber
	litText
	litBool
	litBytes
	litNow // the current time: text is timestamp, date or time
)

// literal is a default that means the same everywhere.
type literal struct {
	kind literalKind
	text string // a number or text; true or false; hexadecimal digits
}

var number = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// currentTimes are the ways to write the current time, in upper case without spaces.
var currentTimes = map[string]string{
	"CURRENT_TIMESTAMP": "timestamp", "NOW()": "timestamp", "DATETIME('NOW')": "timestamp", "LOCALTIMESTAMP": "timestamp",
	"TRANSACTION_TIMESTAMP()": "timestamp", "STATEMENT_TIMESTAMP()": "timestamp", "CLOCK_TIMESTAMP()": "timestamp",
	"NOW()ATTIMEZONE'UTC'": "timestamp", "CURRENT_TIMESTAMPATTIMEZONE'UTC'": "timestamp",
	"TIMEZONE('UTC'::TEXT,NOW())": "timestamp", "NOW()ATTIMEZONE'UTC'::TEXT": "timestamp",
	"TIMEZONE('UTC'::TEXT,CURRENT_TIMESTAMP)": "timestamp", "CURRENT_TIMESTAMPATTIMEZONE'UTC'::TEXT": "timestamp",
	"CURRENT_DATE": "date", "DATE('NOW')": "date", "CURRENT_TIME": "time", "LOCALTIME": "time", "TIME('NOW')": "time",
}

// parseDefault understands a default as its dialect writes it.
func parseDefault(from Dialect, expr string) literal {
	if now, ok := currentTimes[squeeze(bare(expr, false))]; ok {
		return literal{litNow, now}
	}
	e := bare(expr, true)
	upper := strings.ToUpper(e)
	now, isNow := currentTimes[squeeze(e)]
	compact := strings.ReplaceAll(e, " ", "")
	switch {
	case e == "":
		return literal{}
	case isNow:
		return literal{litNow, now}
	case upper == "NULL":
		return literal{kind: litNull}
	case upper == "TRUE" || upper == "FALSE":
		return literal{litBool, strings.ToLower(e)}
	case number.MatchString(compact):
		return literal{litNumber, compact}
	case strings.HasPrefix(upper, "0X"):
		if n, err := strconv.ParseInt(upper[2:], 16, 64); err == nil {
			return literal{litNumber, strconv.FormatInt(n, 10)}
		}
	case (e[0] == '\'' || e[0] == '"') && isQuoted(e, 0):
		quote := e[:1]
		return literal{litText, strings.ReplaceAll(e[1:len(e)-1], quote+quote, quote)}
	case strings.HasPrefix(upper, "X'") && isQuoted(e, 1):
		if _, err := hex.DecodeString(e[2 : len(e)-1]); err == nil {
			return literal{litBytes, e[2 : len(e)-1]}
		}
	}
	if l, ok := from.words().parseDefault(e); ok {
		return l
	}
	return literal{}
}

// isQuoted reports whether a text in quotes begins at i, and ends with the expression.
func isQuoted(e string, i int) bool {
	return afterQuoted(e, i) == len(e) && strings.Count(e[i+1:], e[i:i+1])%2 == 1
}

func squeeze(e string) string { return strings.ToUpper(strings.Join(strings.Fields(e), "")) }

// bare takes off parentheses around an expression and, if asked, the casts behind it.
func bare(e string, casts bool) string {
	for {
		e = strings.TrimSpace(e)
		words := sqlWords(e)
		cut := -1
		for i := 1; i < len(words) && casts; i++ {
			if words[i].text == ":" && words[i-1].text == ":" && !words[i].quoted && words[i].depth == 0 {
				cut = words[i-1].at // the last one: x::a::b is (x::a)::b
			}
		}
		switch {
		case cut > 0:
			e = e[:cut]
		case len(words) > 2 && words[0].text == "(" && !words[0].quoted && closes(words):
			e = e[1 : len(e)-1]
		default:
			return e
		}
	}
}

// closes reports whether the parenthesis that opens an expression closes at its very end.
func closes(words []sqlWord) bool {
	last := len(words) - 1
	for i := 1; i < last; i++ {
		if words[i].depth == 0 {
			return false
		}
	}
	return words[last].text == ")" && !words[last].quoted
}

// in writes a literal as the default of a column of this kind, "" when it cannot be one.
func (l literal) in(d Dialect, kind Kind) string {
	switch l.kind {
	case litNumber, litText:
		return l.plain(d, kind)
	case litBool:
		return l.boolean(d, kind)
	case litBytes:
		if kind != KindBytes {
			return ""
		}
		return bytesLiteral(d, l.text)
	case litNow:
		return l.now(d, kind)
	}
	return ""
}

func bytesLiteral(d Dialect, digits string) string {
	if d != Postgres {
		return "X'" + digits + "'"
	}
	return `'\x` + digits + `'::bytea`
}

var (
	uuidText = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	wordText = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	intText  = regexp.MustCompile(`^[+-]?[0-9]+$`)
)

// plain writes numbers and texts.
func (l literal) plain(d Dialect, kind Kind) string {
	text := strings.TrimSpace(l.text)
	switch kind {
	case KindInt16, KindInt32, KindInt64:
		if _, err := strconv.ParseInt(text, 10, 64); err == nil && intText.MatchString(text) {
			return text
		}
	case KindNumeric, KindFloat32, KindFloat64:
		if number.MatchString(text) {
			return text
		}
	case KindBool:
		switch strings.ToLower(text) {
		case "1", "t", "true", "y", "yes", "on":
			return literal{litBool, "true"}.boolean(d, kind)
		case "0", "f", "false", "n", "no", "off":
			return literal{litBool, "false"}.boolean(d, kind)
		}
	case KindText:
		return d.Literal(l.text)
	case KindOther: // only in SQLite, where it is text
		if d == SQLite {
			return d.Literal(l.text)
		}
	case KindBytes:
		if digits, ok := strings.CutPrefix(l.text, `\x`); ok {
			if _, err := hex.DecodeString(digits); err == nil { // it stands in the target's quotes as it is
				return bytesLiteral(d, digits)
			}
		}
	case KindUUID:
		if uuidText.MatchString(text) {
			return d.Literal(text)
		}
	case KindJSON:
		if json.Valid([]byte(l.text)) {
			return d.Literal(l.text)
		}
	case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		if l.kind == litText && isMoment(text, kind) {
			return d.Literal(text)
		}
	}
	return ""
}

// isMoment reports whether a text is a day, a time or both, as the kind wants it.
func isMoment(text string, kind Kind) bool {
	layouts := map[Kind][]string{
		KindDate: {"2006-01-02"}, KindTime: {"15:04:05", "15:04"},
		KindTimestamp:   {"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02"},
		KindTimestampTZ: {"2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05-07"},
	}
	return slices.ContainsFunc(layouts[kind], func(layout string) bool {
		_, err := time.Parse(layout, text)
		return err == nil
	})
}

func (l literal) boolean(d Dialect, kind Kind) string {
	bit := "0"
	if l.text == "true" {
		bit = "1"
	}
	switch {
	case kind == KindBool && d == Postgres:
		return l.text
	case kind == KindBool, kind == KindInt16, kind == KindInt32, kind == KindInt64, kind == KindNumeric, kind == KindFloat64:
		return bit
	case kind == KindText:
		return d.Literal(bit)
	}
	return ""
}

// now writes the current time. SQLite's is UTC, and text.
func (l literal) now(d Dialect, kind Kind) string {
	if d == SQLite {
		switch kind {
		case KindDate:
			return "CURRENT_DATE"
		case KindTime:
			return "CURRENT_TIME"
		case KindTimestamp, KindTimestampTZ, KindText:
			return "CURRENT_TIMESTAMP"
		}
		return ""
	}
	if d == MySQL {
		return map[Kind]string{KindDate: "(utc_date())", KindTime: "(utc_time(6))", KindTimestamp: "(utc_timestamp(6))", KindTimestampTZ: "(utc_timestamp(6))"}[kind]
	}
	const utc = "(CURRENT_TIMESTAMP AT TIME ZONE 'UTC')"
	format := map[string]string{"timestamp": "YYYY-MM-DD HH24:MI:SS", "date": "YYYY-MM-DD", "time": "HH24:MI:SS"}[l.text]
	switch kind {
	case KindTimestampTZ:
		return "CURRENT_TIMESTAMP"
	case KindTimestamp:
		return utc
	case KindDate:
		return utc + "::date"
	case KindTime:
		return utc + "::time"
	case KindText:
		return "to_char(" + utc + ", '" + format + "')"
	}
	return ""
}

// mapWhere translates the condition of a partial index of table i: whether columns are NULL, joined by AND, OR and NOT.
// Anything else means different things in different dialects.
func (m *schemaMap) mapWhere(i int, where string) (string, bool) {
	if where == "" || m.same() {
		return where, true
	}
	if !m.to.words().partialIndexes() {
		return "", false
	}
	var out []string
	for _, w := range sqlWords(where) {
		if !w.quoted && slices.Contains([]string{"IS", "NOT", "NULL", "AND", "OR", "(", ")"}, w.text) {
			out = append(out, w.text)
			continue
		}
		name := where[w.at:w.end]
		if w.quoted {
			if name[0] == '\'' {
				return "", false
			}
			name = strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
		}
		if m.src.Dialect.words().foldsNames() {
			name = columnNamed(&m.src.Tables[i], name)
		}
		names := m.names(i, []string{name})
		if len(names) == 0 {
			return "", false
		}
		out = append(out, m.to.Quote(names[0]))
	}
	return strings.Join(out, " "), true
}
