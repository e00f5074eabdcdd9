package pack_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pack"
)

func newKey(t testing.TB) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newSigner(t *testing.T) (s *pack.Signer, public []byte) {
	t.Helper()
	s, err := pack.NewSigner(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if public, err = s.Public(); err != nil {
		t.Fatal(err)
	}
	return s, public
}

// verifier is what the library of DSSE asks of a key.
type verifier struct{ public []byte }

func (v verifier) key() ed25519.PublicKey {
	block, _ := pem.Decode(v.public)
	key, _ := x509.ParsePKIXPublicKey(block.Bytes)
	return key.(ed25519.PublicKey)
}

func (v verifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(v.key(), data, sig) {
		return errors.New("does not fit")
	}
	return nil
}
func (v verifier) Public() crypto.PublicKey { return v.key() }
func (v verifier) KeyID() (string, error) {
	block, _ := pem.Decode(v.public)
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

func TestAnEnvelopeIsOneForEverybody(t *testing.T) {
	t.Parallel()
	s, public := newSigner(t)
	payload := []byte(`{"a":"ü"}`)
	content, err := s.Sign(pack.PayloadType, payload)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := s.Sign(pack.PayloadType, payload); string(again) != string(content) {
		t.Error("the same payload gives another envelope")
	}
	kind, got, err := pack.Verify(public, content)
	if err != nil || kind != pack.PayloadType || string(got) != string(payload) {
		t.Fatalf("%s %s %v", kind, got, err)
	}
	var e dsse.Envelope
	if err := json.Unmarshal(content, &e); err != nil {
		t.Fatal(err)
	}
	v, err := dsse.NewEnvelopeVerifier(verifier{public})
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := v.Verify(t.Context(), &e)
	if err != nil || len(accepted) != 1 || accepted[0].KeyID != s.KeyID() {
		t.Fatalf("the library: %v, %v", accepted, err)
	}
	openssl(t, public, e)
}

// openssl verifies by hand, as the documentation says.
func openssl(t *testing.T, public []byte, e dsse.Envelope) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		return
	}
	dir := t.TempDir()
	payload, _ := base64.StdEncoding.DecodeString(e.Payload)
	sig, _ := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	for name, b := range map[string][]byte{"key.pub": public, "sig": sig, "message": fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(e.PayloadType), e.PayloadType, len(payload), payload)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "pkeyutl", "-verify", "-pubin", "-inkey", "key.pub", "-rawin", "-in", "message", "-sigfile", "sig")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Verified Successfully") {
		t.Errorf("openssl: %v %s", err, out)
	}
}

func TestAnEnvelopeThatWasChangedIsRefused(t *testing.T) {
	t.Parallel()
	s, public := newSigner(t)
	_, other := newSigner(t)
	content, err := s.Sign(pack.PayloadType, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(e *dsse.Envelope){
		"payload":       func(e *dsse.Envelope) { e.Payload = base64.StdEncoding.EncodeToString([]byte("another")) },
		"type":          func(e *dsse.Envelope) { e.PayloadType = "text/plain" },
		"no base64":     func(e *dsse.Envelope) { e.Payload = "%" },
		"no signature":  func(e *dsse.Envelope) { e.Signatures = nil },
		"its signature": func(e *dsse.Envelope) { e.Signatures[0].Sig = "AAAA" },
	} {
		var e dsse.Envelope
		if err := json.Unmarshal(content, &e); err != nil {
			t.Fatal(err)
		}
		change(&e)
		b, _ := json.Marshal(e)
		if _, _, err := pack.Verify(public, b); !errors.Is(err, pack.ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := pack.Verify(other, content); !errors.Is(err, pack.ErrSignature) || tasks.HintOf(err) == "" {
		t.Errorf("another key: %v", err)
	}
	if _, _, err := pack.Verify(public, []byte("{")); !errors.Is(err, pack.ErrSignature) {
		t.Errorf("no envelope: %v", err)
	}
	if _, _, err := pack.Verify([]byte("x"), content); err == nil {
		t.Error("no key is taken")
	}
}

func TestWhatIsNoKeyIsRefusedWithoutBeingShown(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "hunter2", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n", "-----BEGIN OPENSSH PRIVATE KEY-----\naHVudGVyMg==\n-----END OPENSSH PRIVATE KEY-----\n"} {
		_, err := pack.NewSigner([]byte(text))
		if err == nil || tasks.HintOf(err) == "" || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "aHVudGVyMg") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func digest(s string) artifact.Digest { return artifact.DigestOf([]byte(s)) }

func TestChecksumsAreReadBySha256sum(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := []pack.Sum{{Name: "b", Digest: digest("b")}, {Name: "a b", Digest: digest("a b")}, {Name: "new\nline", Digest: digest("new\nline")}, {Name: `back\slash`, Digest: digest(`back\slash`)}}
	for _, s := range list {
		if err := os.WriteFile(filepath.Join(dir, s.Name), []byte(s.Name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := pack.Checksums(list)
	if !strings.HasPrefix(string(text), digest("a b").Hex()+"  a b\n") {
		t.Errorf("got %s", text)
	}
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(string(text))
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Fatal("install coreutils: what is written is for sha256sum")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v %s", err, out)
	}
}

func TestProvenanceIsAStatementOfInTotoWithSLSAsPredicate(t *testing.T) {
	t.Parallel()
	in := pack.ProvenanceInput{
		Subjects:   []pack.Sum{{Name: "w-1.5.57.zip", Digest: digest("zip")}, {Name: "a.exe", Digest: digest("exe")}},
		Repository: "https://user:hunter2@git.example.com/acme/w.git?token=hunter2", Ref: "refs/heads/main", Commit: strings.Repeat("ab", 20), Product: "w", Version: "1.5.57",
		Pipeline: "stint.build.yaml", PipelineDigest: digest("pipeline"), Tools: []pack.Material{{Name: "go", URI: "https://go.dev/dl/go.tar.gz", Digest: digest("go")}},
		Builder: "https://stint.example.com/builds", BuilderVersion: "1.2.3", Invocation: "job-1", Started: commitTime, Finished: commitTime.Add(time.Minute),
	}
	b, err := pack.Provenance(in)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := pack.Provenance(in); string(again) != string(b) {
		t.Error("the same input gives other bytes")
	}
	if strings.Contains(string(b), "hunter2") {
		t.Errorf("a password is in it: %s", b)
	}
	var s intoto.Statement
	if err := (protojson.UnmarshalOptions{}).Unmarshal(b, &s); err != nil { // unknown fields are errors
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	text, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p provenance.Provenance
	if err := protojson.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	d := p.BuildDefinition
	if d.ResolvedDependencies[0].Uri != "git+https://git.example.com/acme/w.git@refs/heads/main" || d.ResolvedDependencies[0].Digest["gitCommit"] != in.Commit || d.ResolvedDependencies[1].Digest["sha256"] != digest("go").Hex() {
		t.Errorf("made of %v", d.ResolvedDependencies)
	}
	if p.RunDetails.Builder.Id != in.Builder || p.RunDetails.Metadata.InvocationId != "job-1" || s.Subject[0].Name != "a.exe" {
		t.Errorf("got %s", b)
	}
	in.Repository = "git@git.example.com:acme/w.git"
	if b, err := pack.Provenance(in); err != nil || !strings.Contains(string(b), `"git+ssh://git@git.example.com/acme/w.git@refs/heads/main"`) {
		t.Errorf("%s %v", b, err)
	}
	in.Builder = ""
	if _, err := pack.Provenance(in); err == nil || tasks.HintOf(err) == "" {
		t.Errorf("without a builder: %v", err)
	}
}
