package snapshot

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// CaptureOptions say what is captured. The zero value is all of a folder that came from nowhere.
type CaptureOptions struct {
	// Paths are the only ones that are captured, with slashes, such as `git ls-files` lists; those that are gone are left out, and of a
	// folder only the folder itself is taken. Nil is all.
	Paths []string
	// Parent is what the folder was restored from: contents that it has are not put again. "" is none. Its manifest and layers have to
	// be kept from Sweep until the new snapshot is.
	Parent ID
	// Exclude are globs of what does not travel: from the root of the workspace, with ** for any number of folders. One that fits a
	// folder leaves out all in it. .git is left out anyway, wherever it is.
	Exclude []string
	// MaxGrowth is how many bytes more than its parent's the files may have; 0 is no bound but that of the Store.
	MaxGrowth int64
}

// Capture puts what a folder holds into the store. Of files that have not been touched since this Store captured the folder, or restored
// it, only the attributes are read. A file that vanishes meanwhile is left out; one that is written to meanwhile is ErrChanging. Killed
// at any moment it leaves nothing but layers that nobody needs, and doing it again gives the same ID.
func (s *Store) Capture(ctx context.Context, dir string, o CaptureOptions) (ID, Stats, error) {
	began := time.Now()
	parent, _, err := s.load(ctx, o.Parent)
	if err != nil {
		return "", Stats{}, err
	}
	root, err := open(dir)
	if err != nil {
		return "", Stats{}, err
	}
	defer root.Close()
	list, err := s.list(ctx, root, o)
	if err != nil {
		return "", Stats{}, err
	}
	c := &capture{s: s, root: root, parent: parent, list: list}
	if err := c.recall(s.indexOf(dir), o.MaxGrowth); err != nil {
		return "", Stats{}, err
	}
	l := newLayer(c)
	if len(c.todo) > 0 {
		if err := l.write(ctx); err != nil {
			return "", Stats{}, err
		}
	}
	m, stats := c.manifest(l)
	stats.Stored = l.stored
	if m.id != parent.id {
		n, err := s.put(ctx, m)
		if err != nil {
			return "", Stats{}, err
		}
		stats.Stored += n
	} else if parent.id != "" {
		m = parent // what lies in the store; times that differ are no change
		stats.Layers = len(m.objects)
	}
	s.keepIndex(dir, c.index(m, began))
	return m.id, stats, nil
}

// capture is one Capture.
type capture struct {
	s      *Store
	root   *os.Root
	parent *Manifest
	list   []found
	todo   []*found // files that have to be read, in the order of paths
	// stored are the contents that need not be put again: where they lie in the parent.
	stored map[artifact.Digest]*Entry
	// bySize are contents of several frames, by size: a file that begins like one of them is hashed before it is put.
	bySize map[int64][]*Entry
}

// recall takes from the index what has not been touched, and lists what has to be read.
func (c *capture) recall(x *index, maxGrowth int64) error {
	if x == nil {
		x = &index{manifest: &Manifest{}}
	}
	var total, before int64
	known := x.manifest.Entries
	touched := false
	for i := range c.list {
		f := &c.list[i]
		total += f.Size
		for len(known) > 0 && known[0].Path < f.Path {
			known = known[1:]
		}
		if f.Kind != File {
			continue
		}
		if len(known) > 0 && known[0].Path == f.Path && known[0].Kind == File && f.stat != (stat{}) && x.stats[len(x.stats)-len(known)] == f.stat {
			f.Digest = known[0].Digest
		} else {
			touched = true
		}
	}
	for i := range c.parent.Entries {
		before += c.parent.Entries[i].Size
	}
	if maxGrowth > 0 && total-before > maxGrowth {
		return tooLarge("raise limits.disk of the step, or exclude what can be made anew", "the step has made the workspace %d bytes larger; %d are allowed", total-before, maxGrowth)
	}
	c.remember(touched)
	for i := range c.list {
		if f := &c.list[i]; f.Kind == File && f.Size > 0 && (f.Digest == "" || c.stored[f.Digest] == nil) {
			c.todo = append(c.todo, f)
		} else if f.Kind == File && f.Size == 0 {
			f.Digest = artifact.DigestOf(nil)
		}
	}
	return nil
}

