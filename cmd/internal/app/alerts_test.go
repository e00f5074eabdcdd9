package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	c, _, err := config.Load(config.Options{File: filepath.Join("..", "..", "..", "docs", "stint.example.yaml"), Env: config.Env{"FORGE_TOKEN=s3cret", "FEED_KEY=s3cret", "CLOUD_PASSWORD=x", "CRM_TOKEN=x", "CRM_HEADERS=X-Tenant: x",
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

func TestTheExamplesOfTheChannelsCanBeOpened(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "alert-channels.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		file := filepath.Join(t.TempDir(), "stint.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := config.Load(config.Options{File: file, Env: config.Env{"HOME=/home/x"}})
		if err != nil {
			t.Errorf("%s%v", text, err)
			continue
		}
		specs, err := Channels(c.Alerts.Channels, nil)
		if err != nil {
			t.Error(err)
		}
		for _, s := range specs {
			shown[s.Type] = true
			if ch, err := notify.New(s); err != nil {
				t.Error(err)
			} else {
				_ = ch.Close()
			}
		}
	}
	for _, name := range notify.Types() {
		if !shown[name] && name != "ms_teams" && name != "ms_power_automate" { // as teams
			t.Errorf("the page shows no %s", name)
		}
	}
}

func TestWhatIsSentAgainIsWhatThePageSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "alert-channels.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `") {
			for _, name := range strings.Split(strings.ReplaceAll(strings.TrimSpace(cells[1]), "`", ""), ", ") {
				want := !strings.Contains(cells[3], "**false**")
				if got := (config.AlertChannel{Type: name}).SendAgain(); got != want {
					t.Errorf("%s is sent again: %v; the page says %v", name, got, want)
				}
			}
		}
	}
}

func TestAFolderOfRulesThatTakesLongToReadIsReadLessOften(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 200 * time.Millisecond: 5 * time.Second, time.Second: 20 * time.Second, time.Hour: time.Minute} {
		if got := lookAgain(took); got != want {
			t.Errorf("after %v: %v, want %v", took, got, want)
		}
	}
}
