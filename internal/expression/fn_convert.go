package expression

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

func init() {
	register("NULL and conditions", []Function{
		{Signature: "coalesce(x any, y any...)", Gives: "the type of its arguments", Summary: "The first value that is not NULL; a ?? b is the same.", Null: "that is what it is for", lax: true,
			Examples: []string{`coalesce(nil, nil, 3) → 3`, `nil ?? "AU" → "AU"`}},
		{Signature: "null_if(x any, y any)", Gives: "the type of x", mayNull: true, Summary: "NULL if x equals y, else x.", Null: "x if y is NULL", lax: true, Examples: []string{`null_if("", "") → nil`, `null_if(7, 0) → 7`}, bind: bindNullIf},
		{Signature: "required(x any, reason text?)", Gives: "the type of x", Summary: "x; a row in which it is NULL is set aside.", Null: "error 23502", lax: true, Errors: "23502 x is NULL",
			Examples: []string{`required(nil, "no name") → error 23502`, `required(7) → 7`}, bind: bindRequired},
		{Signature: "reject(reason text)", Gives: "null, so that it stands beside any type", gives: Null, mayNull: true, impure: true, Summary: "Sets the row aside with this reason.", Errors: "P0001 always", Null: "error P0001", lax: true,
			Examples: []string{`1 > 2 ? 1 : reject("too small") → error P0001`},
			impl: impl{one: func(reason Value) Value {
				if reason.s() == "" {
					return fail("P0001", "the plan rejects this row")
				}
				return fail("P0001", "%s", reason.s())
			}}},
	})
	register("Conversion", []Function{
		{Signature: "int(x number|text|bool)", gives: Int, Summary: "x as a whole number.", Errors: "22P02 the text is no number; 22003 it has a fraction, for which round() is there, or does not fit into 64 bits",
			Examples: []string{`int("42") → 42`, `int(19.99 * 100) → 1999`, `int(1.5) → error 22003`, `int("") → error 22P02`}, impl: impl{one: toInt}},
		{Signature: "decimal(x number|text)", gives: Decimal, Summary: "x as an exact number; of a float, its shortest text.", Errors: "22P02 the text is no number; 22003 it is NaN, infinite or has more than 2,000 digits",
			Examples: []string{`decimal("1.50") → 1.50`, `decimal("1,5") → error 22P02`}, impl: impl{one: toDecimal}},
		{Signature: "float(x number|text)", gives: Float, Summary: "x as the nearest float64.", Errors: "22P02 the text is no number; 22003 it is too large", Examples: []string{`text(float("0.10")) → "0.1"`}, impl: impl{one: toFloat}},
		{Signature: "bool(x bool|int|text)", gives: Bool, Summary: "x as true or false: 1 or -1 and 0; Y/N, J/N, T/F, true/false, yes/no, on/off, in capitals or not.", Errors: "22P02 it is none of these", Examples: []string{`bool("J") → true`, `bool(0) → false`, `bool("maybe") → error 22P02`}, impl: impl{one: toBool}},
		{Signature: "text(x any)", gives: Text, Summary: "The text of any value: 1.50, 2024-02-29, true. Bytes need decode().", Examples: []string{`text(1.50) → "1.50"`, `text(date("2024-02-29")) → "2024-02-29"`}, impl: impl{write: toText}},
		{Signature: "uuid(x text|uuid|bytes)", gives: UUID, Summary: "32 hexadecimal digits, with hyphens and braces or without, or 16 bytes.", Errors: "22P02 it is no UUID", Examples: []string{`text(uuid("{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}")) → "6ba7b810-9dad-11d1-80b4-00c04fd430c8"`}, impl: impl{one: toUUID}},
		{Signature: "decode(x bytes|text, charset text!)", gives: Text, Summary: "The text that bytes are in a character set: utf-8, utf-16le, utf-16be, cp437, cp850, cp852, cp866, cp1250 to cp1258, cp874, iso-8859-1 to -16, koi8-r, koi8-u, macintosh.", Errors: "22021 a byte has no meaning there",
			Examples: []string{`decode(b"Zo\xeb", "cp1252") → "Zoë"`, `decode(b"\xff", "utf-8") → error 22021`}, bind: bindDecode},
		{Signature: "bytes(x text)", gives: Bytes, Summary: "The UTF-8 bytes of a text.", Examples: []string{`hex(bytes("ab")) → "6162"`}, impl: impl{one: func(x Value) Value { return ofString(Bytes, x.s()) }}},
		{Signature: "base64(x bytes|text)", gives: Text, Summary: "Bytes, or the bytes of a text, in base 64.", Examples: []string{`base64("Zoë") → "Wm/Dqw=="`}, impl: impl{one: func(x Value) Value { return OfText(base64.StdEncoding.EncodeToString(x.Bytes())) }}},
		{Signature: "from_base64(x text)", gives: Bytes, Summary: "The bytes of a text in base 64, of either alphabet, with = at its end or without.", Errors: "22P02 it is not base 64", Examples: []string{`decode(from_base64("Wm/Dqw"), "utf-8") → "Zoë"`}, impl: impl{one: fromBase64}},
		{Signature: "hex(x bytes|text)", gives: Text, Summary: "Bytes, or the bytes of a text, in hexadecimal digits.", Examples: []string{`hex("ab") → "6162"`}, impl: impl{one: func(x Value) Value { return OfText(hex.EncodeToString(x.Bytes())) }}},
		{Signature: "from_hex(x text)", gives: Bytes, Summary: "The bytes of hexadecimal digits, after 0x or \\x or not.", Errors: "22P02 it is not hexadecimal", Examples: []string{`decode(from_hex("0x6162"), "utf-8") → "ab"`}, impl: impl{one: fromHex}},
	})
}

