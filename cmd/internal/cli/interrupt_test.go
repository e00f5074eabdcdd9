package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/config"
)

// A server that takes connections and answers none.
func TestASignalEndsACommandThatWaitsForAServer(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"jobs", "list"}, {"workers", "list"}, {"alert", "list"}, {"tenants", "list"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			asked := make(chan net.Conn, 8)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					asked <- c
				}
			}()
			signals, ended := make(chan os.Signal, 4), make(chan int, 1)
			var stdout, stderr strings.Builder
			go func() {
				ended <- Main(Env{Args: append(args, "--server", "http://"+l.Addr().String()), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
					Vars: config.Env{"HOME=" + t.TempDir()}, Now: time.Now, Signals: signals, Self: "/nonexistent"})
			}()
			c := <-asked
			defer c.Close()
			signals <- syscall.SIGTERM
			select {
			case code := <-ended:
				if code != exitInterrupted || stderr.String() != "stint: interrupted\n" || stdout.Len() > 0 {
					t.Errorf("it ends with %d and says %q, %q", code, stderr.String(), stdout.String())
				}
			case <-time.After(20 * time.Second):
				t.Fatal("20 s after the signal it still waits")
			}
		})
	}
}

func TestASignalIsHeardByWhoWaitsForIt(t *testing.T) {
	t.Parallel()
	listening := func() (*command, context.Context, chan<- os.Signal) {
		c, signals := &command{}, make(chan os.Signal) // sent is heard
		ctx, stop := c.interrupts.listen(t.Context(), signals)
		t.Cleanup(stop)
		return c, ctx, signals
	}
	interrupted := func(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errInterrupted) }
	wait := func(ctx context.Context) {
		t.Helper()
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("nobody hears the signal")
		}
	}
	t.Run("one after the other", func(t *testing.T) {
		t.Parallel()
		c, ctx, signals := listening()
		outer, done := c.interruptible(ctx)
		inner, end := c.interruptible(outer)
		beside, over := c.interruptible(ctx)
		over()
		signals <- os.Interrupt
		wait(inner)
		wait(outer)
		if !interrupted(inner) || !interrupted(outer) || interrupted(beside) || ctx.Err() != nil {
			t.Error("the first one ends something else than what is interruptible")
		}
		next, release := c.signals()
		signals <- syscall.SIGTERM
		if s := <-next; s != syscall.SIGTERM || ctx.Err() != nil {
			t.Errorf("%v is heard instead of the second one", s)
		}
		release()
		end()
		done()
		signals <- os.Interrupt
		if wait(ctx); !interrupted(ctx) {
			t.Error("the third one does not end the command")
		}
	})
	t.Run("what nobody has read", func(t *testing.T) {
		t.Parallel()
		c, ctx, signals := listening()
		outer, end := c.interruptible(ctx)
		defer end()
		_, release := c.signals()
		signals <- os.Interrupt
		signals <- os.Interrupt // the first one is there
		release()
		if wait(outer); !interrupted(outer) {
			t.Error("it has gone with whom it was for")
		}
	})
	t.Run("the moment after the end", func(t *testing.T) {
		t.Parallel()
		for range 500 {
			c, ctx, signals := listening()
			_, end := c.interruptible(ctx)
			end()
			signals <- os.Interrupt
			if wait(ctx); !interrupted(ctx) {
				t.Fatal("a signal is lost")
			}
		}
	})
}
