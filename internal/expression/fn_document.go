package expression

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"strconv"
	"strings"
)

func init() {
	register("Documents", []Function{
		{Signature: "json(x text|json)", gives: JSON, mayNull: true, Summary: "The document in a text.", Null: "NULL also of the text null", Errors: "22P02 the text is no JSON", Examples: []string{`json("{\"a\": [1, 2]}").a[-1] → 2`, `json("{") → error 22P02`}, impl: impl{one: toJSON}},
		{Signature: "to_json(x any)", gives: Text, Summary: "The text of a document, or of any value as one; names are in order.", Errors: "54000 it is longer than 64 MiB; 22P02 a document of the source is no JSON", Examples: []string{`to_json({b: 1.50, a: [true, nil]}) → "{\"a\":[true,null],\"b\":1.50}"`}, impl: impl{one: toJSONText}},
		{Signature: "json_get(doc json, path text!)", gives: Any, mayNull: true, Summary: "What lies at a path of names and places: a.b[0], or a[\"b c\"].d. doc.a.b[0] is the same.", Null: "NULL also where there is nothing", Errors: "42804 a scalar on the way", Examples: []string{`json_get({a: {b: [5, 6]}}, "a.b[1]") → 6`, `json_get({a: 1}, "b.c") → nil`}, bind: bindGet},
		{Signature: "json_set(doc json, name text, value any)", gives: JSON, lax: true, Summary: "An object with one member more, or another value in it.", Null: "a NULL doc is an empty object; a NULL value becomes null; 22004 of a NULL name", Errors: "42804 doc is no object", Examples: []string{`json_set({a: 1}, "b", 2) → {a: 1, b: 2}`}, impl: impl{three: jsonSet}},
		{Signature: "keys(doc json)", gives: JSON, Summary: "The names of an object, in order.", Errors: "42804 doc is no object", Examples: []string{`keys({b: 1, a: 2}) → ["a", "b"]`}, impl: impl{one: keys}},
		{Signature: "len(list json|text)", gives: Int, Summary: "How many elements a list has, members an object, characters a text.", Errors: "42804 it is none of them", Examples: []string{`len([1, nil]) → 2`, `len({a: 1}) → 1`}, impl: impl{one: lenOf}},
		{Signature: "first(list json)", gives: Any, mayNull: true, Summary: "The first element.", Null: "NULL also of an empty list", Examples: []string{`first([7, 8]) → 7`, `first([]) → nil`}, impl: impl{one: func(l Value) Value { return elementAt(l, 0) }}},
		{Signature: "last(list json)", gives: Any, mayNull: true, Summary: "The last element.", Null: "NULL also of an empty list", Examples: []string{`last([7, 8]) → 8`}, impl: impl{one: func(l Value) Value { return elementAt(l, -1) }}},
	})
	register("Lookups, references and keys", []Function{
		{Signature: "lookup(table text!, key any, default any?)", Gives: "the type of the table's values", gives: Any, Summary: "The value of a key in a table of the plan. Keys are compared by their text. lookup(t, k) ?? x has x for its default.", Null: "NULL if the key is NULL; a default that is NULL is one", Errors: "23503 the table has no such key, and there is no default", lax: true, mayNull: true,
			Examples: []string{`lookup("vat", "N") → 0.25`, `lookup("vat", "X", 0) → decimal(0)`, `lookup("vat", "X") ?? 0 → decimal(0)`, `lookup("vat", "X") → error 23503`}, bind: bindLookup},
		{Signature: "ref(stage text!, key any...)", Gives: "the type of the stage's key", gives: Any, impure: true, Summary: "The key that a row of another stage got in the target, by its key, of one part or more, in the source. A row whose reference is not there yet waits for it.", Examples: []string{`ref("customers", 7) → "c-7"`, `ref("customers", nil) → nil`}},
		{Signature: "uuid5(namespace text|uuid, name any...)", gives: UUID, Summary: "The UUID of version 5 of a name, which is always the same. The namespace is a UUID, or dns, url, oid, x500. Names of several parts are joined by the character 31.", Errors: "22P02 the namespace is none",
			Examples: []string{`text(uuid5("dns", "python.org")) → "886313e1-3b8a-5372-9b90-0c9aee199e5d"`}, bind: bindUUID5},
		{Signature: "sha256(x any...)", gives: Text, Summary: "The hash of a value's text, or of bytes, in hexadecimal digits. Several values are joined by the character 31.", Examples: []string{`left(sha256("abc"), 8) → "ba7816bf"`},
			impl: hasher(func(b []byte) Value { h := sha256.Sum256(b); return OfText(hex.EncodeToString(h[:])) })},
		{Signature: "md5(x any...)", gives: Text, Summary: "The same with MD5: for systems that ask for it, not for secrets.", Examples: []string{`md5("abc") → "900150983cd24fb0d6963f7d28e17f72"`},
			impl: hasher(func(b []byte) Value { h := md5.Sum(b); return OfText(hex.EncodeToString(h[:])) })},
		{Signature: "crc32(x any...)", gives: Int, Summary: "The same with CRC-32 (IEEE), as a number.", Examples: []string{`crc32("abc") → 891568578`}, impl: hasher(func(b []byte) Value { return OfInt(int64(crc32.ChecksumIEEE(b))) })},
	})
}

