package tools

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/allowed"
)

const (
	attempts    = 6
	firstWait   = time.Second
	longestWait = time.Minute // a server that asks for more gets it, but the step is given back meanwhile
)

// pause waits, or ends with the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// fetch downloads an archive to a file beside its place, and gives its name. What an earlier attempt, also of a process that was killed,
// has brought already is not asked for again. The lock of the tool is held.
func (s *Store) fetch(ctx context.Context, w *wanted, note func(string, ...any)) (string, error) {
	part := filepath.Join(w.store, w.digest+".part")
	for n, fresh := 0, false; ; n++ {
		sum, resumed, err := s.get(ctx, w, part)
		if err == nil && sum == w.digest {
			return part, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err == nil {
			// It may be that the two halves are not of one file.
			if err := os.Remove(part); err != nil {
				return "", err
			}
			if resumed && !fresh {
				fresh = true
				continue
			}
			return "", tasks.Permanent(tasks.WithHint(nil, "see who has published other bytes under that address, before the digest in the pipeline file is changed", "the tool %s has another digest: %s is pinned, and %s gives %s", w.name, w.digest, allowed.Shown(w.url), sum))
		}
		var no *answer
		if errors.As(err, &no) && !no.again {
			return "", tasks.Permanent(tasks.WithHint(err, "see whether the address is right: "+allowed.Shown(w.url), "the tool %s cannot be fetched", w.name))
		}
		wait := firstWait<<n + rand.N(firstWait)
		if no != nil && no.after > 0 {
			wait = no.after
		}
		failed := tasks.WithHint(err, "see whether the agent can reach "+allowed.Shown(w.url), "the tool %s cannot be fetched", w.name)
		if wait > longestWait {
			return "", tasks.RetryAfter(failed, wait)
		}
		if n+1 == attempts {
			return "", failed
		}
		note("fetching the tool %s: %v; again in %s", w.name, err, wait.Round(time.Second))
		if err := s.wait(ctx, wait); err != nil {
			return "", err
		}
	}
}

// answer is what a server said that is no file.
type answer struct {
	status string
	again  bool
	after  time.Duration
}

func (e *answer) Error() string { return "the server answers " + e.status }

// get does one attempt: it brings the file to its end, and gives its digest.
func (s *Store) get(ctx context.Context, w *wanted, part string) (sum string, resumed bool, err error) {
	file, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", false, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	digest := sha256.New()
	have, err := io.Copy(digest, file)
	if err != nil {
		return "", false, err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got == w.digest { // killed between the last byte and the next step
		return got, false, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(s.limits.stall, func() { cancel(fmt.Errorf("nothing came for %s", s.limits.stall)) })
	defer stall.Stop()
	res, err := s.ask(ctx, w, have)
	if err != nil {
		return "", false, err
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode == http.StatusPartialContent && strings.HasPrefix(res.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(have, 10)+"-"):
		resumed = have > 0
	case res.StatusCode == http.StatusOK:
		if err := restart(file, digest); err != nil {
			return "", false, err
		}
		have = 0
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable || res.StatusCode == http.StatusPartialContent:
		// What is there is longer than the file, or the server counts otherwise: from the beginning, the next time.
		return "", false, errors.Join(&answer{status: res.Status, again: true}, restart(file, digest))
	default:
		return "", false, refusal(res)
	}
	if err := receive(ctx, res, io.MultiWriter(file, digest), s.limits.archive-have, func() { stall.Reset(s.limits.stall) }); err != nil {
		var large *answer
		if errors.As(err, &large) {
			err = errors.Join(err, restart(file, digest))
		}
		return "", resumed, err
	}
	return hex.EncodeToString(digest.Sum(nil)), resumed, file.Sync()
}

func restart(file *os.File, digest hash.Hash) error {
	digest.Reset()
	_, err := file.Seek(0, io.SeekStart)
	return errors.Join(err, file.Truncate(0))
}

func (s *Store) ask(ctx context.Context, w *wanted, have int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity") // the very bytes that are pinned
	if have > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
	}
	res, err := s.client.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) { // it would show the whole address
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if err = failed.Err; tasks.IsPermanent(err) {
			return nil, errors.Join(&answer{status: "with an address that is not allowed"}, err)
		}
	}
	return res, err
}

// receive takes what comes.
func receive(ctx context.Context, res *http.Response, out io.Writer, most int64, came func()) error {
	n, err := io.Copy(out, io.LimitReader(&heard{res.Body, came}, most+1))
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err == nil && n > most {
		return &answer{status: "with more bytes than a tool has"}
	}
	return err
}

// heard tells of each byte that comes.
type heard struct {
	in   io.Reader
	came func()
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.in.Read(p)
	if n > 0 {
		h.came()
	}
	return n, err
}

// refusal reads an answer that is no file.
func refusal(res *http.Response) error {
	no := &answer{status: res.Status}
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusTooEarly:
		no.again = true
	default:
		no.again = res.StatusCode >= http.StatusInternalServerError
	}
	after := res.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(after, 10, 31); err == nil {
		no.after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(after); err == nil {
		no.after = max(0, time.Until(at))
	}
	return no
}
