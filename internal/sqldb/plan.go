package sqldb

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// plan is a mapping made ready for a pair of dialects: what to select, and how each value becomes what the target takes. It
// holds buffers, so it is for one goroutine.
type plan struct {
	from, to Dialect
	m        *Mapping
	selected []selected
	codecs   []codec
	encoding encoding
	text     bool   // COPY in text form, for the sake of a type whose binary form we do not know
	field    []byte // text form: the field before it is written
}

func newPlan(from, to Dialect, m *Mapping) (*plan, error) {
	p := &plan{from: from, to: to, m: m, encoding: to.words().encoding()}
	if len(m.Columns) == 0 {
		return nil, fmt.Errorf("map %s: no columns", m.Source.FullName())
	}
	for _, pair := range m.Columns {
		src, dst := m.Source.Column(pair.Source), m.Target.Column(pair.Target)
		if src == nil || dst == nil {
			return nil, fmt.Errorf("map %s: there is no column %s or no column %s in %s", m.Source.FullName(), pair.Source, pair.Target,
				m.Target.FullName())
		}
		c := codec{src: src, dst: dst, from: from, to: to, typed: from.words().enforces()}
		c.same = sameMySQL(from, to, src, dst)
		c.raw = from == Postgres && to == Postgres && src.Type == dst.Type && src.Kind == dst.Kind &&
			(src.Kind != KindOther || portable(src.Type))
		if to == Postgres && dst.Kind == KindOther && !c.raw {
			p.text = true
		}
		if to == SQLite {
			c.affinity = affinityOf(dst.Type)
		}
		switch dst.Kind {
		case KindTime, KindTimestamp, KindTimestampTZ:
			c.grain = grainOf(dst.Type)
		}
		p.codecs = append(p.codecs, c)
	}
	for i := range p.codecs {
		c := &p.codecs[i]
		if p.text && c.src.Kind == KindOther {
			c.raw = false
		}
		p.selected = append(p.selected, selected{column: c.src, binary: c.raw || from.words().binary(c.src.Kind)})
	}
	return p, nil
}

// portable reports whether the binary form of a PostgreSQL type of KindOther means the same in every database. Enums, composites
// and types of extensions carry numbers that each database gives for itself.
func portable(typ string) bool {
	base, _, _ := strings.Cut(strings.TrimSuffix(typ, "[]"), "(")
	switch strings.TrimSpace(base) {
	case "interval", "inet", "cidr", "macaddr", "macaddr8", "time with time zone", "bit", "bit varying", "point", "box", "line", "lseg",
		"path", "polygon", "circle", "tsvector", "oid", "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange",
		"boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "text", "character varying", "character",
		"bytea", "date", "uuid", "json", "jsonb", "timestamp without time zone", "timestamp with time zone", "time without time zone":
		return true
	}
	return false
}

// opened takes over what the source said of its columns when the query ran.
func (p *plan) opened(cols []selected) {
	for i := range p.codecs {
		p.codecs[i].oid = cols[i].oid
	}
}

// targetColumns returns the names of the columns that are written.
func (p *plan) targetColumns() []string {
	names := make([]string, len(p.m.Columns))
	for i, c := range p.m.Columns {
		names[i] = c.Target
	}
	return names
}

// add encodes the current row into the batch; a row that the target cannot hold goes among the bad ones.
func (p *plan) add(b *Batch, r *Rows) error {
	key := r.keyCells()
	if r.err != nil {
		return r.err
	}
	b.keys = packKey(b.keys, key)
	b.keyEnds = append(b.keyEnds, len(b.keys))
	b.RowsRead++
	var bad *BadValue
	switch p.encoding {
	case encodeValues:
		bad = p.addValues(b, r.cells)
	case encodeSQL:
		bad = p.addSQL(b, r.cells)
	default:
		bad = p.addCopy(b, r.cells)
	}
	if bad == nil {
		b.RowsEncoded++
		return nil
	}
	row := badRow{at: b.RowsRead - 1, column: bad.Column, reason: bad.Reason, code: bad.Code}
	var err error
	if row.json, err = p.sourceJSON(r); err != nil {
		return err
	}
	b.bad = append(b.bad, row)
	b.Bytes += len(row.json)
	return nil
}

// addCopy appends a row in COPY's form.
func (p *plan) addCopy(b *Batch, cells []cell) *BadValue {
	start := len(b.data)
	data := b.data
	if !p.text {
		data = binary.BigEndian.AppendUint16(data, uint16(len(p.codecs)))
	}
	var bad *BadValue
	for i := range p.codecs {
		if p.text {
			if i > 0 {
				data = append(data, '\t')
			}
			data, bad = p.appendText(data, &p.codecs[i], &cells[i])
		} else {
			data, bad = p.codecs[i].appendField(data, &cells[i])
		}
		if bad != nil {
			b.data = data[:start]
			return bad
		}
	}
	if p.text {
		data = append(data, '\n')
	}
	b.data = data
	b.ends = append(b.ends, len(data))
	b.Bytes += len(data) - start
	return nil
}

// addValues appends a row as values for SQLite's driver.
func (p *plan) addValues(b *Batch, cells []cell) *BadValue {
	start := len(b.values)
	size := 0
	for i := range p.codecs {
		v, bad := p.codecs[i].driverValue(&cells[i])
		if bad != nil {
			clear(b.values[start:])
			b.values = b.values[:start]
			return bad
		}
		b.values = append(b.values, v)
		size += 16
		switch x := v.(type) {
		case string:
			size += len(x)
		case []byte:
			size += len(x)
		}
	}
	b.Bytes += size
	return nil
}

// readIndex turns the number of an encoded row into its number among all rows of the batch.
func (b *Batch) readIndex(encoded int) int {
	at := encoded
	for i := range b.bad {
		if b.bad[i].at > at {
			break
		}
		at++
	}
	return at
}

// nameAt returns the key by which a row goes into quarantine. Rows without a key of their own have the same one when they are the
// same; the second of them, and those behind it, get their number as a further part. A batch never ends between them.
func (b *Batch) nameAt(at int) RowKey {
	key, n := b.keyAt(at, b.parts), 1
	for before := at - 1; before >= 0 && b.keyAt(before, b.parts).Equal(key); before-- {
		n++
	}
	if n > 1 {
		key = append(key, int64(n))
	}
	return key
}

// keyAt returns the key of a row by its number among all rows of the batch.
func (b *Batch) keyAt(at, parts int) RowKey {
	start := 0
	if at > 0 {
		start = b.keyEnds[at-1]
	}
	return unpackKey(b.keys[start:b.keyEnds[at]], parts)
}
