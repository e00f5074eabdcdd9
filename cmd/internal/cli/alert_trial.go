package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// trying is what the flags of alert test say.
type trying struct {
	events, start, end string
	every              time.Duration
}

func (c *command) alertTest() *cobra.Command {
	o := &trying{}
	cmd := &cobra.Command{
		Use:   "test RULE.yaml --events FILE",
		Short: "Run a rule over the events of a file, without a server: what it finds, and who would be told when",
		Long: `Evaluates a rule over the events of a file, window by window, as it would be in production, by the clock of the windows. It shows what
the rule matches, the alerts with their subject and text, and what would be sent when and to whom, and sends nothing. What comes after
the last window, if nobody takes the alert until then, is marked as such.

FILE has a JSON object on each line, or is a saved answer of Elasticsearch; it may be compressed, and - is stdin. Without --start and
--end the windows are those that the events are in.`,
		Example: "  stint alert test rules/ssh.yaml --events ssh.jsonl\n  stint alert test rules/ssh.yaml --events ssh.jsonl.gz --start 2026-03-01T00:00:00Z --end 2026-03-01T06:00:00Z --every 5m --output json",
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return usage(tasks.WithHint(nil, "stint alert test RULE.yaml --events FILE", "give the file of one rule"))
			case o.events == "":
				return usage(tasks.WithHint(nil, "write --events FILE: a JSON object on each line", "--events is missing"))
			case o.every != 0 && o.every < time.Second:
				return usage(tasks.WithHint(nil, "write --every 1m", "--every %s: a second is the least", o.every))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := c.oneRule(args[0])
			if err != nil {
				return err
			}
			if o.every > 0 {
				r.RunEvery = o.every
			}
			events, err := source.ReadEvents(o.events, c.Stdin)
			if err != nil {
				return usage(err)
			}
			ctx, cancel := c.interruptible(cmd.Context())
			defer cancel()
			x, err := try(ctx, r, source.DocumentsOf(events), o)
			if err != nil {
				return err
			}
			return c.print(x, func(w io.Writer) { writeTrial(w, r, x) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.events, "events", "", "the `FILE` with the events, - for stdin")
	f.StringVar(&o.start, "start", "", "the `TIME` of the first evaluation, such as 2026-03-01T00:00:00Z (default: by the first event)")
	f.StringVar(&o.end, "end", "", "the `TIME` of the last evaluation (default: by the last event)")
	f.DurationVar(&o.every, "every", 0, "the time between two evaluations (default: run_every of the rule)")
	return cmd
}

// oneRule reads the rule of a file; its defaults and environment hold, as far as they are there.
func (c *command) oneRule(file string) (*rule.Rule, error) {
	o, err := ruleFiles([]string{file})
	if err != nil {
		return nil, err
	}
	if len(o.Files) == 0 {
		return nil, usage(tasks.WithHint(nil, "name the file of one rule", "%s is a folder", file))
	}
	o.Environment, o.Tokens = config.Tokens(config.Options{File: c.file, Environment: c.environment, Env: c.Vars})
	set, problems := rule.Load(o)
	if err := problems.Err(); err != nil {
		return nil, usage(err)
	}
	if len(set.Rules) != 1 {
		return nil, usage(tasks.WithHint(nil, "take is_enabled: false away", "the rule of %s is disabled", file))
	}
	r := set.Rules[0]
	if r.Query != "" {
		return nil, usage(tasks.WithHint(nil, "let the rule have index: and filter:, or run it against its source with stint alert tick", "the rule %s asks its source in its own words (query), which a file of events does not know", r.Name))
	}
	return r, nil
}

func writeTrial(w io.Writer, r *rule.Rule, x *trial) {
	fmt.Fprintf(w, "%s (%s): %s, %s each %s from %s to %s\n", printable(x.Rule), r.Type, plural(x.Events, "event"), plural(x.Windows, "window"), short(msec(x.Every)), clock(&x.Start), clock(&x.End))
	line := func(at time.Time, what, format string, args ...any) {
		fmt.Fprintf(w, "%s  %-7s  %s\n", clock(&at), what, printable(fmt.Sprintf(format, args...)))
	}
	for _, e := range x.timeline {
		switch v := e.(type) {
		case trialMatch:
			text, _ := json.Marshal(v.Match)
			line(v.At, "match", "%s", cut(string(text), 300))
		case trialAlert:
			line(v.At, "alert", "%s: %s", v.Severity, v.Subject)
			for l := range strings.SplitSeq(strings.TrimRight(v.Text, "\n"), "\n") {
				fmt.Fprintf(w, "    %s\n", printable(l))
			}
		case trialEnd:
			line(v.At, "over", "%s", cmp.Or(v.Key, x.Rule))
		case trialMessage:
			assumed := ""
			if v.Assumed {
				assumed = ", if nobody has taken it by then"
			}
			line(v.At, "send", "to %s (%s%s): %s", channelText(r, v.Channel), v.Event, assumed, v.Subject)
		}
	}
	for _, n := range x.Notes {
		fmt.Fprintf(w, "note: %s\n", printable(n))
	}
	now := 0
	for _, m := range x.Messages {
		if !m.Assumed {
			now++
		}
	}
	fmt.Fprintf(w, "%s, %s, %s\n", matches(len(x.Matches)), plural(len(x.Alerts), "alert"), plural(now, "message"))
}

// matches writes 1 match, 2 matches.
func matches(n int) string {
	if n == 1 {
		return "1 match"
	}
	return fmt.Sprintf("%d matches", n)
}

// channelText names a channel for people: one that the rule itself describes has no name but its type.
func channelText(r *rule.Rule, channel string) string {
	for i, a := range r.Alert {
		if a.Channel == "" && channel == fmt.Sprintf("rule:%d:%s", i, r.Name) {
			return a.Type
		}
	}
	return channel
}
