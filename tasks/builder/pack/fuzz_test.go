package pack_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pack"
)

var lockNames = []string{"go.mod", "package-lock.json", "npm-shrinkwrap.json", "packages.lock.json", "Cargo.lock", "requirements.txt", "composer.lock"}

// FuzzAnyLockFileIsDependenciesOrAnError holds that a lock file, whatever is in it, is a list of dependencies that a bill of materials can
// name, or an error that names the file and says what to do, and that a small file makes no large one.
func FuzzAnyLockFileIsDependenciesOrAnError(f *testing.F) {
	for name, file := range lockFiles {
		for i, n := range lockNames {
			if strings.HasSuffix(name, n) {
				f.Add(i, file.Data, []byte("example.com/a v1.2.3 h1:aaaa=\n"))
			}
		}
	}
	for i := range lockNames {
		for _, seed := range []string{"", "{}", "[]", "null", "\xff", "{\"lockfileVersion\":1,\"dependencies\":{\"a\":{\"dependencies\":{\"a\":{}}}}}", "[[package]]\nname=1\n", "a=[[[\n\"]\"]]", "a = 1\na = 2", "x==1\\\n", "module \"\"\nrequire x v0\n", "require (\n)\n"} {
			f.Add(i, []byte(seed), []byte{})
		}
	}
	f.Fuzz(func(t *testing.T, which int, content, sums []byte) {
		if which < 0 || which >= len(lockNames) {
			t.Skip()
		}
		name := "a/" + lockNames[which]
		tree := fstest.MapFS{name: {Data: content}, "a/go.sum": {Data: sums}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		list, err := pack.FindLocks(t.Context(), tree)
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 32<<20+1000*uint64(len(content)+len(sums)) {
			t.Errorf("%d bytes made %d", len(content), made)
		}
		if err != nil {
			if !strings.Contains(err.Error(), name) || tasks.HintOf(err) == "" {
				t.Errorf("%v (%s)", err, tasks.HintOf(err))
			}
			return
		}
		again, err := pack.FindLocks(t.Context(), tree)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(list) {
			t.Errorf("%v and then %v, %v", list, again, err)
		}
		for _, d := range list {
			if !strings.HasPrefix(d.URL, "pkg:") || strings.ContainsAny(d.URL, " \n\"<>") {
				t.Errorf("%q is no address of a package", d.URL)
			}
		}
	})
}

// FuzzAnEnvelopeIsBelievedOnlyAsItWasSigned holds that an envelope that verifies has the payload that was signed, and that no other text
// does.
func FuzzAnEnvelopeIsBelievedOnlyAsItWasSigned(f *testing.F) {
	s, err := pack.NewSigner(newKey(f))
	if err != nil {
		f.Fatal(err)
	}
	public, err := s.Public()
	if err != nil {
		f.Fatal(err)
	}
	signed, err := s.Sign(pack.PayloadType, []byte(`{"a":1}`))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(signed), "{}", "null", `{"payload":"","payloadType":"","signatures":[{}]}`, strings.Replace(string(signed), "in-toto", "other", 1), strings.Replace(string(signed), `"signatures"`, `"Signatures"`, 1)} {
		f.Add([]byte(seed), []byte(`{"a":1}`), "x")
	}
	f.Fuzz(func(t *testing.T, envelope, payload []byte, kind string) {
		typ, got, err := pack.Verify(public, envelope)
		if err == nil && (typ != pack.PayloadType || string(got) != `{"a":1}`) {
			t.Errorf("%q is believed: %q %q", envelope, typ, got)
		}
		if err != nil && (!errors.Is(err, pack.ErrSignature) || tasks.HintOf(err) == "") {
			t.Errorf("%q: %v (%s)", envelope, err, tasks.HintOf(err))
		}
		mine, err := s.Sign(kind, payload)
		if err != nil {
			t.Fatal(err)
		}
		if typ, got, err := pack.Verify(public, mine); err != nil || typ != strings.ToValidUTF8(typ, "?") || !bytes.Equal(got, payload) {
			if strings.ToValidUTF8(kind, "") == kind {
				t.Errorf("%q of %q: %q %q %v", payload, kind, typ, got, err)
			}
		}
		_, _, _ = pack.Verify(envelope, mine)
		_, _ = pack.NewSigner(envelope)
	})
}
