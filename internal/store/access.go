package store

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
)

// StoredToken is a token with the hash of its secret: SHA-256 is enough for a secret of 32 random bytes, which cannot be guessed.
type StoredToken struct {
	wire.Token
	Hash string `json:"hash"` // hex
}

// PutToken keeps a token.
func (s *Store) PutToken(ctx context.Context, t StoredToken) error {
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode token: %w", err)
	}
	if err := s.rdb.HSet(ctx, tokensKey, t.ID, body).Err(); err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return nil
}

// Tokens reads every token, oldest first.
func (s *Store) Tokens(ctx context.Context) ([]StoredToken, error) {
	h, err := s.rdb.HGetAll(ctx, tokensKey).Result()
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	list := make([]StoredToken, 0, len(h))
	for _, body := range h {
		var t StoredToken
		if err := json.Unmarshal([]byte(body), &t); err != nil {
			return nil, fmt.Errorf("decode token: %w", err)
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b StoredToken) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// RevokeToken forgets a token. ErrNotFound when there is none.
func (s *Store) RevokeToken(ctx context.Context, id string) error {
	n, err := s.rdb.HDel(ctx, tokensKey, id).Result()
	switch {
	case err != nil:
		return fmt.Errorf("revoke token: %w", err)
	case n == 0:
		return fmt.Errorf("token %s: %w", id, ErrNoSuch)
	}
	return nil
}

// About how many entries of the audit trail are kept.
const (
	keptAudit     = 100_000
	keptStrangers = 10_000
)

// Audit adds an entry to the audit trail. Its ID is Redis' own. What strangers tried (they have no role) stands apart, so that
// nobody can push out what others did by asking often enough without a token.
func (s *Store) Audit(ctx context.Context, entries ...wire.AuditEntry) error {
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, e := range entries {
			body, err := json.Marshal(e)
			if err != nil {
				return fmt.Errorf("encode audit entry: %w", err)
			}
			to := &redis.XAddArgs{Stream: auditKey, MaxLen: keptAudit, Approx: true, Values: []any{"json", body}}
			if e.Role == "" {
				to.Stream, to.MaxLen = strangersKey, keptStrangers
			}
			p.XAdd(ctx, to)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write audit trail: %w", err)
	}
	return nil
}

// AuditTrail reads entries, newest first, from the one after a cursor on; "" is the newest. Entries of strangers stand among the
// others.
func (s *Store) AuditTrail(ctx context.Context, after string, limit int) (list []wire.AuditEntry, next string, err error) {
	from := "+"
	if after != "" {
		if olderThan(after, "0-1") {
			return []wire.AuditEntry{}, "", nil // Redis knows of nothing before
		}
		from = "(" + after
	}
	var known, strangers *redis.XMessageSliceCmd
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		known = p.XRevRangeN(ctx, auditKey, from, "-", int64(limit))
		strangers = p.XRevRangeN(ctx, strangersKey, from, "-", int64(limit))
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("read audit trail: %w", err)
	}
	msgs := slices.Concat(known.Val(), strangers.Val())
	slices.SortStableFunc(msgs, func(a, b redis.XMessage) int {
		switch {
		case a.ID == b.ID:
			return 0
		case olderThan(a.ID, b.ID):
			return 1
		}
		return -1
	})
	n := min(limit, len(msgs))
	for n > 0 && n < len(msgs) && msgs[n].ID == msgs[n-1].ID { // one of each stream, and a cursor cannot stand between them
		n++
	}
	more := len(msgs) >= limit
	list = make([]wire.AuditEntry, 0, n)
	for _, m := range msgs[:n] {
		var e wire.AuditEntry
		body, _ := m.Values["json"].(string)
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			return nil, "", fmt.Errorf("decode audit entry: %w", err)
		}
		e.ID = m.ID
		list = append(list, e)
	}
	if more && n > 0 {
		next = list[len(list)-1].ID
	}
	return list, next, nil
}

// ValidCursor reports whether a text is the id of an entry of a stream after which others can stand. About anything else Redis
// would complain.
func ValidCursor(id string) bool {
	if len(id) > 2*len("18446744073709551615")+1 {
		return false
	}
	ms, seq, ok := strings.Cut(id, "-")
	m, err1 := strconv.ParseUint(ms, 10, 64)
	n, err2 := strconv.ParseUint(seq, 10, 64)
	last := m == math.MaxUint64 && n == math.MaxUint64
	return ok && err1 == nil && err2 == nil && !last
}
