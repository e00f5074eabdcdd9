package expression

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxPad is the longest text that padding makes, in characters.
const maxPad = 1 << 20

func init() {
	register("Text", []Function{
		{Signature: "trim(x text, chars text?)", gives: Text, Summary: "x without blanks, tabs and line ends, or without these characters, on both sides.",
			Examples: []string{`trim("  Anna ") → "Anna"`, `trim("--7-", "-") → "7"`, `trim(nil) → nil`},
			impl:     trimmer(strings.TrimSpace, strings.Trim)},
		{Signature: "ltrim(x text, chars text?)", gives: Text, Summary: "The same on the left.", Examples: []string{`ltrim("0042", "0") → "42"`},
			impl: trimmer(func(s string) string { return strings.TrimLeftFunc(s, unicode.IsSpace) }, strings.TrimLeft)},
		{Signature: "rtrim(x text, chars text?)", gives: Text, Summary: "The same on the right: what CHAR columns are padded with.", Examples: []string{`rtrim("Val2  ") → "Val2"`},
			impl: trimmer(func(s string) string { return strings.TrimRightFunc(s, unicode.IsSpace) }, strings.TrimRight)},
		{Signature: "upper(x text)", gives: Text, Summary: "x in capital letters.", Examples: []string{`upper("Zoë") → "ZOË"`}, impl: impl{write: upper}},
		{Signature: "lower(x text)", gives: Text, Summary: "x in small letters.", Examples: []string{`lower("ZOË") → "zoë"`}, impl: impl{write: lower}},
		{Signature: "title(x text)", gives: Text, Summary: "The first letter of each word as a capital, all others small.", Examples: []string{`title("ANNA-lena o'neil") → "Anna-Lena O'neil"`}, impl: ofText(title)},
		{Signature: "left(x text, n int)", gives: Text, Summary: "The first n characters; without the last -n if n is below zero.", Examples: []string{`left("Zoë", 2) → "Zo"`, `left("Zoë", 9) → "Zoë"`, `left("Zoë", -1) → "Zo"`},
			impl: impl{two: func(x, n Value) Value { return OfText(substring(x.s(), 0, n.n)) }}},
		{Signature: "right(x text, n int)", gives: Text, Summary: "The last n characters; without the first -n if n is below zero.", Examples: []string{`right("4711", 2) → "11"`, `right("4711", -1) → "711"`, `right("4711", 0) → ""`},
			impl: impl{two: func(x, n Value) Value { return OfText(lastCharacters(x.s(), n.n)) }}},
		{Signature: "substr(x text, from int, count int?)", gives: Text, Summary: "count characters, or all, beginning with character from: 0 is the first, -1 the last. What lies outside is left out. x[from:to] is the same by places.",
			Examples: []string{`substr("abcdef", 2) → "cdef"`, `substr("abcdef", 2, 3) → "cde"`, `substr("abcdef", -2, 1) → "e"`, `"abcdef"[1:3] → "bc"`},
			impl:     impl{two: func(x, from Value) Value { return OfText(substring(x.s(), from.n, 1<<62)) }, three: substr}},
		{Signature: "truncate(x text, n int)", gives: Text, Summary: "At most n characters: said aloud, as nothing is ever cut silently.", Examples: []string{`truncate("Hedwig", 3) → "Hed"`},
			impl: impl{two: func(x, n Value) Value { return OfText(substring(x.s(), 0, max(n.n, 0))) }}},
		{Signature: "replace(x text, old text, new text)", gives: Text, Summary: "x with each old replaced.", Examples: []string{`replace("a-b-c", "-", "") → "abc"`},
			impl: impl{three: replace}},
		{Signature: "regex_replace(x text, pattern text!, new text)", gives: Text, Summary: "x with each match of an RE2 pattern replaced; $1 or ${name} are what its groups have matched.",
			Examples: []string{`regex_replace("AB-12", "([A-Z]+)-([0-9]+)", "$2$1") → "12AB"`}, bind: bindReplace},
		{Signature: "regex_extract(x text, pattern text!)", gives: Text, mayNull: true, Summary: "The first match of an RE2 pattern, or of its first group.", Null: "NULL also if nothing matches",
			Examples: []string{`regex_extract("Flat 12, 3rd floor", "[0-9]+") → "12"`, `regex_extract("no: 7", "no: ([0-9])") → "7"`, `regex_extract("none", "[0-9]") → nil`}, bind: bindExtract},
		{Signature: "split(x text, separator text)", gives: JSON, Summary: "The list of parts; of an empty text, a list with an empty text.", Errors: "22023 the separator is empty",
			Examples: []string{`split("a,b,,c", ",") → ["a", "b", "", "c"]`}, impl: impl{two: split}},
		{Signature: "split_part(x text, separator text, n int)", gives: Text, mayNull: true, Summary: "The n-th part: 0 is the first, -1 the last.", Null: "NULL also if there is no such part", Errors: "22023 the separator is empty",
			Examples: []string{`split_part("Anna Berg", " ", 0) → "Anna"`, `split_part("Anna Berg", " ", -1) → "Berg"`, `split_part("Anna", " ", 1) → nil`}, impl: impl{three: splitPart}},
		{Signature: "join(list json, separator text?)", gives: Text, Summary: "The elements of a list as one text; NULLs are left out.", Examples: []string{`join(["a", nil, 7], "-") → "a-7"`},
			impl: impl{one: func(l Value) Value { return join(l, Value{}) }, two: join}},
		{Signature: "pad_left(x text, width int, fill text?)", gives: Text, Summary: "x with blanks, or with fill, in front up to width characters. Longer texts stay.", Errors: "54000 width is over 1,048,576; 22023 fill is empty",
			Examples: []string{`pad_left("7", 3, "0") → "007"`, `pad_left("4711", 3) → "4711"`}, impl: padder(true)},
		{Signature: "pad_right(x text, width int, fill text?)", gives: Text, Summary: "The same behind x.", Errors: "54000 width is over 1,048,576; 22023 fill is empty",
			Examples: []string{`pad_right("ab", 4, ".") → "ab.."`}, impl: padder(false)},
		{Signature: "strip_nul(x text)", gives: Text, Summary: "x without the character 0, which PostgreSQL refuses.", Examples: []string{`strip_nul("a\x00b") → "ab"`},
			impl: ofText(func(s string) string { return strings.ReplaceAll(s, "\x00", "") })},
		{Signature: "strip_control(x text)", gives: Text, Summary: "x without control characters; tabs and line ends stay.", Examples: []string{`strip_control("a\x07b\n") → "ab\n"`}, impl: ofText(stripControl)},
		{Signature: "squeeze(x text)", gives: Text, Summary: "x trimmed, with one blank for each run of blanks, tabs and line ends.", Examples: []string{`squeeze(" Main \n  Street ") → "Main Street"`}, impl: ofText(squeeze)},
		{Signature: "fold(x text)", gives: Text, Summary: "x without accents: é is e, ß is ss, ø is o, æ is ae.", Examples: []string{`fold("Zoë Łuksza, Straße") → "Zoe Luksza, Strasse"`}, impl: ofText(fold)},
		{Signature: "only_digits(x text)", gives: Text, Summary: "The digits 0 to 9 of x.", Examples: []string{`only_digits("+49 (30) 12-34") → "49301234"`}, impl: ofText(onlyDigits)},
		{Signature: "email(x text)", gives: Text, Summary: "x trimmed and in small letters.", Errors: "22023 it is no address: one @, no blanks, a dot in the domain",
			Examples: []string{`email(" Anna@Example.ORG ") → "anna@example.org"`, `email("anna at example.org") → error 22023`}, impl: impl{one: email}},
		{Signature: "length(x text|bytes)", gives: Int, Summary: "How many characters a text has, or bytes.", Examples: []string{`length("Zoë") → 3`}, impl: impl{one: length}},
		{Signature: "concat(x any...)", gives: Text, lax: true, Summary: "The texts of all values as one.", Null: "NULLs are left out; of nothing else it is an empty text", Examples: []string{`concat("No. ", 7, nil) → "No. 7"`}, impl: impl{many: concat}},
		{Signature: "concat_ws(separator text, x any...)", gives: Text, lax: true, Summary: "The same, with a separator between them.", Null: "NULLs are left out; a separator that is NULL is none", Examples: []string{`concat_ws(", ", "Oslo", nil, "Norway") → "Oslo, Norway"`}, impl: impl{many: concatWith}},
		{Signature: "normalize(x text, form text!?)", gives: Text, Summary: "x in Unicode's form NFC, or NFD, NFKC, NFKD: equal texts get equal bytes.", Examples: []string{`normalize("e\u0301") → "é"`}, bind: bindNormalize},
		{Signature: "html_unescape(x text)", gives: Text, Summary: "&amp;amp; and its like as the characters that they stand for.", Examples: []string{`html_unescape("Tom &amp; Jerry") → "Tom & Jerry"`}, impl: ofText(html.UnescapeString)},
	})
}

