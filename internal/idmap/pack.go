package idmap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// First bytes of what is packed. Neither JSON nor a text that JSON can hold without escapes begins with one of them.
const (
	packedUUID = '\x01' // 16 bytes follow
	packedHash = '\x02' // the first 16 bytes of the SHA-256 of a long key follow
)

// maxField is how long a field may be for a bucket to stay small in memory (hash-max-listpack-value).
const maxField = 64

// packKey makes the field of a key, a JSON list of texts. No two keys have the same: a text that stands alone has no quotes in it, and
// a list always has.
func packKey(key string) string {
	text, one := strings.CutPrefix(key, `["`)
	text, closed := strings.CutSuffix(text, `"]`)
	if one && closed && text != "" && !strings.ContainsAny(text, `"\`) {
		if key = text; isUUID(text) {
			return packUUID(text)
		}
	}
	if len(key) > maxField {
		sum := sha256.Sum256([]byte(key))
		return string(packedHash) + string(sum[:16])
	}
	return key
}

// unpackKey returns the key of a field; of a long one only what is left of it.
func unpackKey(field string) string {
	switch {
	case isPackedUUID(field):
		field = unpackUUID(field)
	case strings.HasPrefix(field, string(packedHash)):
		field = "a long key, SHA-256 " + hex.EncodeToString([]byte(field[1:])) + "..."
	case strings.Contains(field, `"`):
		return field
	}
	return `["` + field + `"]`
}

// noID is the id of a record for which the API gave none.
const noID = "null"

// packID makes what is kept of an id, which is JSON. Whole numbers Redis packs itself.
func packID(id string) string {
	if id == noID {
		return ""
	}
	if text := strings.Trim(id, `"`); len(id) == len(text)+2 && isUUID(text) {
		return packUUID(text)
	}
	return id
}

func unpackID(packed string) string {
	switch {
	case packed == "":
		return noID
	case isPackedUUID(packed):
		return `"` + unpackUUID(packed) + `"`
	}
	return packed
}

// sameID reports whether two ids are the same to who refers to them: 5 and "5" are.
func sameID(a, b string) bool { return a == b || textOf(a) == textOf(b) }

func textOf(id string) string {
	var text string
	if json.Unmarshal([]byte(id), &text) == nil {
		return text
	}
	return strings.TrimSpace(id)
}

// isUUID reports whether a text is a UUID as unpackUUID writes it: in lower case, with hyphens.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

func packUUID(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil {
		return s // isUUID has seen that it is one
	}
	return string(packedUUID) + string(b)
}

// isPackedUUID reports whether packUUID has made a text. What is kept may have been written by a hand.
func isPackedUUID(s string) bool { return len(s) == 17 && s[0] == packedUUID }

func unpackUUID(packed string) string {
	h := hex.EncodeToString([]byte(packed[1:]))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
