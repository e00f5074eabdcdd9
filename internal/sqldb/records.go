package sqldb

import (
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Record is a row on its way to an API or into a file.
type Record struct {
	Key    RowKey // of the source's row
	ID     string // what the map of ids knows it by; "" without KeepIDs
	Values []any  // nil, bool, int64, json.Number, string or json.RawMessage, in the order of the mapping
	At     int    // the number of the source's row in its batch; rows of one source row share it
}

// Records returns the rows of a batch that was encoded for Records. They are valid until the batch is released.
func (b *Batch) Records() []Record {
	n := len(b.plan.codecs)
	out := make([]Record, b.RowsEncoded)
	for i := range out {
		at := b.readIndex(i)
		out[i] = Record{Key: b.keyAt(at, b.parts), Values: b.values[i*n : (i+1)*n], At: at}
		if len(b.ids) > i {
			out[i].ID = b.ids[i]
		}
	}
	return out
}

// recordValue returns a value as JSON has it: numbers exactly, bytes in base64, moments as RFC 3339 has them.
func (c *codec) recordValue(v *cell) (driver.Value, *BadValue) {
	p, bad := c.plain(v)
	if bad != nil {
		return nil, bad
	}
	switch p.kind {
	case cellNull:
		return nil, nil
	case cellInt:
		if c.dst.Kind == KindBool {
			b, bad := c.boolean(&p)
			return b == 1, bad
		}
		return p.int(), nil
	case cellFloat:
		if f := p.float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, c.bad(&p, codeSyntax, "is not JSON")
		}
		return json.Number(strconv.FormatFloat(p.float(), 'g', -1, 64)), nil
	case cellDecimal:
		return json.Number(appendScaled(nil, p.int(), int(p.scale))), nil
	case cellMicros:
		return string(c.rfc3339(&p)), nil
	case cellBytes:
		if c.dst.Kind == KindUUID && len(p.s) == 16 {
			return string(appendUUIDText(nil, viewBytes(p.s))), nil
		}
		return base64.StdEncoding.EncodeToString(viewBytes(p.s)), nil
	}
	if !utf8.ValidString(p.s) {
		return nil, c.bad(&p, codeEncoding, "is not valid UTF-8")
	}
	switch c.dst.Kind {
	case KindJSON:
		if !json.Valid(viewBytes(p.s)) {
			return nil, c.bad(&p, codeSyntax, "is not JSON")
		}
		return json.RawMessage(p.s), nil
	case KindNumeric, KindInt64, KindInt32, KindInt16, KindFloat64, KindFloat32:
		var d decimal
		text := strings.Trim(p.s, " ")
		if !d.parse(text) || !json.Valid([]byte(text)) {
			return nil, c.bad(&p, codeSyntax, "is not a number")
		}
		return json.Number(strings.Clone(text)), nil
	case KindBool:
		b, bad := c.boolean(&p)
		return b == 1, bad
	}
	return strings.Clone(p.s), nil
}

// rfc3339 writes microseconds as the kind of the value wants it: a moment with Z, a timestamp without zone as ISO 8601 has it.
func (c *codec) rfc3339(v *cell) []byte {
	out := c.writtenMoment(nil, v)
	switch c.src.Kind {
	case KindDate, KindTime:
		return out
	}
	text := strings.Replace(string(out), " ", "T", 1)
	if rest, ok := strings.CutSuffix(text, "+00:00"); ok {
		text = rest + "Z"
	}
	return []byte(text)
}
