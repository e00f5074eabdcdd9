package tools_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/tools"
)

// TestMain is an agent of its own where a test asks for one that can be killed.
func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv("STINT_TEST_TOOLS"); ok {
		address, _ := os.LookupEnv("STINT_TEST_URL")
		sum, _ := os.LookupEnv("STINT_TEST_SHA256")
		tool := pipeline.Tool{Name: "hello", Version: "1.2", URL: address, SHA256: map[string]string{"any": sum}}
		if _, err := tools.New(tools.Options{Dir: dir}).Ensure(context.Background(), []pipeline.Tool{tool}, nil); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAnAgentThatIsKilledAtAnyMomentLeavesNoHalfTool(t *testing.T) {
	t.Parallel()
	files := make([]file, 300)
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range files {
		text := make([]byte, 4000)
		for j := range text {
			text[j] = byte(noise.Uint32())
		}
		files[i] = file{name: "go/" + strconv.Itoa(i), text: string(text), mode: 0o644}
	}
	data := gzipped(t, tarred(t, files...))
	asked := make(chan struct{}, 1000)
	s := server(t, func(_ int64, w http.ResponseWriter, req *http.Request) {
		asked <- struct{}{}
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
	})
	dir := t.TempDir()
	t.Cleanup(func() { unlocked(t, dir) })
	tool := pinned(s.URL+"/a.tar.gz", data)
	half := 0
	for n := range 25 {
		killed := exec.Command(os.Args[0])
		killed.Env = append(os.Environ(), "STINT_TEST_TOOLS="+dir, "STINT_TEST_URL="+tool.URL, "STINT_TEST_SHA256="+tool.SHA256["any"])
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- killed.Wait() }()
		if n%5 == 0 { // in the middle of unpacking, when there is a first file
			poll := time.NewTicker(time.Millisecond)
			for waiting := true; waiting; {
				select {
				case err := <-ended:
					ended <- err
					waiting = false
				case <-poll.C:
					found, _ := filepath.Glob(filepath.Join(dir, "hello-*.new", "tree", "go", strconv.Itoa(n)))
					waiting = len(found) == 0
				}
			}
			poll.Stop()
		} else { // anywhere
			select {
			case err := <-ended:
				ended <- err
			case <-time.After(time.Duration(noise.IntN(250)) * time.Millisecond):
			}
		}
		_ = killed.Process.Kill() // it may have ended
		if err := <-ended; err != nil {
			half++
			continue
		}
		// It is there: the next one begins with the archive, or with nothing.
		unlocked(t, dir)
		whole, _ := filepath.Glob(filepath.Join(dir, "hello-*"))
		for _, w := range whole {
			if n%2 == 0 {
				w = filepath.Join(w, "tree")
			}
			if err := os.RemoveAll(w); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d of 25 were killed in time", half)
	if half == 0 {
		t.Error("none was killed in time")
	}
	at := ensure(t, store(t, dir), tool)
	for _, f := range files {
		if got, err := os.ReadFile(filepath.Join(at, f.name)); err != nil || string(got) != f.text {
			t.Errorf("%s: %d bytes, %v", f.name, len(got), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) != 0 {
		t.Error(left)
	}
	if len(asked) == 0 {
		t.Error("nothing was fetched")
	}
}
