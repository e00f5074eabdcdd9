package dedupe

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
)

// What the writer reads from is closed, and used again, by whoever gets the error.
func TestAFileThatCannotBeWrittenLeavesNoWriterBehind(t *testing.T) {
	t.Parallel()
	files, err := artifact.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &shared{o: Options{Artifacts: func() (artifact.Store, error) { return files, nil }}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	returned, over := make(chan struct{}), make(chan struct{})
	err = s.putFirst(ctx, "a", func(w io.Writer) error {
		defer close(over)
		cancel()
		var err error
		for n := 0; err == nil && n < 100; n++ {
			_, err = w.Write(make([]byte, 100<<10))
		}
		select {
		case <-returned:
			t.Error("the writer is at work, and nobody waits for it")
		case <-time.After(100 * time.Millisecond):
		}
		return err
	})
	close(returned)
	<-over
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
