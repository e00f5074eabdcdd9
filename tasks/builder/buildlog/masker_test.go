package buildlog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/buildlog"
)

const token = `s3cr&t/+"quo ted'$x`

var pem = "-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkqhkiG9w0BAQ\nEFAASCAT8wggE7AgEAAkEAq7BF\nUpkGp3+L\n-----END PRIVATE KEY-----\n"

func masker(t testing.TB, secrets map[string]string) *buildlog.Masker {
	t.Helper()
	m, err := buildlog.NewMasker(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// masked is a text that came in pieces of some length.
func masked(t testing.TB, m *buildlog.Masker, text string, piece int) string {
	t.Helper()
	var out bytes.Buffer
	w := m.Writer(&out)
	for b := []byte(text); len(b) > 0; {
		n := min(piece, len(b))
		if _, err := w.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestASecretIsMaskedInEveryFormAndInPiecesOfEveryLength(t *testing.T) {
	t.Parallel()
	m := masker(t, map[string]string{"TOKEN": token})
	std, u := base64.StdEncoding, base64.URLEncoding
	js, err := json.Marshal("x" + token + "y")
	if err != nil {
		t.Fatal(err)
	}
	wrapped := std.EncodeToString([]byte(token))
	wrapped = wrapped[:9] + "\n" + wrapped[9:17] + "\r\n" + wrapped[17:]
	for name, text := range map[string]string{
		"as it is":   token,
		"base64":     std.EncodeToString([]byte(token)),
		"base64 + 1": std.EncodeToString([]byte("a" + token + "zz")),
		"base64 + 2": std.EncodeToString([]byte("us" + token)),
		"base64 + 5": std.EncodeToString([]byte("user:" + token + "#")),
		"base64 url": u.EncodeToString([]byte("\xff\xfe" + token + "\xff")),
		"raw":        base64.RawURLEncoding.EncodeToString([]byte(token)),
		"query":      url.QueryEscape(token),
		"path":       url.PathEscape(token),
		"lower":      strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(token), "%2F", "%2f"), "%2B", "%2b"),
		"json":       string(js),
		"hex":        hex.EncodeToString([]byte(token)),
		"HEX":        strings.ToUpper(hex.EncodeToString([]byte(token))),
		"shell":      `'` + strings.ReplaceAll(token, `'`, `'\''`) + `'`,
		"html":       html.EscapeString(token),
		"wrapped":    wrapped,
	} {
		for piece := 1; piece <= len(text); piece++ {
			got := masked(t, m, "before "+text+" after\n", piece)
			if !strings.Contains(got, buildlog.Mask) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after\n") || len(got) > len("before  after\n")+len(buildlog.Mask)+14 {
				t.Errorf("%s in pieces of %d: %q", name, piece, got)
				break
			}
		}
		if found, at, err := m.Contains(strings.NewReader("123456789 " + text)); err != nil || found != "TOKEN" || at < 10 || at > 18 {
			t.Errorf("%s: %q at %d, %v", name, found, at, err)
		}
	}
}

func TestWhatAShellPrintsOfASecretIsMasked(t *testing.T) {
	t.Parallel()
	m := masker(t, map[string]string{"TOKEN": token, "KEY": pem})
	for _, script := range []string{"set -x; : \"$TOKEN\"", "printf '%s' \"$TOKEN\" | base64", "printf 'me:%s' \"$TOKEN\" | base64 -w 12", "printf %s \"$TOKEN\" | od -An -v -tx1 | tr -d ' \\n'", "printf '%s\\n' \"$KEY\"", "echo \"$KEY\" | base64 -w 0", "echo \"$KEY\" | sed s/^/x/"} {
		for _, shell := range []string{"sh", "bash"} {
			cmd := exec.Command(shell, "-c", script)
			cmd.Env = []string{"PATH=/usr/bin:/bin", "TOKEN=" + token, "KEY=" + pem}
			b, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v %s", script, err, b)
			}
			got := masked(t, m, string(b), 1+rand.IntN(5))
			for _, piece := range []string{"s3cr", "czNjc", "733363", "MIIB", "EFAASC", "UpkGp"} {
				if strings.Contains(got, piece) || !strings.Contains(got, buildlog.Mask) {
					t.Errorf("%s %s: %q of %q", shell, script, got, b)
				}
			}
		}
	}
}

