package expression

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"unsafe"
)

// Type says what values are. The zero value is Any.
type Type uint8

// The types of columns, and of what expressions give.
const (
	Any       Type = iota // is known only when there is a row
	Null                  // always NULL
	Bool                  // true or false
	Int                   // 64 bits with sign
	Decimal               // exact, of up to 2,000 digits
	Float                 // a float64; calculations make a Decimal of it
	Text                  // UTF-8
	Bytes                 // any bytes
	Date                  // a day, from year 1 to 9999
	Time                  // a time of day, in microseconds
	Timestamp             // what calendar and clock on a wall show, in microseconds, without a zone
	Moment                // a point in time, in microseconds
	UUID                  // 16 bytes
	JSON                  // any document, also lists and objects
)

var typeNames = [...]string{"any", "null", "bool", "int", "decimal", "float", "text", "bytes", "date", "time", "timestamp", "moment", "uuid", "json"}

// String returns the name that plans and messages use.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// ParseType returns the type of a name, and whether there is one.
func ParseType(name string) (Type, bool) {
	for i, n := range typeNames {
		if n == name {
			return Type(i), true
		}
	}
	return Any, false
}

func (t Type) isNumber() bool { return t == Int || t == Decimal || t == Float }

// Value is a value of a row or of an expression. It is passed by value and never changed; the zero value is NULL.
//
// Its four words are as many as the compiler keeps in registers: with a fifth, expressions take twice the time.
type Value struct {
	kind Type           // Any is NULL, and failed is an error on its way out
	n    int64          // what the type needs: a number, coefficient, float's bits, bool, days, microseconds, first half of a UUID, length
	low  uint64         // the scale of a Decimal, the second half of a UUID, unread for a JSON
	p    unsafe.Pointer // the first byte of a Text, of Bytes and of an unread JSON; else an *extra or nil
}

// failed marks a value that is an error. No value has kind Null, as NULL is the zero value, so that one comparison finds both.
const failed = Null

// unread marks a JSON whose text nobody has looked into yet.
const unread = 1

type extra struct {
	big *big.Int // the coefficient of a Decimal that has more than 63 bits
	doc any      // JSON
	err error    // *ValueError, *MissingRef or what the resolver gave
}

func ofString(kind Type, s string) Value {
	return Value{kind: kind, n: int64(len(s)), p: unsafe.Pointer(unsafe.StringData(s))}
}

// ofBuffer makes a Text of bytes that nobody writes to any more.
func ofBuffer(b []byte) Value { return ofString(Text, unsafe.String(unsafe.SliceData(b), len(b))) }

func withExtra(kind Type, n int64, x *extra) Value {
	return Value{kind: kind, n: n, p: unsafe.Pointer(x)}
}

// s returns the bytes of a Text, of Bytes and of an unread JSON, and "" for all else.
func (v Value) s() string {
	if v.kind == Text || v.kind == Bytes || v.kind == JSON && v.low == unread {
		return unsafe.String((*byte)(v.p), int(v.n))
	}
	return ""
}

// x returns what a value has that does not fit into its words, or nil.
func (v Value) x() *extra {
	if v.kind == Text || v.kind == Bytes || v.kind == JSON && v.low == unread {
		return nil
	}
	return (*extra)(v.p)
}

// clone returns a value that shares no memory with the row.
func (v Value) clone() Value {
	if v.kind != Text && v.kind != Bytes {
		return v
	}
	return ofString(v.kind, strings.Clone(v.s()))
}

// stops reports whether a value is NULL or an error: an operator gives either back as it is.
func (v Value) stops() bool { return v.kind <= failed }

// OfBool makes a Bool.
func OfBool(b bool) Value {
	if b {
		return Value{kind: Bool, n: 1}
	}
	return Value{kind: Bool}
}

// OfInt makes an Int.
func OfInt(n int64) Value { return Value{kind: Int, n: n} }

// OfFloat makes a Float. NaN and infinities are errors where a number is needed.
func OfFloat(f float64) Value { return Value{kind: Float, n: int64(math.Float64bits(f))} }

// OfDecimal makes a Decimal: coefficient / 10^scale. A scale outside of 0 to 1,000 is an error value, which Eval returns.
func OfDecimal(coefficient int64, scale int32) Value {
	if scale < 0 || scale > maxScale {
		d := decimal{big: big.NewInt(coefficient), scale: int64(scale)}
		return d.value()
	}
	return Value{kind: Decimal, n: coefficient, low: uint64(scale)}
}

// OfText makes a Text. It is not copied: it has to stay as it is while the row is evaluated and its results are used.
func OfText(s string) Value { return ofString(Text, s) }

// OfBytes makes Bytes. They are not copied: they have to stay as they are while the row is evaluated and its results are used.
func OfBytes(b []byte) Value {
	return ofString(Bytes, unsafe.String(unsafe.SliceData(b), len(b)))
}

// OfDate makes a Date of days since 1970-01-01.
func OfDate(days int64) Value { return Value{kind: Date, n: days} }

// OfTime makes a Time of microseconds since midnight.
func OfTime(micros int64) Value { return Value{kind: Time, n: micros} }

// OfTimestamp makes a Timestamp of microseconds since 1970-01-01 00:00:00 on the same wall.
func OfTimestamp(micros int64) Value { return Value{kind: Timestamp, n: micros} }

