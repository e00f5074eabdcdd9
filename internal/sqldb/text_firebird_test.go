package sqldb

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks"
)

func TestTextOfEachCharacterSetIsDecodedAndEncodedBack(t *testing.T) {
	t.Parallel()
	for charset := range fbCharmaps {
		coder, known := fbCoderOf("VARCHAR(10) CHARACTER SET " + charset)
		if !known {
			t.Fatalf("%s is not known", charset)
		}
		for c := range 256 {
			raw := []byte{'a', byte(c), 'z'}
			text, _ := coder.decode(raw, nil)
			if _, character := coder.rune(byte(c)); utf8.Valid(text) != character {
				t.Errorf("%s: %x became %q", charset, raw, text)
			}
			if back := coder.encode(string(text)); !bytes.Equal(back, raw) {
				t.Errorf("%s: %x became %q, and that %x", charset, raw, text, back)
			}
		}
		// Two bytes of which each is no character by itself, or is one, must not look like one of UTF-8.
		for a := 0x80; a < 256; a++ {
			for b := 0x80; b < 256; b++ {
				raw := []byte{byte(a), byte(b)}
				text, _ := coder.decode(raw, nil)
				_, one := coder.rune(byte(a))
				_, two := coder.rune(byte(b))
				if utf8.Valid(text) != (one && two) {
					t.Fatalf("%s: %x became %q", charset, raw, text)
				}
			}
		}
	}
	for charset, word := range map[string]string{"SJIS_0208": "日本", "EUCJ_0208": "日本", "KSC_5601": "한국", "BIG_5": "中文", "GBK": "中文", "GB18030": "中文"} {
		coder, _ := fbCoderOf("VARCHAR(10) CHARACTER SET " + charset)
		raw := coder.encode(word)
		if text, _ := coder.decode(raw, nil); string(text) != word || len(raw) != 4 {
			t.Errorf("%s: %q became %x, and that %q", charset, word, raw, text)
		}
		broken := raw[:3]
		text, _ := coder.decode(broken, nil)
		if utf8.Valid(text) || !bytes.Equal(coder.encode(string(text)), broken) {
			t.Errorf("%s: %x became %q", charset, broken, text)
		}
	}
	if _, known := fbCoderOf("VARCHAR(10) CHARACTER SET DOS737"); known {
		t.Error("DOS737 is said to be known")
	}
}

func TestTheURLOfFirebirdNamesItsDatabaseAndKeepsItsPassword(t *testing.T) {
	t.Parallel()
	at, err := ParseURL("firebird://SYSDBA:master%2Fkey@DB.example/legacy?charset=windows-1252&role=READER")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := at.String(), "firebird://SYSDBA@DB.example/legacy?charset=windows-1252&role=READER"; got != want {
		t.Errorf("it is shown as %s, want %s", got, want)
	}
	if at.params.Get("charset") != "WIN1252" || !strings.Contains(at.dsn, "charset=NONE") || !strings.Contains(at.dsn, "role=READER") || !strings.Contains(at.dsn, "db.example:3050") &&
		!strings.Contains(at.dsn, "DB.example:3050") {
		t.Errorf("text is %s, the driver gets %s", at.params, at.dsn)
	}
	if other, err := ParseURL("firebird://reader:x@db.example:3050/legacy"); err != nil || other.ID() != at.ID() {
		t.Errorf("the same database has the IDs %s and %s, %v", at.ID(), other.ID(), err)
	}
	for _, bad := range []string{"firebird:legacy.fdb", "firebird://host/legacy", "firebird://u:S3cret@h", "firebird://u:S3cret@h/x?charset=EBCDIC", "firebird://u:S3cret@h/x?chraset=UTF8",
		"firebird://u:S3cret/@h/x", "firebird://u:S3cret@h/x?charset=%zz"} {
		if _, err := ParseURL(bad); err == nil || tasks.HintOf(err) == "" || strings.Contains(err.Error()+tasks.HintOf(err), "S3cret") {
			t.Errorf("%s: %v (hint %q)", bad, err, tasks.HintOf(err))
		}
	}
}
