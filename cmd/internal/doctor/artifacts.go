package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/artifact"
)

// examineArtifacts writes, reads, lists and deletes a small artifact. A folder that is not there yet is left so.
func examineArtifacts(ctx context.Context, c config.Artifacts, data string) []Finding {
	n := &notes{subject: "artifacts"}
	store, err := app.OpenArtifacts(c, data)
	if err != nil {
		n.failed("address", err)
		return n.list
	}
	defer store.Close()
	folder, isFolder := store.(*artifact.Folder)
	if isFolder {
		if _, err := os.Stat(folder.String()); errors.Is(err, fs.ErrNotExist) {
			n.ok("writable", "%s is not there yet; it is made when it is needed", folder)
			return n.list
		}
	}
	p, err := artifact.Probe(ctx, store)
	if err != nil {
		n.failed("writable", err)
		return n.list
	}
	n.ok("writable", "%s: written, read, listed and deleted in %s", store, rounded(p.Took))
	if !p.Once {
		n.add(Warning, "once", "use a server that knows If-None-Match on writes", "a second writer of the same name is not refused: two at the same moment may both be told that they were first")
	}
	if isFolder {
		n.space(folder.String(), "make room, or choose another place in artifacts.url")
	}
	return n.list
}
