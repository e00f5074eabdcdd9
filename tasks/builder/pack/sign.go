package pack

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/stint-run/stint/tasks"
)

// ErrSignature: an envelope was not signed by the key, or was changed.
var ErrSignature = errors.New("signature does not fit")

// PayloadType is what is signed here: statements of in-toto.
const PayloadType = "application/vnd.in-toto+json"

// Signer signs with an ed25519 key, into envelopes of DSSE 1.0. It may be used by several goroutines at once.
type Signer struct {
	key ed25519.PrivateKey
	id  string
}

const keyHint = "make one with: openssl genpkey -algorithm ed25519 -out key.pem; the public part is: openssl pkey -in key.pem -pubout"

// NewSigner reads a private key: the text of a PEM file with PKCS#8 in it. No error has anything of the key in it.
func NewSigner(text []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, tasks.WithHint(nil, keyHint, "the key to sign with is no PEM text of a PRIVATE KEY")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, tasks.WithHint(nil, keyHint, "the key to sign with is no ed25519 key")
	}
	id, err := keyID(key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return &Signer{key, id}, nil
}

// keyID is the SHA-256 of the public key in DER.
func keyID(public ed25519.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("encode the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// KeyID names the key: the SHA-256 of its public part in DER, in hexadecimal digits.
func (s *Signer) KeyID() string { return s.id }

// Public returns the public part of the key as a PEM text, for those who verify.
func (s *Signer) Public() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// envelope is DSSE's JSON form.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"` // base64
}

// preAuthentication is what is signed: type and payload with their lengths, so that nothing of the one can be taken for the other.
func preAuthentication(payloadType string, payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload)), payload...)
}

// Sign returns an envelope with the payload in it. The same payload gives the same bytes.
func (s *Signer) Sign(payloadType string, payload []byte) ([]byte, error) {
	sig := ed25519.Sign(s.key, preAuthentication(payloadType, payload))
	e := envelope{payloadType, base64.StdEncoding.EncodeToString(payload), []signature{{s.id, base64.StdEncoding.EncodeToString(sig)}}}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode the envelope: %w", err)
	}
	return append(b, '\n'), nil
}

// Verify returns what is in an envelope that was signed by a key, given as PEM text of its public part; else ErrSignature. What the
// envelope says about keys is believed nowhere: each signature is tried.
func Verify(public, content []byte) (payloadType string, payload []byte, err error) {
	block, _ := pem.Decode(public)
	if block == nil || block.Type != "PUBLIC KEY" {
		return "", nil, tasks.WithHint(nil, keyHint, "the key to verify with is no PEM text of a PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return "", nil, tasks.WithHint(nil, keyHint, "the key to verify with is no ed25519 key")
	}
	var e envelope
	if err := json.Unmarshal(content, &e); err != nil {
		return "", nil, tasks.WithHint(errors.Join(ErrSignature, err), "give the file that ends with .intoto.jsonl", "it is no envelope of DSSE")
	}
	if payload, err = decode64(e.Payload); err != nil {
		return "", nil, tasks.WithHint(errors.Join(ErrSignature, err), "fetch it again", "the payload of the envelope cannot be read")
	}
	message := preAuthentication(e.PayloadType, payload)
	for _, s := range e.Signatures {
		if sig, err := decode64(s.Sig); err == nil && len(sig) == ed25519.SignatureSize && ed25519.Verify(key, message, sig) {
			return e.PayloadType, payload, nil
		}
	}
	id, err := keyID(key)
	if err != nil {
		return "", nil, err
	}
	return "", nil, tasks.WithHint(ErrSignature, "is it the right key? If it is, trust nothing of what came with it", "no signature of the envelope is of the key %s", id)
}

// decode64 reads both alphabets, as DSSE asks for.
func decode64(s string) ([]byte, error) {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b, nil
	}
	return base64.URLEncoding.DecodeString(s)
}