// OfMoment makes a Moment of microseconds since 1970-01-01 00:00:00 UTC.
func OfMoment(micros int64) Value { return Value{kind: Moment, n: micros} }

// OfUUID makes a UUID.
func OfUUID(u [16]byte) Value {
	var v Value
	v.kind = UUID
	for i := range 8 {
		v.n = v.n<<8 | int64(u[i])
		v.low = v.low<<8 | uint64(u[i+8])
	}
	return v
}

// OfJSON makes a JSON of nil, bool, string, json.Number, float64, int, int64, Value, []any and map[string]any, which must not be
// changed afterwards. A nil makes NULL.
func OfJSON(doc any) Value {
	if doc == nil {
		return Value{}
	}
	return withExtra(JSON, 0, &extra{doc: doc})
}

// OfJSONText makes a JSON of its text, which is parsed when an expression looks into it, and passed on as it is otherwise.
// It is not copied.
func OfJSONText(text string) Value {
	v := ofString(JSON, text)
	v.low = unread
	return v
}

// IsNull reports whether the value is NULL.
func (v Value) IsNull() bool { return v.kind == Any }

// Kind returns the type of the value: Null for NULL, never Any.
func (v Value) Kind() Type {
	if v.kind == Any {
		return Null
	}
	return v.kind
}

// Bool returns a Bool, and false for all else.
func (v Value) Bool() bool { return v.kind == Bool && v.n != 0 }

// Int64 returns an Int, a Bool as 0 or 1, the days of a Date, the microseconds of Time, Timestamp and Moment; 0 for all else.
func (v Value) Int64() int64 {
	switch v.kind {
	case Bool, Int, Date, Time, Timestamp, Moment:
		return v.n
	}
	return 0
}

// Float64 returns a Float as it is, an Int or Decimal as the nearest float64, and 0 for all else.
func (v Value) Float64() float64 {
	switch v.kind {
	case Float:
		return math.Float64frombits(uint64(v.n))
	case Int:
		return float64(v.n)
	case Decimal:
		d, _ := v.number()
		return d.float()
	}
	return 0
}

// Decimal returns coefficient and scale of an Int or Decimal, and whether the coefficient fits; AppendText has it also if not.
func (v Value) Decimal() (coefficient int64, scale int32, ok bool) {
	if v.kind == Int {
		return v.n, 0, true
	}
	return v.n, int32(v.low), v.kind == Decimal && v.x() == nil
}

// Text returns a Text without a copy, and "" for all else.
func (v Value) Text() string {
	if v.kind != Text {
		return ""
	}
	return v.s()
}

// Bytes returns Bytes, or the bytes of a Text, without a copy: they must not be changed. It returns nil for all else.
func (v Value) Bytes() []byte {
	if v.kind != Bytes && v.kind != Text {
		return nil
	}
	return unsafe.Slice((*byte)(v.p), int(v.n))
}

// UUID returns a UUID, and zeros for all else.
func (v Value) UUID() (u [16]byte) {
	if v.kind == UUID {
		for i := range 8 {
			u[i] = byte(v.n >> (56 - 8*i))
			u[i+8] = byte(v.low >> (56 - 8*i))
		}
	}
	return u
}

// document returns what a JSON holds, parsing its text where nobody has yet.
func (v Value) document() (any, error) {
	if v.x() != nil {
		return v.x().doc, nil
	}
	return parseJSON(v.s())
}

// fromDocument makes a value of a part of a document: scalars become what they are, lists and objects stay JSON.
func fromDocument(doc any) Value {
	switch d := doc.(type) {
	case nil:
		return Value{}
	case Value:
		return d
	case string:
		return OfText(d)
	case bool:
		return OfBool(d)
	case int64:
		return OfInt(d)
	case int:
		return OfInt(int64(d))
	case float64:
		n, err := decimalOfFloat(d)
		if err != nil {
			return fail("22003", "%v is no number of a document", d)
		}
		return n.value()
	case json.Number:
		return numberOfJSON(string(d))
	case []any, map[string]any:
		return withExtra(JSON, 0, &extra{doc: doc})
	}
	return fail("22023", "a document cannot hold a Go %T", doc)
}

// element is the opposite of fromDocument. What JSON has no word for stays a Value, so that a date in a list is still a date.
func (v Value) element() any {
	switch v.kind {
	case Any:
		return nil
	case Bool:
		return v.n != 0
	case Int:
		return v.n
	case Text:
		return v.s()
	case JSON:
		if doc, err := v.document(); err == nil {
			return doc
		}
	}
	return v
}

// Items returns the elements of a list, none of NULL, and an error of a value that is no list.
func (v Value) Items() ([]Value, error) {
	if v.IsNull() {
		return nil, nil
	}
	if v.kind != JSON {
		return nil, &ValueError{Reason: quoted(v) + " is no list", Code: "22023"}
	}
	doc, err := v.document()
	if err != nil {
		return nil, &ValueError{Reason: "is no list: " + err.Error(), Code: "22P02"}
	}
	list, ok := doc.([]any)
	if !ok {
		return nil, &ValueError{Reason: quoted(v) + " is no list", Code: "22023"}
	}
	items := make([]Value, len(list))
	for i, e := range list {
		items[i] = fromDocument(e)
	}
	return items, nil
}
