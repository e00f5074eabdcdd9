package flatfile

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// settings are what the URL says of the form of the files.
type settings struct {
	charset  *charset // nil: by the byte order mark, else UTF-8; DBF: by the file's own mark
	rowBytes int
	sample   int // rows of each part that are looked at for the types of columns; 0 for all
	infer    bool
	dialect  dialect // CSV and TSV
	header   bool
	skip     int  // lines
	reject   bool // NDJSON: rows with unknown members are set aside
	trim     trimming
	deleted  bool // DBF: deleted records are rows as well
	noMemo   bool // DBF: memos whose file is missing are NULL
}

// trimming says which blanks of a DBF's characters go.
type trimming byte

const (
	trimRight trimming = iota
	trimBoth
	trimNone
)

// newline says what ends a row of CSV.
type newline byte

const (
	anyEnd newline = iota // LF, CRLF or CR
	lfEnd                 // LF or CRLF
	crEnd                 // CR
)

// dialect is how a CSV file is written. A byte of 0 stands for "none", as NUL can be neither.
type dialect struct {
	delimiter, quote, comment byte
	backslash                 bool
	trim                      bool
	newline                   newline
	null                      string // unquoted text that stands for NULL
}

// parameters are what may stand in the URL of each form.
var parameters = map[string][]string{
	"csv": {"encoding", "delimiter", "quote", "escape", "header", "null", "trim", "comment", "skip", "newline", "types", "sample",
		"row_bytes"},
	"ndjson": {"encoding", "types", "sample", "rest", "row_bytes"},
	"dbf":    {"encoding", "trim", "deleted", "memo", "row_bytes"},
}

// parser reads parameters and keeps the first error.
type parser struct {
	values url.Values
	err    error
}

func parseSettings(at sqldb.Location, opts Options) (settings, error) {
	scheme := at.Scheme()
	p := parser{values: at.Params()}
	known := parameters[scheme]
	if scheme == "tsv" {
		known = parameters["csv"]
	}
	p.check(scheme, known)
	s := settings{rowBytes: defaultRowBytes}
	if opts.RowBytes > 0 {
		s.rowBytes = opts.RowBytes
	}
	s.rowBytes = p.number("row_bytes", s.rowBytes, 1, 1<<30)
	if name := p.get("encoding"); name != "" && name != "auto" && p.err == nil {
		s.charset, p.err = findCharset(name)
	}
	s.sample = 1000
	if p.get("sample") == "all" {
		s.sample = 0
	} else {
		s.sample = p.number("sample", s.sample, 1, 1<<30)
	}
	types := map[string]bool{"text": false, "infer": true}
	switch scheme {
	case "ndjson":
		s.infer = choose(&p, "types", true, types)
		s.reject = choose(&p, "rest", false, map[string]bool{"column": false, "reject": true})
	case "dbf":
		s.trim = choose(&p, "trim", trimRight, map[string]trimming{"right": trimRight, "both": trimBoth, "none": trimNone})
		s.deleted = choose(&p, "deleted", false, map[string]bool{"skip": false, "include": true})
		s.noMemo = choose(&p, "memo", false, map[string]bool{"required": false, "ignore": true})
	default:
		s.infer = choose(&p, "types", false, types)
		p.csv(&s, scheme)
	}
	return s, p.err
}

// csv reads what CSV and TSV have of their own.
func (p *parser) csv(s *settings, scheme string) {
	yes := map[string]bool{"true": true, "false": false, "yes": true, "no": false, "1": true, "0": false}
	s.header = choose(p, "header", true, yes)
	s.skip = p.number("skip", 0, 0, 1<<30)
	delimiter := byte(',')
	if scheme == "tsv" {
		delimiter = '\t'
	}
	d := &s.dialect
	d.delimiter = p.character("delimiter", delimiter)
	d.quote = p.character("quote", '"')
	d.comment = p.character("comment", 0)
	d.trim = choose(p, "trim", false, yes)
	d.newline = choose(p, "newline", anyEnd, map[string]newline{"auto": anyEnd, "lf": lfEnd, "crlf": lfEnd, "cr": crEnd})
	d.backslash = choose(p, "escape", false, map[string]bool{"double": false, `"`: false, "backslash": true, `\`: true})
	d.null = p.get("null")
	if p.err != nil {
		return
	}
	switch {
	case d.delimiter == 0:
		p.fail("delimiter", "write for example delimiter=semicolon or delimiter=tab", "rows need a delimiter")
	case d.delimiter == d.quote, d.delimiter == d.comment, d.quote != 0 && d.quote == d.comment,
		d.backslash && (d.delimiter == '\\' || d.quote == '\\' || d.comment == '\\'):
		p.fail("delimiter", "give each its own character", "delimiter, quote, escape and comment must differ")
	}
	for _, c := range []byte{d.delimiter, d.quote, d.comment} {
		s.charset.check(p, c)
	}
	if d.backslash {
		s.charset.check(p, '\\')
	}
}

// check refuses parameters that the form does not have, and those that stand there twice.
func (p *parser) check(scheme string, known []string) {
	names := make([]string, 0, len(p.values))
	for name := range p.values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(known, name) {
			hint := scheme + " URLs have: " + strings.Join(known, ", ")
			if meant := sqldb.Nearest(name, known); len(meant) > 0 {
				hint = "did you mean " + meant[0] + "? " + hint
			}
			p.fail(name, hint, "it is not known")
			return
		}
		if len(p.values[name]) > 1 {
			p.fail(name, "leave one of them", "it is given twice")
			return
		}
	}
}

func (p *parser) get(name string) string { return p.values.Get(name) }

func (p *parser) fail(name, hint, reason string) {
	if p.err == nil {
		p.err = tasks.WithHint(nil, hint, "the parameter %s cannot be used: %s", name, reason)
	}
}

// number reads a whole number.
func (p *parser) number(name string, def, least, most int) int {
	v := p.get(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		p.fail(name, "write a number, for example "+name+"="+strconv.Itoa(max(def, least)), strconv.Quote(v)+" is no number that it may be")
		return def
	}
	return n
}

// characters are those that cannot stand in a URL as they are, or hardly.
var characters = map[string]byte{"tab": '\t', `\t`: '\t', "comma": ',', "semicolon": ';', "pipe": '|', "space": ' ', "colon": ':',
	"hash": '#', "single": '\'', "double": '"', "none": 0}

// character reads one ASCII character, as it is or by name; 0 for none.
func (p *parser) character(name string, def byte) byte {
	v := p.get(name)
	if v == "" {
		return def
	}
	if c, ok := characters[v]; ok {
		return c
	}
	if len(v) == 1 && v[0] < 0x80 && v[0] != '\n' && v[0] != '\r' && v[0] != 0 {
		return v[0]
	}
	p.fail(name, "write one ASCII character, or its name: tab, comma, semicolon (%3B), pipe, space, colon, hash, single, double, none",
		strconv.Quote(v)+" is not one character")
	return def
}

// choose reads one of some words.
func choose[T any](p *parser, name string, def T, words map[string]T) T {
	v := p.get(name)
	if v == "" {
		return def
	}
	if t, ok := words[strings.ToLower(v)]; ok {
		return t
	}
	all := make([]string, 0, len(words))
	for w := range words {
		all = append(all, w)
	}
	slices.Sort(all)
	p.fail(name, "it may be "+strings.Join(all, ", "), strconv.Quote(v)+" is not known")
	return def
}