// When layers are written anew, from the files that are here: when more than maxLayers are small, or when of what is kept more than half
// is needed by nobody.
const (
	maxLayers = 8
	smallSize = objectSize / 2
)

// remember fills what the parent has, without what should be written anew. touched says that there will be a new layer.
func (c *capture) remember(touched bool) {
	c.stored = make(map[artifact.Digest]*Entry, len(c.parent.Entries))
	c.bySize = map[int64][]*Entry{}
	var condemned []bool
	if touched {
		condemned = c.condemn()
	}
	for i := range c.parent.Entries {
		e := &c.parent.Entries[i]
		if e.Kind != File || e.Size == 0 {
			continue
		}
		first, n := c.parent.frames[e.frame], c.parent.span(e)
		last := c.parent.frames[e.frame+n-1]
		if condemned != nil && (condemned[first.object] || condemned[last.object]) {
			continue
		}
		c.stored[e.Digest] = e
		if n > 1 {
			c.bySize[e.Size] = append(c.bySize[e.Size], e)
		}
	}
}

// condemn says which objects of the parent are not used any more, for what is still needed lies in too many, or among too much that is
// dead. A content of the size of a file that has not been read yet may be needed.
func (c *capture) condemn() []bool {
	alive, sizes := map[artifact.Digest]bool{}, map[int64]bool{}
	for i := range c.list {
		if f := &c.list[i]; f.Kind == File && f.Digest != "" {
			alive[f.Digest] = true
		} else if f.Kind == File {
			sizes[f.Size] = true
		}
	}
	counted := map[artifact.Digest]bool{}
	raw := make([]int64, len(c.parent.frames))
	for i := range c.parent.Entries {
		e := &c.parent.Entries[i]
		if e.Kind != File || e.Size == 0 || counted[e.Digest] || !alive[e.Digest] && !sizes[e.Size] {
			continue
		}
		counted[e.Digest] = true
		if n := c.parent.span(e); n > 1 {
			for f := e.frame; f < e.frame+n; f++ {
				raw[f] = c.parent.frames[f].raw
			}
		} else {
			raw[e.frame] += e.Size
		}
	}
	live := make([]int64, len(c.parent.objects)) // bytes as they are stored
	for i, f := range c.parent.frames {
		live[f.object] += int64(float64(f.size) * float64(min(raw[i], f.raw)) / float64(f.raw))
	}
	condemned := make([]bool, len(live))
	small, kept, needed := 0, int64(0), int64(0)
	for i, o := range c.parent.objects {
		if live[i] == 0 {
			continue
		}
		kept, needed = kept+o.size, needed+live[i]
		if o.size < smallSize {
			small++
		}
	}
	for i, o := range c.parent.objects {
		condemned[i] = small >= maxLayers && o.size < smallSize || needed*2 < kept && live[i]*2 < o.size
	}
	return condemned
}

// manifest puts together what was found and where it lies.
func (c *capture) manifest(l *layer) (*Manifest, Stats) {
	b := newAssembly()
	fresh := &Manifest{objects: l.objects, frames: l.frames}
	var stats Stats
	for i := range c.list {
		f := &c.list[i]
		if f.gone {
			continue
		}
		from := fresh
		if f.Kind == File && f.Size > 0 {
			if old := c.stored[f.Digest]; old != nil {
				from, f.frame, f.at = c.parent, old.frame, old.at
			} else {
				stats.NewFiles++
				stats.NewBytes += f.Size
			}
		}
		if f.Kind != Folder {
			stats.Files++
		}
		stats.Bytes += f.Size
		b.add(f.Entry, from)
	}
	m := b.manifest()
	stats.Layers = len(m.objects)
	return m, stats
}

// index returns what is known about the folder now: the attributes were read after it began, the contents after them.
func (c *capture) index(m *Manifest, began time.Time) *index {
	x := &index{manifest: m, stats: make([]stat, 0, len(m.Entries))}
	for i := range c.list {
		f := &c.list[i]
		switch {
		case f.gone:
		case f.stat.settled(began):
			x.stats = append(x.stats, f.stat)
		default:
			x.stats = append(x.stats, stat{})
		}
	}
	return x
}

// changing says that a file was written to while it was read.
func changing(p string, cause error) error {
	return tasks.WithHint(errors.Join(ErrChanging, cause), "does a process of the step still run? Try again when nobody writes any more", "%q changes", p)
}
