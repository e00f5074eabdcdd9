package buildlog

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strings"
)

// forms are the texts by which a secret is recognised: itself, each of its lines, and both as programs write them into other texts.
func forms(secret string) []string {
	seen := map[string]bool{}
	var out []string
	add := func(form string) {
		if len(form) >= MinSecret && !seen[form] {
			seen[form] = true
			out = append(out, form)
		}
	}
	for _, text := range plain(secret) {
		add(text)
		for _, form := range encoded(text) {
			add(form)
		}
	}
	return out
}

// plain are a secret and its lines, without the white space around them. The frame of a PEM file is no secret.
func plain(secret string) []string {
	out := []string{strings.TrimSpace(secret)}
	lines := strings.Split(out[0], "\n")
	if len(lines) > 1 {
		out = append(out, strings.ReplaceAll(strings.ReplaceAll(out[0], "\r\n", "\n"), "\n", "\r\n"), strings.ReplaceAll(out[0], "\r\n", "\n"))
	}
	for _, line := range lines {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") || !strings.HasSuffix(line, "-----") {
			out = append(out, line)
		}
	}
	return out
}

func encoded(text string) []string {
	out := []string{url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text), hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text)))}
	out = append(out, lowerPercent(out[0]), lowerPercent(out[1]))
	// in the string literals of JSON, with and without the care for HTML
	if b, err := json.Marshal(text); err == nil {
		out = append(out, strings.Trim(string(b), `"`), trimQuotes(b))
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(text) == nil {
		out = append(out, trimQuotes([]byte(strings.TrimSpace(b.String()))))
	}
	// as a shell quotes it, between '', between "", or with backslashes
	out = append(out, strings.ReplaceAll(text, "'", `'\''`), strings.ReplaceAll(text, "'", `'"'"'`), escape(text, "\"\\$`"), escape(text, " \"\\$`'&|;<>()*?[]{}~#!^"))
	return append(out, base64Forms(text)...)
}

func trimQuotes(b []byte) string { return string(b[1 : len(b)-1]) }

// lowerPercent writes the digits of %2F as some programs do.
func lowerPercent(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

func escape(text, special string) string {
	var b strings.Builder
	for i := range len(text) {
		if strings.IndexByte(special, text[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// base64Forms are the digits that depend on a text alone, at the beginning of what is encoded, and 1 or 2 bytes behind it ("user:" before
// a password in a header moves it so). What stands around it decides the digits at the edges only.
func base64Forms(text string) []string {
	var out []string
	if len(text) < MinSecret/2 { // no digits are its own
		return nil
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			digits := e.EncodeToString(append(make([]byte, before), text...))
			out = append(out, digits[(8*before+5)/6:8*(before+len(text))/6])
		}
	}
	return out
}
