package artifact_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
)

// FuzzAKeyNamesOneFileWithinItsFolder holds that any text becomes a word of a key, another text another word, and that a key which is taken
// is one file within the folder, with the bytes that were put there.
func FuzzAKeyNamesOneFileWithinItsFolder(f *testing.F) {
	for _, seed := range []string{"a/b", "", ".", "..", "../x", "a//b", "/a", "a/", "CON", "con.txt", "lpt1", "a.", ".a", "A", "é", "a\x00b", "~", "~41", strings.Repeat("x", 200), "a\\b", "com1/x", "a/../../b", "a%2fb", "aux~"} {
		f.Add(seed, seed+"x")
	}
	f.Fuzz(func(t *testing.T, key, other string) {
		word := artifact.Escape(key)
		if err := artifact.CheckKey(word); err != nil || strings.Contains(word, "/") {
			t.Errorf("%q becomes %q: %v", key, word, err)
		}
		if key != other && word == artifact.Escape(other) {
			t.Errorf("%q and %q both become %q", key, other, word)
		}
		taken := artifact.CheckKey(key) == nil
		dir := t.TempDir()
		if err := os.Mkdir(dir+"/in", 0o755); err != nil {
			t.Fatal(err)
		}
		s, err := artifact.NewFolder(dir + "/in")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		_, err = s.Put(t.Context(), key, strings.NewReader(other), artifact.PutOptions{})
		if taken != (err == nil) {
			t.Errorf("%q is a key: %v, and is put with %v", key, taken, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%q has made %v", key, entries)
		}
		r, _, err := s.Get(t.Context(), key, 0)
		if err != nil {
			if taken || errors.Is(err, artifact.ErrNotFound) && artifact.CheckKey(key) == nil {
				t.Errorf("%q: %v", key, err)
			}
			return
		}
		defer func() { _ = r.Close() }()
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, []byte(other)) {
			t.Errorf("%q has %q, %v", key, got, err)
		}
		list, err := s.List(t.Context(), "", "", 10)
		if err != nil || len(list) != 1 || list[0].Key != key {
			t.Errorf("%q is listed as %+v, %v", key, list, err)
		}
	})
}
