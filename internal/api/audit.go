package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

// audit notes what was asked for, by whom, and what came of it.
func (a *API) audit(ctx huma.Context, p principal) {
	e := wire.AuditEntry{By: p.Name, TokenID: p.ID, Role: p.Token.Role, From: host(ctx.RemoteAddr()), Action: ctx.Operation().OperationID, Target: ctx.URL().Path, Status: ctx.Status()}
	if e.Status == 0 {
		e.Status = http.StatusInternalServerError // it panicked
	}
	if e.Status != http.StatusTooManyRequests {
		a.note(ctx.Context(), e)
	}
}

// maxTarget bounds what is kept of a path, which is the caller's to choose.
const maxTarget = 256

// note writes an entry of the audit trail. The request has been answered: that it cannot be written is for the log.
func (a *API) note(ctx context.Context, e wire.AuditEntry) {
	e.At, e.RequestID = time.Now().UTC().Truncate(time.Millisecond), requestID(ctx)
	if len(e.Target) > maxTarget {
		e.Target = strings.ToValidUTF8(e.Target[:maxTarget], "") + "..."
	}
	if err := a.trail.write(e); err != nil {
		a.log.ErrorContext(ctx, "the audit trail could not be written", "err", err, "by", e.By, "action", e.Action, "target", e.Target, "status", e.Status)
	}
}

// trail writes entries of the audit trail, all that have come together in one round trip. Each request waits for its own: what was
// done is in the trail before the client knows that it was.
type trail struct {
	store *store.Store

	mu      sync.Mutex
	waiting []noted
	busy    bool
}

// noted is an entry, and where its writer is told what came of it.
type noted struct {
	entry wire.AuditEntry
	done  chan error
}

// trailTimeout bounds the writing of entries.
const trailTimeout = 2 * time.Second

func (t *trail) write(e wire.AuditEntry) error {
	n := noted{e, make(chan error, 1)}
	t.mu.Lock()
	t.waiting = append(t.waiting, n)
	first := !t.busy
	t.busy = true
	t.mu.Unlock()
	if first {
		go t.flush()
	}
	return <-n.done
}

// flush writes what has come together, and what comes together meanwhile.
func (t *trail) flush() {
	for {
		t.mu.Lock()
		list := t.waiting
		t.waiting = nil
		t.busy = len(list) > 0
		t.mu.Unlock()
		if len(list) == 0 {
			return
		}
		entries := make([]wire.AuditEntry, len(list))
		for i, n := range list {
			entries[i] = n.entry
		}
		ctx, cancel := context.WithTimeout(context.Background(), trailTimeout)
		err := t.store.Audit(ctx, entries...)
		cancel()
		for _, n := range list {
			n.done <- err
		}
	}
}
