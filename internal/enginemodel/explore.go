package enginemodel

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// Explored is what an exploration found.
type Explored struct {
	States int // reachable; those that are equal but for the names of workers are one
	Edges  int
	Depth  int             // actions from the start to the state that is farthest from it
	Ends   int             // states in which the job has ended
	Full   bool            // all of it was visited
	last   map[uint64]bool // states in which nothing at all can happen any more
	// Moves are the arrows that were taken.
	Moves map[Move]bool
	// Broken is the first promise that was found broken, "" when none is, and Trace the shortest way there.
	Broken string
	Trace  []string
}

var seed = maphash.MakeSeed()

func sum(s *State) uint64 { return maphash.Comparable(seed, *s) }

// explorer remembers each state by a sum of 64 bits and by where it was reached from; its whole only as long as it is new.
type explorer struct {
	m      *Model
	known  map[uint64]int32
	sums   []uint64
	parent []int32
	ends   []bool  // the job has ended there
	fair   []int32 // edges that are no fault, as the states that they lead to, from each state in turn
	from   []int32 // of each state, where its edges begin in fair
	found  Explored
}

// Explore visits all reachable states, breadth first, and then looks whether each of them leads to an end when no further fault comes.
// It stops at the first promise that is broken, and after most states (0: never); then Full is not set. Two states in 2^64 have one sum: of
// a million states, none is passed over but by a chance of one in forty million.
func (m *Model) Explore(most int) Explored {
	x := &explorer{m: m, known: map[uint64]int32{}, found: Explored{Moves: map[Move]bool{}, Full: true, last: map[uint64]bool{}}}
	first := m.Start()
	m.canonical(&first)
	x.add(sum(&first), -1, &first)
	t := &turn{m: m}
	layer := []State{first}
	at := int32(0)
	for ; len(layer) > 0; x.found.Depth++ {
		var next []State
		for i := range layer {
			if what := m.check(&layer[i]); what != "" {
				return x.breaks(what, at)
			}
			x.from = append(x.from, int32(len(x.fair)))
			broken, edges := "", x.found.Edges
			m.each(&layer[i], t, func(a Action) {
				if t.s == layer[i] {
					return
				}
				x.found.Edges++
				for _, mv := range t.moves {
					x.found.Moves[mv] = true
				}
				h := sum(&t.s)
				to, there := x.known[h]
				if !there {
					to = x.add(h, at, &t.s)
					next = append(next, t.s)
				}
				if a.Fair() {
					x.fair = append(x.fair, to)
				}
				if t.broken != "" && broken == "" {
					broken = t.broken
					x.parent[to], x.known[h] = at, to
					x.found.Trace = []string{m.Say(a)}
				}
			})
			if broken != "" {
				last := x.found.Trace
				e := x.breaks(broken, at)
				e.Trace = append(e.Trace, last...)
				return e
			}
			if t.cramped {
				return x.breaks("the model has no room for what happens next", at)
			}
			if x.found.Edges == edges {
				x.found.last[x.sums[at]] = true
			}
			at++
		}
		layer = next
		if most > 0 && len(x.sums) > most {
			x.found.Full = false
			x.found.States = len(x.sums)
			return x.found
		}
	}
	x.found.Depth--
	x.from = append(x.from, int32(len(x.fair)))
	x.found.States = len(x.sums)
	return x.ending()
}

func (x *explorer) add(h uint64, parent int32, s *State) int32 {
	i := int32(len(x.sums))
	x.known[h] = i
	x.sums, x.parent, x.ends = append(x.sums, h), append(x.parent, parent), append(x.ends, s.redis.job.Ended())
	if s.redis.job.Ended() {
		x.found.Ends++
	}
	return i
}

func (x *explorer) breaks(what string, at int32) Explored {
	x.found.Broken, x.found.Trace, x.found.States = what, x.trace(at), len(x.sums)
	return x.found
}

// ending looks at the graph of what happens when no further fault comes. From each state there has to be a way to an end, and no way
// may go round in a circle: then every run ends, in whatever order things happen.
func (x *explorer) ending() Explored {
	const unseen, open, closed = 0, 1, 2
	mark := make([]uint8, len(x.sums))
	good := slices.Clone(x.ends)
	type frame struct{ at, edge int32 }
	var path []frame
	for root := range mark {
		if mark[root] != unseen {
			continue
		}
		mark[root] = open
		path = append(path[:0], frame{int32(root), x.from[root]})
		for len(path) > 0 {
			f := &path[len(path)-1]
			if x.ends[f.at] || f.edge == x.from[f.at+1] {
				mark[f.at] = closed
				if !good[f.at] {
					return x.breaks("nothing can happen any more, and the job has not ended", f.at)
				}
				path = path[:len(path)-1]
				continue
			}
			to := x.fair[f.edge]
			f.edge++
			good[f.at] = true // it goes on; and where that ends, without a circle, is looked at from there
			switch mark[to] {
			case unseen:
				mark[to] = open
				path = append(path, frame{to, x.from[to]})
			case open:
				e := x.breaks("it goes round in a circle for ever, and the job does not end", f.at)
				for i := len(path) - 1; i >= 0 && path[i].at != to; i-- {
					e.Trace = append(e.Trace, fmt.Sprintf("(the circle: %d actions)", len(path)-i))
				}
				return e
			}
		}
	}
	return x.found
}

// trace tells how a state is reached, as a list of actions. The worker names are those of one run: each state on the way is looked
// for among what may follow the one before it, without renaming.
func (x *explorer) trace(at int32) []string {
	var way []int32
	for i := at; i >= 0; i = x.parent[i] {
		way = append(way, i)
	}
	slices.Reverse(way)
	apart := *x.m
	apart.Apart = true
	s := x.m.Start()
	var list []string
	for _, i := range way[1:] {
		for _, e := range apart.Edges(&s) {
			c := e.Next
			x.m.canonical(&c)
			if sum(&c) == x.sums[i] {
				list = append(list, x.m.Say(e.Action)+answer(x.m, e))
				s = e.Next
				break
			}
		}
	}
	return list
}

// answer tells what a script answered, where that is worth it.
func answer(m *Model, e Edge) string {
	var parts []string
	switch {
	case e.Call.Op == "begin" && e.Reply.Code != Done:
		parts = append(parts, []string{"", "gone", "not running", "held by another"}[e.Reply.Code])
	case e.Call.Op != "" && e.Call.Op != "create" && e.Reply.Code == Gone:
		parts = append(parts, "stale")
	}
	for _, k := range e.Reply.Lost {
		parts = append(parts, m.KeyName(k)+" was lost")
	}
	for _, ref := range e.Reply.Handout {
		parts = append(parts, fmt.Sprintf("hands out %s (delivery %d)", m.KeyName(ref.Key), ref.Delivery))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}
