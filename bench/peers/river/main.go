// Command river enqueues and runs no-op jobs with the library River on PostgreSQL, and prints what that took as one line of JSON:
//
//	river DATABASE_URL JOBS WORKERS FETCH_COOLDOWN
//
// It is a module of its own, so that a peer is no dependency of stint.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type args struct {
	N int `json:"n"`
}

func (args) Kind() string { return "noop" }

type worker struct {
	river.WorkerDefaults[args]
	left *atomic.Int64
	done chan struct{}
}

func (w *worker) Work(context.Context, *river.Job[args]) error {
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 5 {
		return fmt.Errorf("want DATABASE_URL JOBS WORKERS FETCH_COOLDOWN, got %d arguments", len(os.Args)-1)
	}
	jobs, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	workers, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return fmt.Errorf("workers: %w", err)
	}
	cooldown, err := time.ParseDuration(os.Args[4])
	if err != nil {
		return fmt.Errorf("fetch cooldown: %w", err)
	}
	pool, err := pgxpool.New(ctx, os.Args[1])
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	w := &worker{left: new(atomic.Int64), done: make(chan struct{})}
	w.left.Store(int64(jobs))
	list := river.NewWorkers()
	river.AddWorker(list, w)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		Workers:       list,
		FetchCooldown: cooldown,
		// River wants this to be no shorter than the cooldown; its default is a second.
		FetchPollInterval: max(cooldown, time.Second),
		Logger:            slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	begin := time.Now()
	for at := 0; at < jobs; at += 1000 {
		var page []river.InsertManyParams
		for i := at; i < min(at+1000, jobs); i++ {
			page = append(page, river.InsertManyParams{Args: args{i}})
		}
		if _, err := client.InsertManyFast(ctx, page); err != nil {
			return err
		}
	}
	enqueued := time.Since(begin)
	begin = time.Now()
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-w.done
	worked := time.Since(begin)
	if err := client.Stop(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{"enqueue_s": enqueued.Seconds(), "work_s": worked.Seconds()})
}
