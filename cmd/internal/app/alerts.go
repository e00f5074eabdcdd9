package app

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/notify"
)

// Channels are those of the configuration as what sends needs them, secrets and all: they stay in this process. Its error names the
// channel, and none of its secrets.
func Channels(list config.AlertChannels, log *slog.Logger) ([]notify.Spec, error) {
	out := make([]notify.Spec, 0, len(list))
	for _, c := range list {
		s := notify.Spec{Name: c.Name, Type: c.Type, URL: c.URL.Reveal(), Token: c.Token.Reveal(), User: c.User, Password: c.Password.Reveal(), From: c.From, To: c.To, TLS: c.TLS,
			Private: c.Private, Timeout: c.Timeout, Log: log}
		if len(c.Options) > 0 {
			if err := json.Unmarshal(c.Options, &s.Options); err != nil {
				return nil, fmt.Errorf("channel %s: read its options: %w", c.Name, err)
			}
		}
		if c.CA != "" {
			pem, err := os.ReadFile(c.CA)
			if err != nil {
				return nil, fmt.Errorf("channel %s: read ca: %w", c.Name, err)
			}
			if s.Roots = x509.NewCertPool(); !s.Roots.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("channel %s: ca: %s has no certificate in it", c.Name, c.CA)
			}
		}
		out = append(out, s)
	}
	return out, nil
}