func ofText(f func(string) string) impl {
	return impl{one: func(x Value) Value { return OfText(f(x.s())) }}
}

func upper(r *Row, x Value) Value { return changeCase(r, x, 'a', strings.ToUpper) }

func lower(r *Row, x Value) Value { return changeCase(r, x, 'A', strings.ToLower) }

// changeCase changes the case of the 26 letters from first on, and leaves text that has others to whom knows them.
func changeCase(r *Row, x Value, first byte, full func(string) string) Value {
	s := x.s()
	if !isASCII(s) {
		return OfText(full(s))
	}
	i := 0
	for i < len(s) && s[i]-first >= 26 {
		i++
	}
	if i == len(s) {
		return x
	}
	b, start := r.room()
	b = append(b, s...)
	for made := b[start:]; i < len(made); i++ {
		if made[i]-first < 26 {
			made[i] ^= 0x20
		}
	}
	return r.made(b, start)
}

func trimmer(blanks func(string) string, these func(s, chars string) string) impl {
	return impl{
		one: func(x Value) Value { return OfText(blanks(x.s())) },
		two: func(x, chars Value) Value { return OfText(these(x.s(), chars.s())) },
	}
}

func title(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '\'' || r == '’'
		first := letter && !inWord
		inWord = letter
		if first {
			return unicode.ToTitle(r)
		}
		return unicode.ToLower(r)
	}, s)
}

