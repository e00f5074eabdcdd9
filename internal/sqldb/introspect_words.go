package sqldb

import "strings"

// sqlWord is one token of an SQL text. SQLite tells some things about a table only by its CREATE statement.
type sqlWord struct {
	text   string // bare words in upper case; quoted ones and others as they are written
	quoted bool   // an identifier or string in quotes
	depth  int    // how many parentheses are open around it
	at     int    // where it begins, in bytes
	end    int    // where it ends; upper case may have another length than what is written
}

// sqlWords splits an SQL text into words, numbers, quoted names and single punctuation characters, without comments.
func sqlWords(sql string) []sqlWord {
	var words []sqlWord
	depth := 0
	for i := 0; i < len(sql); {
		c := sql[i]
		start := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
		case strings.HasPrefix(sql[i:], "--"):
			i = after(sql, i+2, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = after(sql, i+2, "*/")
		case c == '\'' || c == '"' || c == '`' || c == '[':
			i = afterQuoted(sql, i)
			words = append(words, sqlWord{sql[start:i], true, depth, start, i})
		case isWordByte(c):
			for i < len(sql) && isWordByte(sql[i]) {
				i++
			}
			words = append(words, sqlWord{strings.ToUpper(sql[start:i]), false, depth, start, i})
		default:
			if c == ')' {
				depth--
			}
			words = append(words, sqlWord{sql[start : start+1], false, depth, start, start + 1})
			if c == '(' {
				depth++
			}
			i++
		}
	}
	return words
}

func isWordByte(c byte) bool {
	return c == '_' || c == '$' || c == '.' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// after returns the place behind the next occurrence of end, or the end of the text.
func after(sql string, from int, end string) int {
	if i := strings.Index(sql[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(sql)
}

// afterQuoted returns the place behind the quoted text that begins at i. A doubled quote stands for itself.
func afterQuoted(sql string, i int) int {
	quote := sql[i]
	if quote == '[' {
		return after(sql, i+1, "]")
	}
	for i++; i < len(sql); i++ {
		if sql[i] != quote {
			continue
		}
		if i+1 < len(sql) && sql[i+1] == quote {
			i++
			continue
		}
		return i + 1
	}
	return len(sql)
}

// countWords counts a bare word.
func countWords(words []sqlWord, word string) int {
	n := 0
	for _, w := range words {
		if !w.quoted && w.text == word {
			n++
		}
	}
	return n
}

// whereOf returns the condition of a CREATE INDEX statement, "" when it has none.
func whereOf(createIndex string) string {
	for _, w := range sqlWords(createIndex) {
		if !w.quoted && w.depth == 0 && w.text == "WHERE" {
			return strings.TrimSpace(createIndex[w.at+len("WHERE"):])
		}
	}
	return ""
}

// deferral says when a foreign key is checked.
type deferral struct{ deferrable, deferred bool }

// deferrals says of each foreign key of a CREATE TABLE statement, in their order, when it is checked.
func deferrals(words []sqlWord) []deferral {
	var found []deferral
	for i, w := range words {
		if w.quoted {
			continue
		}
		switch last := len(found) - 1; {
		case w.text == "REFERENCES":
			found = append(found, deferral{})
		case w.text == "DEFERRABLE" && last >= 0:
			found[last].deferrable = words[i-1].text != "NOT"
		case w.text == "DEFERRED" && last >= 0 && words[i-1].text == "INITIALLY":
			found[last].deferred = found[last].deferrable
		}
	}
	return found
}