func toJSON(x Value) Value {
	if x.kind == JSON {
		return x
	}
	doc, err := parseJSON(x.s())
	if err != nil {
		return badDocument(x, err)
	}
	return OfJSON(doc)
}

func toJSONText(x Value) Value {
	if x.kind == JSON {
		doc, err := x.document()
		if err != nil {
			return badDocument(x, err)
		}
		x = OfJSON(doc)
	}
	out := x.appendJSON(nil)
	if len(out) > maxText {
		return tooLong()
	}
	return ofBuffer(out)
}

// bindGet reads the path once.
func bindGet(b *binding) (impl, error) {
	path, _ := b.text(1)
	steps, ok := parsePath(path)
	if !ok {
		return impl{}, b.errorf(1, `a path is like a.b[0] or a["b c"].d`, "%s is no path", quote(path))
	}
	return impl{two: func(doc, _ Value) Value {
		for _, s := range steps {
			if doc.stops() {
				return doc
			}
			doc = memberOf(doc, s)
		}
		return doc
	}}, nil
}

func parsePath(path string) (steps []Value, ok bool) {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".")
	for rest != "" {
		if rest[0] != '[' {
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, false
			}
			steps = append(steps, OfText(rest[:end]))
			rest = rest[end:]
		} else {
			inside, after, closed := strings.Cut(rest[1:], "]")
			if strings.HasPrefix(inside, `"`) {
				name, err := strconv.QuotedPrefix(rest[1:])
				if err != nil || !strings.HasPrefix(rest[1+len(name):], "]") {
					return nil, false
				}
				after = rest[2+len(name):]
				name, _ = strconv.Unquote(name) // QuotedPrefix has seen that it is one
				steps = append(steps, OfText(name))
			} else {
				n, err := strconv.ParseInt(inside, 10, 64)
				if err != nil || !closed {
					return nil, false
				}
				steps = append(steps, OfInt(n))
			}
			rest = after
		}
		if next, dotted := strings.CutPrefix(rest, "."); dotted {
			if next == "" {
				return nil, false
			}
			rest = next
		}
	}
	return steps, len(steps) > 0
}

func jsonSet(doc, name, value Value) Value {
	if name.kind == Any {
		return fail("22004", "the name of a member is NULL")
	}
	old := map[string]any{}
	if doc.kind != Any {
		d, bad := object(doc)
		if bad.kind == failed {
			return bad
		}
		old = d
	}
	out := make(map[string]any, len(old)+1)
	for k, v := range old {
		out[k] = v
	}
	out[name.s()] = value.element()
	return newDocument(out, len(out)+partsOf(doc)+partsOf(value))
}

func object(v Value) (map[string]any, Value) {
	doc, err := v.document()
	if err != nil {
		return nil, badDocument(v, err)
	}
	d, ok := doc.(map[string]any)
	if !ok {
		return nil, fail("42804", "an object is needed, and %s is none", quoted(v))
	}
	return d, Value{}
}

func keys(v Value) Value {
	d, bad := object(v)
	if bad.kind == failed {
		return bad
	}
	list := make([]any, 0, len(d))
	for _, k := range sortedNames(d) {
		list = append(list, k)
	}
	return newDocument(list, len(list))
}

