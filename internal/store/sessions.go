package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Session is somebody who has logged in with a browser.
type Session struct {
	Token string    `json:"token"` // the id of the token that was shown
	At    time.Time `json:"at"`    // when
}

// SaveSession keeps a session for a time. sum names it: what a browser sends cannot be told from it.
func (s *Store) SaveSession(ctx context.Context, sum string, v Session, keep time.Duration) error {
	body, err := json.Marshal(v)
	if err == nil {
		err = s.rdb.Set(ctx, sessionKey(sum), body, keep).Err()
	}
	if err != nil {
		return fmt.Errorf("write session: %w", err)
	}
	return nil
}

// Session reads a session. ErrNotFound when there is none, or none any more.
func (s *Store) Session(ctx context.Context, sum string) (v Session, err error) {
	body, err := s.rdb.Get(ctx, sessionKey(sum)).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return v, ErrNotFound
	case err != nil:
		return v, fmt.Errorf("read session: %w", err)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("decode session: %w", err)
	}
	return v, nil
}

// EndSession forgets a session; that there is none is no error.
func (s *Store) EndSession(ctx context.Context, sum string) error {
	if err := s.rdb.Del(ctx, sessionKey(sum)).Err(); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}