func bindNullIf(b *binding) (impl, error) {
	x, y := b.args[0], b.args[1]
	if err := b.c.comparable(b.n, x, y); err != nil {
		return impl{}, err
	}
	return impl{typ: x.typ, two: func(x, y Value) Value {
		if x.kind == Any || y.kind == Any {
			return x
		}
		order, bad := compare(x, y)
		if bad.kind == failed {
			return bad
		}
		if order == 0 {
			return Value{}
		}
		return x
	}}, nil
}

func bindRequired(b *binding) (impl, error) {
	what := shorten(b.args[0].node.String())
	check := func(x, reason Value) Value {
		if x.kind != Any {
			return x
		}
		if reason.s() == "" {
			return fail("23502", "%s is NULL", what)
		}
		return fail("23502", "%s", reason.s())
	}
	return impl{typ: b.args[0].typ, two: check, one: func(x Value) Value { return check(x, Value{}) }}, nil
}

func toInt(x Value) Value {
	switch x.kind {
	case Int:
		return x
	case Bool:
		return OfInt(x.n)
	case Text:
		s := strings.TrimSpace(x.s())
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return OfInt(n)
		}
		v := toDecimal(x)
		if v.kind == failed {
			return v
		}
		return toInt(v)
	}
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no whole number", x)
	}
	n, whole, fits := d.int64()
	switch {
	case !whole:
		return fail("22003", "%s has a fraction: round(), floor(), ceil() and trunc() say what to do with it", x)
	case !fits:
		return fail("22003", "%s does not fit into 64 bits", x)
	}
	return OfInt(n)
}

func toDecimal(x Value) Value {
	if x.kind != Text {
		return asDecimal(x)
	}
	d, err := parseDecimal(strings.TrimSpace(x.s()))
	switch {
	case errors.Is(err, errRange):
		return fail("22003", "%s is out of range", quote(x.s()))
	case err != nil:
		return fail("22P02", "%s is no number", quote(x.s()))
	}
	return d.value()
}

func toFloat(x Value) Value {
	switch x.kind {
	case Float:
		return x
	case Int:
		return OfFloat(float64(x.n))
	}
	d := toDecimal(x)
	if d.kind == failed {
		return d
	}
	f := d.Float64()
	if f-f != 0 {
		return fail("22003", "%s is too large for a float", quoted(x))
	}
	return OfFloat(f)
}

var booleans = map[string]bool{
	"y": true, "yes": true, "j": true, "ja": true, "t": true, "true": true, "on": true, "1": true, "-1": true,
	"n": false, "no": false, "nein": false, "f": false, "false": false, "off": false, "0": false,
}

func toBool(x Value) Value {
	switch x.kind {
	case Bool:
		return x
	case Int:
		if x.n == 0 || x.n == 1 || x.n == -1 {
			return OfBool(x.n != 0)
		}
	case Text:
		if b, ok := booleans[strings.ToLower(strings.TrimSpace(x.s()))]; ok {
			return OfBool(b)
		}
	}
	return fail("22P02", "%s is neither true nor false", quoted(x))
}

func toText(r *Row, x Value) Value {
	switch x.kind {
	case Text:
		return x
	case Bytes:
		return fail("42804", "bytes have no text of their own: decode(x, charset) reads it, hex() and base64() write the bytes")
	}
	b, start := r.room()
	return r.made(x.AppendText(b), start)
}