func lenOf(v Value) Value {
	if v.kind == Text {
		return length(v)
	}
	doc, err := v.document()
	if err != nil {
		return badDocument(v, err)
	}
	switch d := doc.(type) {
	case []any:
		return OfInt(int64(len(d)))
	case map[string]any:
		return OfInt(int64(len(d)))
	}
	return fail("42804", "a list or object is needed, and %s is none", quoted(v))
}

func elementAt(l Value, i int) Value {
	list, bad := elements(l)
	if bad.kind == failed {
		return bad
	}
	if i < 0 {
		i += len(list)
	}
	if i < 0 || i >= len(list) {
		return Value{}
	}
	return fromDocument(list[i])
}

// separator stands between the parts of a name, so that ("ab", "c") and ("a", "bc") are two.
const separator = 31

func appendParts(dst []byte, parts []Value) []byte {
	for i, p := range parts {
		if i > 0 {
			dst = append(dst, separator)
		}
		if p.kind == Bytes {
			dst = append(dst, p.s()...)
			continue
		}
		dst = p.AppendText(dst)
	}
	return dst
}

func hasher(sum func([]byte) Value) impl {
	return impl{many: func(r *Row, args []Value) Value {
		r.buf = appendParts(r.buf[:0], args)
		return sum(r.buf)
	}}
}

// namespaces are those of RFC 9562.
var namespaces = map[string]string{
	"dns": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "url": "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
	"oid": "6ba7b812-9dad-11d1-80b4-00c04fd430c8", "x500": "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
}

func namespaceOf(v Value) ([16]byte, bool) {
	if v.kind == UUID {
		return v.UUID(), true
	}
	text := v.s()
	if known, ok := namespaces[text]; ok {
		text = known
	}
	return parseUUID(text)
}

func bindUUID5(b *binding) (impl, error) {
	if b.args[0].constant && b.args[0].typ != Null {
		if _, ok := namespaceOf(b.args[0].value); !ok {
			return impl{}, b.errorf(0, "a UUID, or dns, url, oid, x500", "%s is no namespace", quoted(b.args[0].value))
		}
	}
	fixed, constant := namespaceOf(b.args[0].value) // of nearly every plan: it is not read again for each row
	constant = constant && b.args[0].constant
	return impl{many: func(r *Row, args []Value) Value {
		space, ok := fixed, constant
		if !ok {
			space, ok = namespaceOf(args[0])
		}
		if !ok {
			return fail("22P02", "%s is no namespace", quoted(args[0]))
		}
		r.buf = appendParts(append(r.buf[:0], space[:]...), args[1:])
		h := sha1.Sum(r.buf)
		u := [16]byte(h[:16])
		u[6] = u[6]&0x0f | 0x50
		u[8] = u[8]&0x3f | 0x80
		return OfUUID(u)
	}}, nil
}

func bindLookup(b *binding) (impl, error) {
	name, _ := b.text(0)
	table, ok := b.c.scope.Lookups[name]
	if !ok {
		names := make([]string, 0, len(b.c.scope.Lookups))
		for n := range b.c.scope.Lookups {
			names = append(names, n)
		}
		hint := didYouMean(name, names)
		if hint == "" && len(names) == 0 {
			hint = "tables stand under lookups: in the plan"
		}
		return impl{}, b.errorf(0, hint, "the plan has no table %q", name)
	}
	typ := table.Type
	if len(b.args) > 2 {
		values := code{typ: typ, node: b.args[0].node}
		both, err := b.c.unify([]code{values, b.args[2]})
		if err != nil {
			return impl{}, err
		}
		typ = both
	}
	what := "table " + name
	find := func(key Value) (Value, bool) {
		var v Value
		var ok bool
		switch key.kind { // the usual ones without a copy of their text
		case Text:
			v, ok = table.Rows[key.s()]
		case Int:
			var buf [20]byte
			v, ok = table.Rows[string(strconv.AppendInt(buf[:0], key.n, 10))]
		default:
			v, ok = table.Rows[string(key.AppendText(nil))]
		}
		return conform(v, typ, what), ok
	}
	return impl{
		typ: typ,
		two: func(_, key Value) Value {
			if key.kind == Any {
				return key
			}
			v, ok := find(key)
			if !ok {
				return fail("23503", "table %s has no %s", name, quoted(key))
			}
			return v
		},
		three: func(_, key, instead Value) Value {
			if key.kind == Any {
				return key
			}
			if v, ok := find(key); ok {
				return v
			}
			return conform(instead, typ, "the default")
		},
	}, nil
}
