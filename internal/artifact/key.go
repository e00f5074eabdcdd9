package artifact

import (
	"fmt"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// Limits of keys, in bytes. A bucket's prefix and a folder's path come on top: S3 ends at 1024, Windows at 260 by default.
const (
	MaxKey     = 512
	maxSegment = 120
)

const keyHint = "write a-z, 0-9, . _ - ~ in words with / between; artifact.Escape makes such a word of any text"

// CheckKey says what is wrong with a key, or a nil error. A key is a relative path of words of a-z, 0-9 and . _ - ~, and so
// means the same on every file system and server: upper case would fall together on some, a word that begins or ends with a dot
// is hidden, lost or leads upwards, and names such as con and nul are devices.
//
// No key may be a folder of another: where a/b is, a cannot be. A bucket would take both, a folder takes the first.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return tasks.WithHint(nil, keyHint, "a key of %d bytes is none: want 1 to %d", len(key), MaxKey)
	}
	for word := range strings.SplitSeq(key, "/") {
		if why := segmentFault(word); why != "" {
			return tasks.WithHint(nil, keyHint, "%q is no key for an artifact: %s", key, why)
		}
	}
	return nil
}

// segmentFault says why a word cannot be one of a key; "" when it can.
func segmentFault(word string) string {
	switch {
	case word == "":
		return "a word is empty"
	case len(word) > maxSegment:
		return fmt.Sprintf("a word has more than %d bytes", maxSegment)
	case word[0] == '.' || word[len(word)-1] == '.':
		return "a word begins or ends with a dot"
	case isDevice(word):
		return "a word is the name of a device"
	}
	for i := range len(word) {
		if !keyByte(word[i]) {
			return "it has other characters in it"
		}
	}
	return ""
}

func keyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' || c == '~'
}

// isDevice reports whether Windows takes a file of this name, whatever its extension, for a device.
func isDevice(word string) bool {
	name, _, _ := strings.Cut(word, ".")
	switch name {
	case "con", "prn", "aux", "nul":
		return true
	}
	return len(name) == 4 && (name[:3] == "com" || name[:3] == "lpt") && name[3] >= '0' && name[3] <= '9'
}

// Escape makes one word of a key out of any text, such as the name of a table: what may not stand there becomes ~ and two hex
// digits. Different texts give different words; a long text is cut, and the beginning of its digest says which it was.
func Escape(text string) string {
	const hexDigits = "0123456789abcdef"
	var b strings.Builder
	device := isDevice(text)
	for i := range len(text) {
		c := text[i]
		edge := c == '.' && (i == 0 || i == len(text)-1)
		if keyByte(c) && c != '~' && !edge && !(device && i == 0) {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'~', hexDigits[c>>4], hexDigits[c&15]})
	}
	word := b.String()
	switch {
	case word == "":
		return "~"
	case len(word) > maxEscaped:
		return strings.TrimRight(word[:maxEscaped-17], ".") + "~." + DigestOf([]byte(text)).Hex()[:15]
	}
	return word
}

// maxEscaped leaves room in a word for a number and an extension.
const maxEscaped = 80
