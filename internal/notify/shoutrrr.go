package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
)

// shoutrrr sends through any service of the library of that name. The library knows no context, no id of a message, and connects by
// itself.
type shoutrrr struct {
	url     string
	service string
	spec    Spec
	secrets []string
}

// fixed are the services that connect to a public address of their own. All others connect to wherever the URL says, past the rule for
// private networks: so they want private: true.
var fixed = []string{"discord", "googlechat", "hangouts", "ifttt", "join", "lark", "notifiarr", "pagerduty", "pushbullet", "pushover", "slack", "teams", "telegram", "wecom", "logger"}

// titled are the services that show a title; others refuse one, or drop it.
var titled = []string{"bark", "discord", "gotify", "join", "lark", "matrix", "ntfy", "opsgenie", "pushbullet", "pushover", "smtp", "teams"}

func openShoutrrr(s Spec) (Channel, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, errors.New("url: want the address of a service, such as ntfy://ntfy.sh/alerts")
	}
	service, _, _ := strings.Cut(strings.ToLower(u.Scheme), "+")
	if _, err := (&router.ServiceRouter{}).NewService(service); err != nil {
		all := (&router.ServiceRouter{}).ListServices()
		slices.Sort(all)
		return nil, fmt.Errorf("url: there is no service %q; there are %s", service, strings.Join(all, ", "))
	}
	if !slices.Contains(fixed, service) && !s.Private {
		return nil, fmt.Errorf("url: %s connects to the host of the URL without asking whether it is public: set private: true if it may lead anywhere", service)
	}
	return &shoutrrr{s.URL, service, s, s.secrets()}, nil
}

// Keyed is false: the library passes no id on.
func (c *shoutrrr) Keyed() bool { return false }

// Close does nothing.
func (c *shoutrrr) Close() error { return nil }

// Send sends the message. When the time is up it leaves the library to itself, which gives up by its own clock, and does not know
// whether the message has arrived.
func (c *shoutrrr) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.spec.Timeout)
	defer cancel()
	if ctx.Err() != nil {
		return &Error{Err: ctx.Err()}
	}
	text, params := m.Text, types.Params{}
	if subject := cut(m.Subject, 250); slices.Contains(titled, c.service) {
		params.SetTitle(subject)
	} else {
		text = subject + "\n\n" + text
	}
	text = m.withLinks(text, 1900, plainLink) // Discord's 2000 is the least that a service takes
	done := make(chan error, 1)
	go func() { done <- c.send(text, &params) }()
	select {
	case err := <-done:
		return c.failed(err)
	case <-ctx.Done():
		return &Error{Err: errors.New("the service did not answer in time"), Unknown: true}
	}
}

// send makes the service anew each time: some of them write into their own configuration as they send.
func (c *shoutrrr) send(text string, params *types.Params) (err error) {
	defer func() {
		if r := recover(); r != nil { // in a goroutine of its own it would end the process
			err = errors.New("the library panicked")
		}
	}()
	r := &router.ServiceRouter{}
	r.SetLogger(log.New(io.Discard, "", 0)) // it logs addresses, which have tokens in them
	service, err := r.Locate(c.url)
	if err != nil {
		return err
	}
	return service.Send(text, params)
}

// The library's errors say in words alone what the answer was, or that there was none. A port is no status.
var (
	status   = regexp.MustCompile(`(?:^|[^:\d.])([345]\d\d)\b`)
	noAnswer = regexp.MustCompile(`EOF|deadline exceeded|connection reset|[Tt]imeout`)
)

func (c *shoutrrr) failed(err error) error {
	if err == nil {
		return nil
	}
	text := hide(err.Error(), c.secrets)
	e := &Error{Unknown: noAnswer.MatchString(text) && !strings.Contains(text, "dial ")}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		text = hide(ue.Err.Error(), c.secrets)
	} else if found := status.FindStringSubmatch(text); found != nil && !e.Unknown {
		code, _ := strconv.Atoi(found[1])
		e.Permanent = code >= 300 && code < 500 && code != 408 && code != 409 && code != 425 && code != 429
	}
	e.Err = errors.New(cut(text, quoteOfAnswer))
	return e
}
