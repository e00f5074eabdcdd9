package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (c *command) webhooks() *cobra.Command {
	list := c.withSession(func(cmd *cobra.Command, _ []string, s *session) error {
		all, err := s.Webhooks(cmd.Context())
		if err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) { writeWebhooks(w, all) })
	})
	return group(&cobra.Command{
		Use:   "webhooks",
		Short: "See who is told what becomes of jobs, and whether it arrives",
		Long: `Lists the webhooks of the configuration of the fleet's schedulers (stint scheduler, stint up), which send the messages. One whose
messages do not arrive is failing; they are tried again for about a day, and then given up. One whose receiver has answered
410 has ended: nothing more is sent until a test, or a message that is sent again by hand, arrives.`,
		Example: "  stint webhooks\n  stint webhooks test crm\n  stint webhooks deliveries crm --state gave_up\n  stint webhooks redeliver crm msg_0c9f2d6e5b1a47f3a8d0e4b2",
	}, "List the webhooks, and how they fare", list, c.webhookDeliveries(), c.redeliver(), c.testWebhook())
}

func writeWebhooks(w io.Writer, all []wire.Webhook) {
	t := newTable("NAME", "TO", "STATE", "PENDING", "DELIVERED", "GAVE UP", "LAST SENT", "LAST ERROR")
	for _, h := range all {
		state := h.State
		if h.Failing != nil {
			state += " since " + clock(h.Failing)
		}
		t.row(h.Name, h.URL, state, thousands(h.Pending), thousands(h.Delivered), thousands(h.GaveUp), clock(h.LastAt), printable(h.LastError))
	}
	t.write(w)
}

func writeDeliveries(w io.Writer, list []wire.Delivery) {
	t := newTable("ID", "EVENT", "JOB", "STATE", "ATTEMPTS", "CREATED", "NEXT", "ERROR")
	for _, d := range list {
		t.row(d.ID, d.Event, d.Job, d.State, fmt.Sprint(d.Attempts), clock(&d.CreatedAt), clock(d.NextAt), printable(d.Error))
	}
	t.write(w)
}

// webhookNames completes the name of a webhook.
func webhookNames(ctx context.Context, s *session) ([]string, error) {
	all, err := s.Webhooks(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, w := range all {
		names = append(names, w.Name+"\t"+w.State)
	}
	return names, nil
}

func (c *command) webhookDeliveries() *cobra.Command {
	var state string
	var limit int
	cmd := &cobra.Command{Use: "deliveries NAME", Short: "List messages to a webhook, newest first", Args: oneOf("the name of one webhook", "stint webhooks"), ValidArgsFunction: c.complete(1, webhookNames),
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			list, err := s.Deliveries(cmd.Context(), args[0], state, limit)
			if err != nil {
				return err
			}
			return c.print(list, func(w io.Writer) { writeDeliveries(w, list) })
		})}
	cmd.Flags().StringVar(&state, "state", "", "in this `state` alone: pending, delivered or gave_up")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many, at most 1000")
	noFiles(cmd, "state", wire.DeliveryPending, wire.DeliveryDelivered, wire.DeliveryGaveUp)
	return cmd
}

func (c *command) redeliver() *cobra.Command {
	return &cobra.Command{Use: "redeliver NAME MESSAGE", Short: "Let a message be sent again, now", ValidArgsFunction: c.complete(1, webhookNames),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(tasks.WithHint(nil, "stint webhooks deliveries NAME lists them", "give the name of a webhook and the id of a message"))
			}
			return nil
		},
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			d, err := s.Redeliver(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return c.print(d, func(w io.Writer) { writeDeliveries(w, []wire.Delivery{*d}) })
		})}
}

func (c *command) testWebhook() *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{Use: "test NAME", Short: "Send a message that is about no job, and wait for the answer", Args: oneOf("the name of one webhook", "stint webhooks"), ValidArgsFunction: c.complete(1, webhookNames),
		Long: `Lets a scheduler send a message of the event test, and waits for the first answer. Ends with 0 when the message has arrived, with 1 when
it has not (it is tried again like any other), and with 6 when no scheduler has sent it in time.`,
		RunE: c.withSession(func(cmd *cobra.Command, args []string, s *session) error {
			d, err := s.TestWebhook(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if d, err = answered(cmd.Context(), s, d, patience); err != nil {
				return err
			}
			if err := c.print(d, func(w io.Writer) { writeDeliveries(w, []wire.Delivery{*d}) }); err != nil || d.State == wire.DeliveryDelivered {
				return err
			}
			return tasks.WithHint(nil, "stint webhooks deliveries "+args[0]+" shows what becomes of it", "the message did not arrive: %s", d.Error)
		})}
	cmd.Flags().DurationVar(&patience, "timeout", 30*time.Second, "how long to wait for the answer")
	return cmd
}

// answered waits until a message was sent once.
func answered(ctx context.Context, s *session, d *wire.Delivery, patience time.Duration) (*wire.Delivery, error) {
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for d.Attempts == 0 && d.State == wire.DeliveryPending {
		select {
		case <-tick.C:
		case <-deadline:
			return nil, tasks.WithHint(errTimeout, "is a scheduler running that has it in its configuration? stint scheduler, or stint up", "nobody has sent the message within %s", patience)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		var err error
		if d, err = s.Delivery(ctx, d.Webhook, d.ID); err != nil {
			return nil, err
		}
	}
	return d, nil
}
