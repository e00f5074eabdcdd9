package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/stint-run/stint/internal/freeport"
)

// links is the house of all links; it listens nowhere itself.
var links = sync.OnceValue(func() *toxiproxy.ApiServer {
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
})

// Link is a way to a TCP server that can be disturbed. Its methods may be called at the same time; Heal ends what any of them did.
type Link struct {
	// Addr is where clients of the server call: host and port, the same through every fault.
	Addr string

	mu    sync.Mutex
	proxy *toxiproxy.Proxy
	cut   bool
}

// NewLink opens a way to a server, and closes it with the test.
func NewLink(t testing.TB, server string) *Link {
	t.Helper()
	l := &Link{}
	for range 3 { // another process may have found the same port
		address, err := freeport.Address() // a link that was cut comes back where it was
		if err != nil {
			t.Fatal(err)
		}
		l.proxy = toxiproxy.NewProxy(links(), t.Name()+" to "+server, address, server)
		if err = l.proxy.Start(); err == nil {
			l.Addr = l.proxy.Listen
			break
		}
		t.Logf("open a link to %s: %v", server, err)
	}
	if l.Addr == "" {
		t.Fatalf("no link to %s could be opened", server)
	}
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.cut {
			l.proxy.Stop()
		}
	})
	return l
}

// Cut closes all connections and refuses new ones.
func (l *Link) Cut() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.cut {
		l.proxy.Stop()
		l.cut = true
	}
	return nil
}

// Slow delays everything by so much in each direction, give or take a half.
func (l *Link) Slow(by time.Duration) error {
	return l.add(fmt.Sprintf(`{"type": "latency", "stream": "STREAM", "attributes": {"latency": %d, "jitter": %d}}`, by.Milliseconds(), by.Milliseconds()/2), "upstream", "downstream")
}

// HalfOpen swallows everything in both directions: connections stay open, new ones open, and nobody ever hears a word.
func (l *Link) HalfOpen() error {
	return l.add(`{"type": "timeout", "stream": "STREAM", "attributes": {"timeout": 0}}`, "upstream", "downstream")
}

// Deaf swallows the answers alone: the server does what it is asked, and who has asked never knows.
func (l *Link) Deaf() error {
	return l.add(`{"type": "timeout", "stream": "STREAM", "attributes": {"timeout": 0}}`, "downstream")
}

func (l *Link) add(toxic string, streams ...string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range streams {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(strings.Replace(toxic, "STREAM", s, 1))); err != nil {
			return fmt.Errorf("disturb the link: %w", err)
		}
	}
	return nil
}

// Heal makes the link as it was. Connections that lost what was said on them are closed.
func (l *Link) Heal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.Toxics.ResetToxics(context.Background())
	if !l.cut {
		return nil
	}
	if err := l.open(); err != nil {
		return fmt.Errorf("heal the link: %w", err)
	}
	l.cut = false
	return nil
}

// open listens again. Somebody's connection to elsewhere may have taken the port meanwhile for a short time, or a process that was being
// started while the link listened still has its socket.
func (l *Link) open() (err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); <-tick.C {
		if err = l.proxy.Start(); err == nil || errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
			return nil
		}
	}
	return err
}

// Point leads to another server from now on, as an address that moves does; connections to the one before are closed.
func (l *Link) Point(server string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.proxy.Update(&toxiproxy.Proxy{Listen: l.Addr, Upstream: server, Enabled: !l.cut})
	if err != nil && !l.cut {
		err = l.open()
	}
	if err != nil {
		return fmt.Errorf("point the link at %s: %w", server, err)
	}
	return nil
}
