package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/notify"
)

func TestTheTypesOfTheConfigurationAreThoseThatCanSend(t *testing.T) {
	t.Parallel()
	types := config.ChannelTypes()
	slices.Sort(types)
	if !slices.Equal(types, notify.Types()) {
		t.Errorf("the configuration has\n%v, what sends has\n%v", types, notify.Types())
	}
}

func TestTheChannelsOfTheSampleCanBeOpened(t *testing.T) {
	t.Parallel()
	c, _, err := config.Load(config.Options{File: filepath.Join("..", "..", "..", "docs", "stint.example.yaml"), Env: config.Env{"CLOUD_PASSWORD=x", "CRM_TOKEN=x", "CRM_HEADERS=X-Tenant: x",
		"BILLING_SECRET=x", "CRM_WEBHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "CHAT_URL=https://chat.example.com/hooks/x", "MAIL_PASSWORD=mailsecret", "PAGER_KEY=pagersecret", "HOME=/home/x"}})
	if err != nil {
		t.Fatal(err)
	}
	specs, err := Channels(c.Alerts.Channels, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		ch, err := notify.New(s)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = ch.Close()
	}
	if specs[0].Options["icon_emoji"] != ":rotating_light:" || specs[1].Password != "mailsecret" || !specs[1].Private || specs[2].Token != "pagersecret" {
		t.Errorf("%+v", specs)
	}
}

func TestACertificateThatIsNoneIsNamedWithItsChannel(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for ca, want := range map[string]string{file: "channel mail: ca: " + file + " has no certificate in it", file + ".gone": "channel mail: read ca: "} {
		if _, err := Channels(config.AlertChannels{{Name: "mail", Type: "email", CA: ca}}, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
