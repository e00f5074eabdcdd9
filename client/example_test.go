package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
)

// A service submits a migration under its own order number, follows it, and reads what became of it. Sent again after a crash, the
// same order number is the same job.
func Example() {
	ctx := context.Background()
	c, err := client.New(client.Options{Server: "https://stint.internal:7800", Token: "stint_..."})
	if err != nil {
		log.Fatal(err)
	}
	done, err := c.Submit(ctx, "order-42", wire.Submission{Kind: "migration", Spec: []byte(`{"source": "legacy", "target": "cloud"}`)})
	var problem *wire.Problem
	if errors.As(err, &problem) {
		log.Fatalf("%s (%s): %s", problem.Detail, problem.Code, problem.Hint)
	}
	if err != nil {
		log.Fatal(err)
	}
	err = c.Watch(ctx, done.ID, "", func(e wire.Event) error {
		fmt.Println(e.At, e.Type, e.Fields["stage"])
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	report, err := c.Report(ctx, done.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Job.State, report.Job.Counters.Written)
}