func lastCharacters(s string, n int64) string {
	switch {
	case n == 0:
		return ""
	case n < 0:
		if n == -1<<63 {
			return ""
		}
		return substring(s, -n, 1<<62)
	}
	return substring(s, max(-n, -1<<62), 1<<62)
}

func substr(x, from, count Value) Value {
	if count.n <= 0 {
		return OfText("")
	}
	rest := substring(x.s(), from.n, 1<<62)
	return OfText(substring(rest, 0, count.n))
}

func replace(x, old, with Value) Value {
	if grow := len(with.s()) - len(old.s()); grow > 0 && strings.Count(x.s(), old.s()) > (maxText-len(x.s()))/grow {
		return tooLong()
	}
	if old.s() == "" {
		return x
	}
	return OfText(strings.ReplaceAll(x.s(), old.s(), with.s()))
}

// compilePattern compiles RE2, whose time is linear in text and pattern.
func compilePattern(pattern string) (*regexp.Regexp, error) { return regexp.Compile(pattern) }

func (b *binding) pattern(i int) (*regexp.Regexp, error) {
	p, _ := b.text(i)
	re, err := compilePattern(p)
	if err != nil {
		return nil, b.errorf(i, "patterns are RE2: https://github.com/google/re2/wiki/Syntax", "%v", err)
	}
	return re, nil
}

func bindReplace(b *binding) (impl, error) {
	re, err := b.pattern(1)
	if err != nil {
		return impl{}, err
	}
	return impl{three: func(x, _, with Value) Value {
		if len(with.s()) > 0 && len(x.s()) > maxText/(len(with.s())+1) {
			return tooLong()
		}
		return OfText(re.ReplaceAllString(x.s(), with.s()))
	}}, nil
}

func bindExtract(b *binding) (impl, error) {
	re, err := b.pattern(1)
	if err != nil {
		return impl{}, err
	}
	group := min(re.NumSubexp(), 1)
	return impl{two: func(x, _ Value) Value {
		at := re.FindStringSubmatchIndex(x.s())
		if at == nil || at[2*group] < 0 {
			return Value{}
		}
		return OfText(x.s()[at[2*group]:at[2*group+1]])
	}}, nil
}

func split(x, separator Value) Value {
	if separator.s() == "" {
		return fail("22023", "split needs a separator")
	}
	parts := strings.Split(x.s(), separator.s())
	list := make([]any, len(parts))
	for i, p := range parts {
		list[i] = p
	}
	return newDocument(list, len(list))
}

func splitPart(x, separator, n Value) Value {
	if separator.s() == "" {
		return fail("22023", "split_part needs a separator")
	}
	rest, skip := x.s(), n.n
	if skip < 0 {
		for ; skip < -1; skip++ {
			i := strings.LastIndex(rest, separator.s())
			if i < 0 {
				return Value{}
			}
			rest = rest[:i]
		}
		if i := strings.LastIndex(rest, separator.s()); i >= 0 {
			rest = rest[i+len(separator.s()):]
		}
		return OfText(rest)
	}
	for ; skip > 0; skip-- {
		i := strings.Index(rest, separator.s())
		if i < 0 {
			return Value{}
		}
		rest = rest[i+len(separator.s()):]
	}
	part, _, _ := strings.Cut(rest, separator.s())
	return OfText(part)
}