func toUUID(x Value) Value {
	switch {
	case x.kind == UUID:
		return x
	case x.kind == Bytes && len(x.s()) == 16:
		return OfUUID([16]byte(x.Bytes()))
	case x.kind == Text:
		if u, ok := parseUUID(x.s()); ok {
			return OfUUID(u)
		}
	}
	return fail("22P02", "%s is no UUID", quoted(x))
}

var charmaps = map[string]*charmap.Charmap{
	"cp437": charmap.CodePage437, "cp850": charmap.CodePage850, "cp852": charmap.CodePage852, "cp855": charmap.CodePage855, "cp858": charmap.CodePage858,
	"cp860": charmap.CodePage860, "cp862": charmap.CodePage862, "cp863": charmap.CodePage863, "cp865": charmap.CodePage865, "cp866": charmap.CodePage866,
	"cp874": charmap.Windows874, "cp1250": charmap.Windows1250, "cp1251": charmap.Windows1251, "cp1252": charmap.Windows1252, "cp1253": charmap.Windows1253,
	"cp1254": charmap.Windows1254, "cp1255": charmap.Windows1255, "cp1256": charmap.Windows1256, "cp1257": charmap.Windows1257, "cp1258": charmap.Windows1258,
	"iso-8859-1": charmap.ISO8859_1, "iso-8859-2": charmap.ISO8859_2, "iso-8859-3": charmap.ISO8859_3, "iso-8859-4": charmap.ISO8859_4, "iso-8859-5": charmap.ISO8859_5,
	"iso-8859-6": charmap.ISO8859_6, "iso-8859-7": charmap.ISO8859_7, "iso-8859-8": charmap.ISO8859_8, "iso-8859-9": charmap.ISO8859_9, "iso-8859-10": charmap.ISO8859_10,
	"iso-8859-13": charmap.ISO8859_13, "iso-8859-14": charmap.ISO8859_14, "iso-8859-15": charmap.ISO8859_15, "iso-8859-16": charmap.ISO8859_16,
	"koi8-r": charmap.KOI8R, "koi8-u": charmap.KOI8U, "macintosh": charmap.Macintosh,
}

var charsetNames = strings.NewReplacer("windows-", "cp", "win", "cp", "_", "-", "latin1", "iso-8859-1", "utf8", "utf-8", "iso8859-", "iso-8859-", "ibm", "cp")

func bindDecode(b *binding) (impl, error) {
	given, _ := b.text(1)
	name := charsetNames.Replace(strings.ToLower(given))
	read := map[string]func(string) (string, bool){"utf-8": func(s string) (string, bool) { return s, utf8.ValidString(s) }, "utf-16le": utf16(unicode.LittleEndian), "utf-16be": utf16(unicode.BigEndian)}[name]
	if m := charmaps[name]; m != nil {
		read = func(s string) (string, bool) { return decodeBytes(m, s) }
	}
	if read == nil {
		names := []string{"utf-8"}
		for n := range charmaps {
			names = append(names, n)
		}
		return impl{}, b.errorf(1, didYouMean(name, names), "there is no character set %s", quote(given))
	}
	return impl{two: func(x, _ Value) Value {
		s, ok := read(x.s())
		if !ok {
			return fail("22021", "%s is not %s", quote(x.s()), name)
		}
		return OfText(s)
	}}, nil
}

// decodeBytes reads a character set of one byte each. All of them agree with ASCII in its half.
func decodeBytes(m *charmap.Charmap, s string) (string, bool) {
	if isASCII(s) {
		return s, true
	}
	var out strings.Builder
	out.Grow(len(s) + len(s)/2)
	for i := 0; i < len(s); i++ {
		r := m.DecodeByte(s[i])
		if r == utf8.RuneError {
			return "", false
		}
		out.WriteRune(r)
	}
	return out.String(), true
}

func utf16(order unicode.Endianness) func(string) (string, bool) {
	return func(s string) (string, bool) {
		out, err := unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder().String(s)
		return out, err == nil && len(s)%2 == 0 && !strings.ContainsRune(out, utf8.RuneError)
	}
}

func fromBase64(x Value) Value {
	s := strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "", " ", "").Replace(x.s())
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return fail("22P02", "%s is not base 64", quote(x.s()))
	}
	return OfBytes(b)
}

func fromHex(x Value) Value {
	s := strings.TrimPrefix(strings.TrimPrefix(x.s(), "0x"), `\x`)
	b, err := hex.DecodeString(s)
	if err != nil {
		return fail("22P02", "%s is not hexadecimal", quote(x.s()))
	}
	return OfBytes(b)
}
