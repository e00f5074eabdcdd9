package sqldb

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// plan is a mapping made ready for a pair of dialects: what to select, and how each value becomes what the target takes. It
// holds buffers, so it is for one goroutine.
type plan struct {
	from, to Dialect
	m        *Mapping
	selected []selected
	codecs   []codec
	made     *transformer // nil: the columns are those of the source
	encoding encoding
	text     bool   // COPY in text form, for the sake of a type whose binary form we do not know
	field    []byte // text form: the field before it is written
	// With Mapping.Keep: the places of its columns in the mapping, and how their cells become a key.
	keyAt     []int
	keyCodecs []codec
	keyCells  []cell
}

func newPlan(from, to Dialect, m *Mapping) (*plan, error) {
	p := &plan{from: from, to: to, m: m, encoding: encodeValues}
	if to != Records {
		p.encoding = to.words().encoding()
	}
	if len(m.Columns) == 0 {
		return nil, fmt.Errorf("map %s: no columns", m.Source.FullName())
	}
	if m.Make != nil {
		return p, p.transformed()
	}
	for _, pair := range m.Columns {
		src, dst := m.Source.Column(pair.Source), m.Target.Column(pair.Target)
		if src == nil || dst == nil {
			return nil, fmt.Errorf("map %s: there is no column %s or no column %s in %s", m.Source.FullName(), pair.Source, pair.Target,
				m.Target.FullName())
		}
		p.addCodec(codec{src: src, dst: dst, from: from, to: to, typed: from.words().enforces()})
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

// transformed makes a plan ready whose columns are made by a Transform.
func (p *plan) transformed() error {
	t := p.m.Make()
	x := &transformer{t: t, inputs: t.Reads()}
	for _, name := range p.m.Keep {
		at := slices.IndexFunc(p.m.Columns, func(c ColumnPair) bool { return c.Target == name })
		if at < 0 {
			return fmt.Errorf("map %s: the key's column %s is not in the mapping", p.m.Source.FullName(), name)
		}
		p.keyAt = append(p.keyAt, at)
	}
	x.oids, x.in = make([]uint32, len(x.inputs)), make([]cell, len(x.inputs))
	p.made, x.emit = x, p.emitter(x)
	for i, pair := range p.m.Columns {
		dst := p.m.Target.Column(pair.Target)
		if dst == nil {
			return fmt.Errorf("map %s: there is no column %s in %s", p.m.Source.FullName(), pair.Target, p.m.Target.FullName())
		}
		plain := t.Plain(i)
		c := codec{src: &Column{Name: pair.Source, Kind: p.m.Kinds[i]}, dst: dst, to: p.to}
		if plain >= 0 {
			if c.src = p.m.Source.Column(x.inputs[plain].Name); c.src == nil {
				return fmt.Errorf("map %s: there is no column %s", p.m.Source.FullName(), x.inputs[plain].Name)
			}
			c.from, c.typed = p.from, p.from.words().enforces()
		}
		p.addCodec(c)
		x.plain = append(x.plain, plain)
	}
	raw := make([]bool, len(x.inputs))
	for i, plain := range x.plain {
		if plain >= 0 && p.codecs[i].raw && !(p.text && p.codecs[i].src.Kind == KindOther) {
			raw[plain] = true
		}
	}
	for i, in := range x.inputs {
		c := p.m.Source.Column(in.Name)
		if c == nil {
			return fmt.Errorf("map %s: there is no column %s", p.m.Source.FullName(), in.Name)
		}
		raw[i] = raw[i] && !in.Seen // whoever looks at a value of an unknown type looks at its text
		p.selected = append(p.selected, selected{column: c, binary: raw[i] || p.from.words().binary(c.Kind)})
	}
	for i, plain := range x.plain {
		p.codecs[i].raw = p.codecs[i].raw && (raw[plain] || p.codecs[i].src.Kind != KindOther)
	}
	return nil
}

// addCodec adds the codec of a column, and completes it.
func (p *plan) addCodec(c codec) {
	src, dst := c.src, c.dst
	c.same = sameMySQL(c.from, p.to, src, dst)
	c.raw = c.from == Postgres && p.to == Postgres && src.Type == dst.Type && src.Kind == dst.Kind && (src.Kind != KindOther || portable(src.Type))
	if p.to == Postgres && dst.Kind == KindOther && !c.raw {
		p.text = true
	}
	if p.to == SQLite {
		c.affinity = affinityOf(dst.Type)
	}
	switch dst.Kind {
	case KindTime, KindTimestamp, KindTimestampTZ:
		c.grain = grainOf(dst.Type)
	}
	p.codecs = append(p.codecs, c)
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

// came takes over the type by which a column of PostgreSQL came. One that was altered since the plan was made has other bytes than
// the target's: it is decoded.
func (c *codec) came(oid uint32) {
	c.oid = oid
	if !c.raw || c.dst.Kind == KindOther {
		return
	}
	want := *c
	want.raw = false
	if c.dst.Kind == KindText {
		c.raw = !slices.Contains(notText, oid)
	} else {
		c.raw = oid == want.targetOID()
	}
}

// notText are types whose binary form is not their text.
var notText = []uint32{pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID, pgtype.ByteaOID,
	pgtype.DateOID, pgtype.TimeOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.UUIDOID, pgtype.JSONBOID}

// opened takes over what the source said of its columns when the query ran.
func (p *plan) opened(cols []selected) {
	if p.made != nil {
		for i := range p.made.oids {
			p.made.oids[i] = cols[i].oid
		}
		for i, plain := range p.made.plain {
			if plain >= 0 {
				p.codecs[i].came(cols[plain].oid)
			}
		}
		return
	}
	for i := range p.codecs {
		p.codecs[i].came(cols[i].oid)
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
	if p.keyAt != nil {
		b.hashes = append(b.hashes, hashCells(r.cells[:r.n]))
	}
	var bad *BadValue
	var err error
	switch {
	case r.unreadable != nil:
		bad = &BadValue{Column: r.unreadable.Column, Reason: r.unreadable.Reason, Code: r.unreadable.Code}
	case p.made != nil:
		if bad, err = p.transform(b, r.cells); bad == nil {
			return err
		}
	default:
		if bad = p.encode(b, r.cells); bad == nil {
			b.RowsEncoded++
			return nil
		}
	}
	row := badRow{at: b.RowsRead - 1, column: bad.Column, reason: bad.Reason, code: bad.Code}
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
	data := b.roomy()
	fields := len(p.codecs)
	if p.m.KeepIDs {
		fields++
	}
	if !p.text {
		data = binary.BigEndian.AppendUint16(data, uint16(fields))
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
	if p.m.KeepIDs {
		data = p.appendID(data)
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
		v, bad := p.value(i, &cells[i])
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

// value returns a value of a row for who takes values.
func (p *plan) value(i int, c *cell) (any, *BadValue) {
	if p.to == Records {
		return p.codecs[i].recordValue(c)
	}
	return p.codecs[i].driverValue(c)
}

// readIndex turns the number of an encoded row into its number among all rows of the batch.
func (b *Batch) readIndex(encoded int) int {
	if len(b.origins) > 0 {
		return b.origins[encoded]
	}
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
