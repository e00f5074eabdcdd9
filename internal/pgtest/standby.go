package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// Standby starts a server that follows this one by streaming replication, and answers questions meanwhile. primary is the address, as
// HOST:PORT, at which it finds this one: with something in between the two can be parted. It is stopped like any other server.
func (s *Server) Standby(primary string) (*Server, error) {
	host, port, err := net.SplitHostPort(primary)
	if err != nil {
		return nil, fmt.Errorf("start a standby: %w", err)
	}
	b := &Server{bin: s.bin, opts: s.opts, ours: true, calls: make(chan func())}
	b.opts.Port = 0
	if b.dir, err = os.MkdirTemp("/tmp", "stint-pg-"); err != nil {
		return nil, fmt.Errorf("make a directory for the standby: %w", err)
	}
	go b.keep()
	fail := func(err error) (*Server, error) { return nil, errors.Join(err, b.Stop()) }
	if err := b.startGuardian(); err != nil {
		return fail(err)
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return fail(fmt.Errorf("open the standby's directory: %w", err))
	}
	if uid, gid, ok := unprivileged(); ok {
		if err := os.Chown(b.dir, uid, gid); err != nil {
			return fail(fmt.Errorf("hand over the standby's directory: %w", err))
		}
	}
	cmd := b.command("pg_basebackup", "--pgdata", b.data(), "--host", host, "--port", port, "--username", "postgres", "--checkpoint", "fast", "--write-recovery-conf", "--wal-method", "stream", "--no-sync")
	var out []byte
	if err := b.onKeeper(func() (err error) { out, err = cmd.CombinedOutput(); return err }); err != nil {
		return fail(fmt.Errorf("pg_basebackup: %w\n%s", err, out))
	}
	if err := b.launch(); err != nil {
		return fail(err)
	}
	return b, nil
}

// Promote makes a standby a server of its own, and returns when it takes writes.
func (s *Server) Promote(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	defer conn.Close(ctx)
	var done bool
	if err := conn.QueryRow(ctx, "SELECT pg_promote(true, 50)").Scan(&done); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	if !done {
		return errors.New("promote the standby: it did not within 50 s")
	}
	return nil
}