func TestALineOfASecretAloneIsMaskedButNotTheFrameOfAKey(t *testing.T) {
	t.Parallel()
	m := masker(t, map[string]string{"KEY": pem})
	if got := masked(t, m, "-----BEGIN PRIVATE KEY-----\nUpkGp3+L and EFAASCAT8wggE7AgEAAkEAq7BF\nshort", 3); got != "-----BEGIN PRIVATE KEY-----\n*** and ***\nshort" {
		t.Errorf("%q", got)
	}
	if got := masked(t, m, strings.ReplaceAll(pem, "\n", "\r\n"), 7); got != "***\r\n" {
		t.Errorf("%q", got)
	}
}

func TestAnythingElseComesThroughAtOnce(t *testing.T) {
	t.Parallel()
	m := masker(t, map[string]string{"A": "hunter2-hunter3", "B": "hunter2"})
	var out bytes.Buffer
	w := m.Writer(&out)
	for _, c := range []struct{ text, want string }{
		{"a line\nprogress 5%", "a line\nprogress 5%"}, {" hunt", " "}, {"ing\n", "hunting\n"},
		{"hunter2", ""}, {"-hunter", ""}, {"4\n", "***-hunter4\n"}, {"hunter2-hunter3", "***"}, {"hunter2hunter2\n", ""}, {"x hunter", "\nx "},
	} {
		out.Reset()
		if n, err := w.Write([]byte(c.text)); n != len(c.text) || err != nil || out.String() != c.want {
			t.Errorf("%q: %q, want %q (%d, %v)", c.text, &out, c.want, n, err)
		}
	}
	out.Reset()
	if err := w.Close(); err != nil || out.String() != buildlog.Mask { // the beginning of one, at the end of a log
		t.Errorf("%q, %v", &out, err)
	}
	if got := masked(t, masker(t, nil), "abc", 1); got != "abc" {
		t.Errorf("%q", got)
	}
}

func TestASecretThatIsTooShortOrTooLongIsRefusedWithoutItsValue(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "abcde", "  abcde\n", strings.Repeat("x", buildlog.MaxSecret+1)} {
		if _, err := buildlog.NewMasker(map[string]string{"PASSWORD": value}); err == nil || !strings.Contains(err.Error(), "PASSWORD") || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "abcde") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestMaskingIsTheSameHoweverATextIsCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		letters := rapid.StringMatching(`[ab\n]{6,9}`)
		secrets := map[string]string{}
		for i := range rapid.IntRange(1, 3).Draw(rt, "secrets") {
			if s := letters.Draw(rt, "secret"); len(strings.TrimSpace(s)) >= 6 {
				secrets[fmt.Sprint(i)] = s
			}
		}
		m := masker(t, secrets)
		text := rapid.StringMatching(`[ab\n]{0,80}`).Draw(rt, "text")
		want := masked(t, m, text, 1000)
		if got := masked(t, m, text, rapid.IntRange(1, 9).Draw(rt, "piece")); got != want {
			rt.Fatalf("%q, not %q", got, want)
		}
		for _, s := range secrets {
			if strings.Contains(want, strings.TrimSpace(s)) {
				rt.Fatalf("%q has %q in it", want, s)
			}
		}
	})
}

func BenchmarkMasker(b *testing.B) {
	m := masker(b, map[string]string{"TOKEN": token, "KEY": pem})
	text := []byte(strings.Repeat("ok  \tgithub.com/example/product/internal/thing\t0.312s [no tests to run]\n", 1000))
	b.SetBytes(int64(len(text)))
	w := m.Writer(&discard{})
	for b.Loop() {
		_, _ = w.Write(text)
	}
}

type discard struct{}

func (*discard) Write(p []byte) (int, error) { return len(p), nil }
