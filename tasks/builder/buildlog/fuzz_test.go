package buildlog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks/builder/buildlog"
)

// FuzzASecretIsMaskedWhereverItStands holds that no piece of what is printed has a secret in it, in whatever pieces it came, that masking
// is the same for all pieces, and that what has no secret in it stays as it is.
func FuzzASecretIsMaskedWhereverItStands(f *testing.F) {
	for _, secret := range []string{"hunter2", token, pem, "aaaaaa", "a\nb\nc\nd", "\x00\xff\x00\xff\x00\xff", "日本語", "      x     "} {
		f.Add(secret, "before ", " after", 3)
		f.Add(secret, secret[:len(secret)-1], secret[1:], 1)
	}
	f.Fuzz(func(t *testing.T, secret, before, after string, piece int) {
		m, err := buildlog.NewMasker(map[string]string{"S": secret})
		if err != nil || piece < 1 {
			if err != nil && len(secret) > 2 && strings.Contains(err.Error(), secret) && !strings.Contains("the secret S has less than 6 bytes more", secret) {
				t.Errorf("the error has it: %v", err)
			}
			return
		}
		quoted, err := json.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), fmt.Sprintf("%x", secret), string(quoted[1 : len(quoted)-1])} {
			if form != secret && !utf8.ValidString(secret) || len(form) < buildlog.MinSecret {
				continue
			}
			text := before + form + after
			got := masked(t, m, text, piece)
			if whole := masked(t, m, text, len(text)); got != whole {
				t.Errorf("%q in pieces of %d is %q, and as a whole %q", text, piece, got, whole)
			}
			if strings.Contains(got, form) && !strings.Contains(buildlog.Mask+buildlog.Mask+before+buildlog.Mask+after, form) && strings.TrimSpace(secret) == secret {
				t.Errorf("%q became %q", text, got)
			}
			if name, _, err := m.Contains(strings.NewReader(text)); err != nil || name != "S" {
				t.Errorf("%q has %q in it, %v", text, name, err)
			}
		}
		// The beginning of a secret at the end of all is masked too.
		if name, _, err := m.Contains(strings.NewReader(before)); err == nil && name == "" {
			if got := masked(t, m, before, piece); got != before && !(strings.HasSuffix(got, buildlog.Mask) && strings.HasPrefix(before, strings.TrimSuffix(got, buildlog.Mask))) {
				t.Errorf("%q became %q", before, got)
			}
		}
	})
}

var looks = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// FuzzALineIsShownWithoutWhatMovesAnything holds that of what a program prints only its letters and colours reach a terminal.
func FuzzALineIsShownWithoutWhatMovesAnything(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b[31mred", "\x1b]0;title\x07x", "\x1b[2J", "a\rb", "\x9b31m", "\xff", "\x1b[1;31mx\x1b[0m", "\x1bP\x1b\\", "\u202eabc", "a\tb\x00", "\x1b[38:5:1mx", "\x1b[", "\x1b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := buildlog.Printable(text)
		rest := looks.ReplaceAllString(got, "")
		if !utf8.ValidString(got) || strings.ContainsFunc(rest, func(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("%q is shown as %q", text, got)
		}
		if again := buildlog.Printable(got); again != got {
			t.Errorf("%q is shown as %q, and then %q", text, got, again)
		}
	})
}

// FuzzAnyLogIsLinesOrAnError holds that whatever lies in the place of a log is lines in their order, or an error that says where.
func FuzzAnyLogIsLinesOrAnError(f *testing.F) {
	for _, seed := range []string{"", "2026-01-02T03:04:05.000Z o hello\n2026-01-02T03:04:05.000Z e+part\n", "2026-01-02T03:04:05.000Z o\n", "x", "\n", "2026-01-02T03:04:05.000Z o no end", strings.Repeat("x", 200_000)} {
		f.Add([]byte(`{"attempt":"a"}`), []byte(seed), []byte(nil))
		f.Add([]byte(`{`), []byte(seed), []byte("\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00"))
	}
	f.Fuzz(func(t *testing.T, start, chunk, end []byte) {
		files, err := artifact.NewFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = files.Close() }()
		objects := map[string][]byte{"p/0001/start": start, "p/0001/0000000001": chunk}
		if len(end) > 0 {
			objects["p/0001/end.zst"] = end
		}
		for key, b := range objects {
			if _, err := files.Put(t.Context(), key, bytes.NewReader(b), artifact.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		last, failed := int64(0), error(nil)
		for line, err := range buildlog.Read(t.Context(), files, "p") {
			if failed != nil {
				t.Error("something comes behind an error")
			}
			if failed = err; err != nil {
				continue
			}
			if line.Seq <= last || len(line.Stream) != 1 || strings.Contains(line.Text, "\n") {
				t.Errorf("behind %d comes %+v", last, line)
			}
			last = line.Seq
		}
		if failed != nil && (len(failed.Error()) > 2000 || errors.Is(failed, artifact.ErrNotFound)) {
			t.Errorf("%v", failed)
		}
	})
}
