package snapshot

import (
	"cmp"
	"slices"

	"github.com/stint-run/stint/internal/artifact"
)

// assembly makes a manifest of entries whose contents lie in layers of others. What no entry needs is left out.
type assembly struct {
	entries []Entry
	units   []unit
	unitOf  []int // of each entry; -1 has no content
	byPlace map[unitKey]int
	objects []object
	byName  map[artifact.Digest]int
}

// unit are the frames of a content, in a row.
type unit struct {
	frames []frame // objects numbered by the assembly
	first  int     // where they begin in the new manifest
}

type unitKey struct {
	object artifact.Digest
	offset int64
	frames int
}

func newAssembly() *assembly {
	return &assembly{byPlace: map[unitKey]int{}, byName: map[artifact.Digest]int{}}
}

// add takes an entry, and where its content lies from its manifest. They come in the order of paths.
func (a *assembly) add(e Entry, from *Manifest) {
	a.entries = append(a.entries, e)
	n := from.span(&e)
	if n == 0 {
		a.unitOf = append(a.unitOf, -1)
		return
	}
	frames := from.frames[e.frame : e.frame+n]
	key := unitKey{from.objects[frames[0].object].digest, frames[0].offset, n}
	i, known := a.byPlace[key]
	if !known {
		i = len(a.units)
		a.byPlace[key] = i
		u := unit{frames: slices.Clone(frames)}
		for f := range u.frames {
			u.frames[f].object = a.object(from.objects[u.frames[f].object])
		}
		a.units = append(a.units, u)
	}
	a.unitOf = append(a.unitOf, i)
}

func (a *assembly) object(o object) int {
	i, known := a.byName[o.digest]
	if !known {
		i = len(a.objects)
		a.byName[o.digest] = i
		a.objects = append(a.objects, o)
	}
	return i
}

// manifest returns the whole. Frames stand in the order of their objects, so that each object is read from its beginning to its end.
func (a *assembly) manifest() *Manifest {
	m := &Manifest{Entries: a.entries, objects: a.objects, id: identify(a.entries)}
	order := make([]int, len(a.units))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		f, g := a.units[x].frames[0], a.units[y].frames[0]
		return cmp.Or(cmp.Compare(f.object, g.object), cmp.Compare(f.offset, g.offset))
	})
	for _, u := range order {
		a.units[u].first = len(m.frames)
		m.frames = append(m.frames, a.units[u].frames...)
	}
	for i, u := range a.unitOf {
		if u >= 0 {
			m.Entries[i].frame = a.units[u].first
		} else {
			m.Entries[i].frame, m.Entries[i].at = 0, 0
		}
	}
	return m
}