func join(l, separator Value) Value {
	list, bad := elements(l)
	if bad.kind == failed {
		return bad
	}
	var out []byte
	first := true
	for _, e := range list {
		v := fromDocument(e)
		switch {
		case v.kind == failed:
			return v
		case v.kind == Any:
			continue
		case !first:
			out = append(out, separator.s()...)
		}
		first = false
		if out = v.AppendText(out); len(out) > maxText {
			return tooLong()
		}
	}
	return ofBuffer(out)
}

func padder(front bool) impl {
	pad := func(r *Row, x, width, fill Value) Value {
		if !r.spend(int(min(max(width.n, 0), maxPad) >> 8)) {
			return tooMuch()
		}
		if width.n > maxPad {
			return fail("54000", "padding to %d characters is too much: at most %d", width.n, maxPad)
		}
		if fill.s() == "" {
			return fail("22023", "there is nothing to pad with: fill is empty")
		}
		missing := max(width.n, 0) - int64(utf8.RuneCountInString(x.s()))
		if missing <= 0 {
			return x
		}
		whole := int(missing) / utf8.RuneCountInString(fill.s())
		filling := strings.Repeat(fill.s(), whole+1)
		filling = filling[:byteOffset(filling, missing)]
		if front {
			return OfText(filling + x.s())
		}
		return OfText(x.s() + filling)
	}
	return impl{many: func(r *Row, args []Value) Value {
		if len(args) == 2 {
			return pad(r, args[0], args[1], OfText(" "))
		}
		return pad(r, args[0], args[1], args[2])
	}}
}

func stripControl(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' {
			return -1
		}
		return r
	}, s)
}

func squeeze(s string) string {
	s = strings.TrimSpace(s)
	blank := false
	for _, r := range s {
		space := unicode.IsSpace(r)
		if space && (blank || r != ' ') {
			return strings.Join(strings.Fields(s), " ")
		}
		blank = space
	}
	return s
}

// letters are those that Unicode does not take apart into a letter and an accent.
var letters = strings.NewReplacer("ß", "ss", "ẞ", "SS", "ø", "o", "Ø", "O", "æ", "ae", "Æ", "AE", "œ", "oe", "Œ", "OE", "ł", "l", "Ł", "L",
	"đ", "d", "Đ", "D", "ð", "d", "Ð", "D", "þ", "th", "Þ", "Th", "ħ", "h", "Ħ", "H", "ı", "i", "ŧ", "t", "Ŧ", "T", "ŋ", "n", "Ŋ", "N")

func fold(s string) string {
	if isASCII(s) {
		return s
	}
	apart := norm.NFD.String(letters.Replace(s))
	return norm.NFC.String(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, apart))
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func email(x Value) Value {
	s := strings.ToLower(strings.TrimSpace(x.s()))
	local, domain, ok := strings.Cut(s, "@")
	dot := strings.IndexByte(domain, '.')
	if !ok || local == "" || dot <= 0 || domain[len(domain)-1] == '.' || strings.Contains(domain, "@") || strings.Contains(domain, "..") ||
		strings.ContainsFunc(s, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("<>,;", r)
		}) {
		return fail("22023", "%s is no email address", quote(x.s()))
	}
	return OfText(s)
}

func length(x Value) Value {
	if x.kind == Bytes {
		return OfInt(int64(len(x.s())))
	}
	return OfInt(int64(utf8.RuneCountInString(x.s())))
}

func concat(r *Row, args []Value) Value { return concatAll(r, "", args) }

func concatWith(r *Row, args []Value) Value { return concatAll(r, args[0].s(), args[1:]) }

func concatAll(r *Row, separator string, args []Value) Value {
	b, start := r.room()
	first := true
	for _, a := range args {
		if a.kind == Any {
			continue
		}
		if !first {
			b = append(b, separator...)
		}
		first = false
		if b = a.AppendText(b); len(b)-start > maxText {
			return tooLong()
		}
	}
	if !r.spend((len(b) - start) >> 8) {
		return tooMuch()
	}
	return r.made(b, start)
}

var forms = map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}

func bindNormalize(b *binding) (impl, error) {
	form := norm.NFC
	if name, ok := b.text(1); ok {
		if form, ok = forms[strings.ToUpper(name)]; !ok {
			return impl{}, b.errorf(1, "NFC, NFD, NFKC or NFKD", "there is no form %s", quote(name))
		}
	}
	do := func(x Value) Value { return OfText(form.String(x.s())) }
	return impl{one: do, two: func(x, _ Value) Value { return do(x) }}, nil
}
